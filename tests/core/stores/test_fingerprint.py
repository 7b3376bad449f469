"""A scan is told from others by its lung box, and from no other container of itself."""

from itertools import product

import cv2
import numpy as np
import pytest

from pectl.core.stores.fingerprint import BITS, NEAR, fingerprint, is_fingerprint, near_pairs, nearest


def box(seed: int, depth: int = 40, side: int = 48) -> np.ndarray:
    """A chest of a kind: two lungs with blobs of tissue in them, others for each seed."""
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in (depth, side, side)), indexing="ij")
    hu = np.full(z.shape, 40.0)
    for centre in (-0.5, 0.5):
        hu[((x - centre) / 0.4) ** 2 + (y / 0.8) ** 2 + (z / 0.95) ** 2 < 1] = -850
    for _ in range(60):
        at, radius = rng.uniform(-1, 1, 3), rng.uniform(0.05, 0.2)
        hu[(z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2 < radius**2] = rng.uniform(-900, 300)
    return (hu + rng.normal(0, 10, hu.shape)).astype(np.int16)


def distance(first: np.ndarray, second: np.ndarray) -> float:
    return float(nearest([fingerprint(first)], [fingerprint(second)])[0][0])


def test_it_is_so_many_bits_and_the_same_for_the_same():
    print_ = fingerprint(box(0))
    assert len(print_) == BITS // 4
    assert print_ == fingerprint(box(0))
    assert is_fingerprint(print_)
    assert not any(is_fingerprint(wrong) for wrong in (print_[2:], "z" * len(print_), None, 3))


def test_rounding_clipping_noise_and_another_matrix_stay_near():
    hu = box(0)
    noisy = hu + np.random.default_rng(1).normal(0, 20, hu.shape)
    small = np.stack([cv2.resize(plane, (36, 36), interpolation=cv2.INTER_AREA) for plane in hu])
    changed = [np.round(hu / 20) * 20, np.clip(hu, -1000, 200), noisy, small, hu[1:]]
    assert max(distance(hu, one.astype(np.int16)) for one in changed) < NEAR


@pytest.mark.parametrize(
    "axes", [axes for n in range(4) for axes in product(range(3), repeat=n) if len(set(axes)) == n]
)
def test_a_mirrored_copy_is_found_whichever_axes(axes):
    assert distance(box(0), np.flip(box(0), axes)) < 0.01


def test_other_studies_are_far():
    prints = [fingerprint(box(seed)) for seed in range(12)]
    for place, one in enumerate(prints):
        found, _ = nearest([one], prints[:place] + prints[place + 1 :])
        assert found[0] > 2 * NEAR


def test_nearest_against_plain_loops():
    prints = [fingerprint(box(seed, depth=24)) for seed in range(5)]
    others = [fingerprint(np.flip(box(seed, depth=24), 2)) for seed in (3, 9, 1)]
    share, place = nearest(prints, others)
    frequency = [f for f in product(range(24), repeat=3) if max(f) <= 9 and sum(f) >= 8]
    signs = [[int(bit) for digit in text for bit in f"{int(digit, 16):04b}"] for text in prints + others]
    for row in range(5):
        expected = min(
            (sum(a ^ b ^ (np.dot(axes, f) % 2) for a, b, f in zip(signs[row], signs[5 + k], frequency, strict=True)), k)
            for k in range(3)
            for axes in product((0, 1), repeat=3)
        )
        assert share[row] == expected[0] / BITS
        assert place[row] == expected[1]
    assert place[3] == 0
    assert place[1] == 2


def test_all_pairs_of_one_scan_are_found_once():
    prints = [fingerprint(one) for one in (box(0), box(1), np.flip(box(0), 0), box(2), box(1))]
    pairs = near_pairs(prints)
    assert [pair[:2] for pair in pairs] == [(0, 2), (1, 4)]
    assert pairs[1][2] == 0.0
    assert near_pairs([]) == []
