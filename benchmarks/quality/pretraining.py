"""What a run on many conspicuous phantoms is worth as the start of a training on few subtler ones: `pretraining.md`.

    python -m benchmarks.quality.pretraining --out quality --seeds 0 1

The first weights are those of `python -m benchmarks.quality`; the cohort is another one. Scratch and pretrained see the
same windows for the same number of steps.
"""

import argparse
from pathlib import Path

from benchmarks.quality.chain import Experiment
from benchmarks.quality.comparison import compare
from benchmarks.quality.variants import OURS, VARIANTS, Variant

SUBTLER = (
    "seed=2000",
    "phantom.studies=150",
    "split.val_fraction=0.2",
    "split.test_fraction=0.5",
    "phantom.min_artery_radius_mm=3.5",
    "phantom.embolus_length_mm=[20.0, 60.0]",
    "phantom.lumen_share=[0.5, 0.9]",
)
"""Its seed is of no training cohort; 45 studies train."""


def main() -> None:
    """Make the cohort, train both, measure, write."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.pretraining", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--config", type=Path, default=Path("sample_configs/phantom.toml"))
    parser.add_argument("--out", type=Path, required=True, help="folder of python -m benchmarks.quality")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the runs there, and of these")
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side")
    parser.add_argument("--threads", type=int, default=1, help="of each training")
    given = parser.parse_args()
    first = Experiment(given.config, given.out, (), given.threads)
    weights = {seed: first.chain(VARIANTS[OURS], seed).stage1.resolve() for seed in given.seeds}
    few = Experiment(given.config, given.out / "pretraining", SUBTLER, given.threads)
    few.make_store(workers=given.jobs * given.threads)
    scratch = Variant(name="scratch", meaning="random first weights")
    chains = {
        "pretrained": [few.chain(_from(run), seed) for seed, run in weights.items()],
        "scratch": [few.chain(scratch, seed) for seed in given.seeds],
    }
    print(compare(chains, jobs=given.jobs, report=given.out / "pretraining"))


def _from(run: Path) -> Variant:
    return Variant(name="pretrained", meaning="the weights of a run", changes=(f"stage1.weights={run}",))


if __name__ == "__main__":
    main()
