"""Compare two evaluations of the same studies, and write what was found."""

from pathlib import Path
from typing import Any

from pectl.config import Config, write_config
from pectl.evaluation.compare import compare as test_differences
from pectl.report.evaluation.comparison import write_comparison_report


def compare(first: Path, second: Path, out: Path, config: Config) -> dict[str, Any]:
    """Test the differences of two evaluations on the studies that both have.

    Args:
        first: a folder of `evaluate`.
        second: another.
        out: folder of `comparison.json`, `comparison.csv`, the report and `config.toml`.
        config: the experiment; `evaluate` and `seed` are used.

    Returns:
        The content of `comparison.json`.

    Raises:
        StoreError: a folder holds no metrics.json.
        InputMissingError: a table is gone.
        PredictionsError: the evaluations share no study, or disagree about the truth.
    """
    result = test_differences(first, second, config.evaluate, out=out, seed=config.seed)
    write_config(config, out / "config.toml")
    write_comparison_report(out)
    return result
