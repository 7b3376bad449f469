"""How many and how large the emboli of phantoms are, against those of patients: `emboli.md` and `emboli.png`.

    python -m benchmarks.quality.emboli --out emboli --real FOLDER

It needs geometry alone: no image is painted. An embolus is a connected part of the mask (26 neighbours), so that those
that touch count as one; its thickest place is twice the largest distance to its edge.
"""

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import ks_2samp

from pectl.config import PhantomConfig, load_config
from pectl.phantom.dicom import draw_id
from pectl.phantom.emboli import image_area_mm2
from pectl.phantom.study import Phantom, draw_phantom

Sizes = dict[str, NDArray[np.float64]]
"""Values by the name of what is measured."""

REAL = {
    "clots a patient": (1.0, 2.0, 6.0),
    "ml a patient": (0.5, 6.6, 51.0),
    "mm3 a clot": (50.0, 1127.0, 26504.0),
    "thickest place of a clot, mm": (2.3, 6.2, 15.2),
    "share of slices with PE": (0.017, 0.144, 0.441),
}
"""5th, 50th and 95th percentile: 91 clots in the masks of 33 patients of FUMPE (Masoudi et al. 2018,
10.1038/sdata.2018.180); the last of RSPECT's positive studies (Colak et al. 2021, 10.1148/ryai.2021200254)."""
CLOTS, ML, MM3, THICKEST, SHARE = REAL
PERCENTILES = (5.0, 50.0, 95.0)


def measure(config: PhantomConfig, studies: int, seed: int) -> Sizes:
    """Measure the emboli of so many positive studies, drawn as `pectl phantom` draws them."""
    found: dict[str, list[float]] = {name: [] for name in REAL}
    for index in range(studies):
        rng = np.random.default_rng([seed, index])
        draw_id(rng, config.identity)
        study = draw_phantom(rng, config, "positive")
        mask = _mask(study)
        volumes, thickest = parts_of(mask, study.grid.spacing_mm)
        found[CLOTS].append(len(volumes))
        found[ML].append(sum(volumes) / 1000.0)
        found[MM3] += volumes
        found[THICKEST] += thickest
        found[SHARE].append(np.mean(image_area_mm2(mask, study.grid.spacing_mm) >= config.present_area_mm2))
    return {name: np.array(values) for name, values in found.items()}


def parts_of(mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> tuple[list[float], list[float]]:
    """Return the volume in mm3 and the thickest place in mm of each connected part of a mask (D, H, W)."""
    inside = np.pad(mask[ndimage.find_objects(mask.astype(np.int8))[0]], 1)
    parts, count = ndimage.label(inside, np.ones((3, 3, 3)))
    depth_mm = ndimage.distance_transform_edt(inside, sampling=spacing_mm)
    volumes = np.bincount(parts.ravel())[1:] * np.prod(spacing_mm)
    return volumes.tolist(), [2.0 * depth for depth in ndimage.maximum(depth_mm, parts, range(1, count + 1))]


def read_real(folder: Path) -> Sizes:
    """Read the real sizes from the tables of `real_emboli/` and `rspect/`, which no one may pass on."""
    patients = pd.read_csv(folder / "real_emboli" / "fumpe_patients.csv").query("clots > 0")
    clots = pd.read_csv(folder / "real_emboli" / "fumpe_clots.csv")
    exams = pd.read_csv(folder / "rspect" / "exam_labels_7279.csv")
    positive = exams.query("negative_exam_for_pe == 0 and indeterminate == 0 and pe_present_portion > 0")
    columns = (patients["clots"], patients["total_ml"], clots["mm3"], clots["thickest_mm"])
    values = (*columns, positive["pe_present_portion"])
    return {name: column.to_numpy(np.float64) for name, column in zip(REAL, values, strict=True)}


def table(ours: Sizes, real: Sizes | None) -> str:
    """Return percentiles of both as a Markdown table; the distance of the distributions where the real ones are had."""
    lines = ["| 5th, 50th, 95th percentile | patients | phantoms | distance |", "|---|---|---|---|"]
    for name, percentiles in REAL.items():
        mine = ", ".join(f"{value:.3g}" for value in np.percentile(ours[name], PERCENTILES))
        distance = "" if real is None else f"{_distance(ours[name], real[name]):.2f}"
        lines.append(f"| {name} | {', '.join(f'{value:g}' for value in percentiles)} | {mine} | {distance} |")
    return "\n".join(lines) + "\n"


def draw(ours: Sizes, path: Path) -> None:
    """Draw the distributions of the phantoms, and the percentiles of patients over them."""
    figure, axes = plt.subplots(1, len(REAL), figsize=(13.0, 2.7), sharey=True, layout="constrained")
    for axis, (name, percentiles) in zip(axes, REAL.items(), strict=True):
        axis.ecdf(ours[name], color="#2b6cb0", label="phantoms")
        axis.plot(percentiles, np.array(PERCENTILES) / 100.0, "o", color="#c05621", label="patients")
        if name in (ML, MM3):
            axis.set_xscale("log")
        axis.set_xlabel(name)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("share below")
    axes[0].legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def _distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(ks_2samp(one, other, method="asymp").statistic)


def _mask(study: Phantom) -> NDArray[np.bool_]:
    slab, mask = study.grid.whole(), np.zeros(study.grid.shape, dtype=bool)
    for embolus in study.findings.emboli:
        filled = embolus.fill(slab)
        if filled is not None:
            mask[filled[0]] |= filled[1] > 0.5
    return mask


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality.emboli", description=__doc__.split("\n")[0])
    parser.add_argument("--config", type=Path, default=Path("sample_configs/phantom_realistic.toml"))
    parser.add_argument("--out", type=Path, required=True, help="folder of table and figure")
    parser.add_argument("--studies", type=int, default=100, help="positive ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--real", type=Path, help="folder of real_emboli/ and rspect/: adds Kolmogorov-Smirnov distances"
    )
    given = parser.parse_args()
    ours = measure(load_config(given.config, []).phantom, given.studies, given.seed)
    given.out.mkdir(parents=True, exist_ok=True)
    text = table(ours, None if given.real is None else read_real(given.real))
    (given.out / "emboli.md").write_text(text)
    draw(ours, given.out / "emboli.png")
    print(text)


if __name__ == "__main__":
    main()
