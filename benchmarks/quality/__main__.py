"""Train variants on one phantom cohort with the same seeds, and write how they compare: `quality.md`, `quality.json`.

    python -m benchmarks.quality --out quality --seeds 0 1 --variants ours ma2022

Run again, or with more variants, it does what is missing.
"""

import argparse
from pathlib import Path

from benchmarks.quality.chain import Experiment
from benchmarks.quality.comparison import compare
from benchmarks.quality.variants import OURS, VARIANTS


def main() -> None:
    """Parse, train, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__.split("\n")[0])
    parser.add_argument("--config", type=Path, default=Path("sample_configs/phantom.toml"), help="what is 'ours'")
    parser.add_argument("--out", type=Path, required=True, help="folder of everything that is made")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="each variant is trained with each")
    parser.add_argument("--variants", nargs="+", default=[OURS, "ma2022"], choices=list(VARIANTS), metavar="NAME")
    parser.add_argument("--set", action="append", default=[], dest="overrides", help="of all variants: key=value")
    parser.add_argument("--jobs", type=int, default=2, help="trainings side by side")
    parser.add_argument("--threads", type=int, default=1, help="of each training")
    parser.add_argument("--report", default="quality", help="name of the report's files")
    given = parser.parse_args()
    experiment = Experiment(given.config, given.out, tuple(given.overrides), given.threads)
    experiment.make_store(workers=given.jobs * given.threads)
    names = list(dict.fromkeys([OURS, *given.variants]))
    chains = {name: [experiment.chain(VARIANTS[name], seed) for seed in given.seeds] for name in names}
    print(compare(chains, jobs=given.jobs, report=given.out / given.report))


if __name__ == "__main__":
    main()
