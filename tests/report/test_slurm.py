import subprocess
from pathlib import Path

import pytest

from pectl.errors import OutputExistsError
from pectl.report.slurm import STEPS, Experiment, write_batch_files

ROOT = Path(__file__).parents[2]
RSPECT = Experiment(
    config=Path("sample_configs/rspect.toml"), dicom=Path("RSPECT/train"), labels=Path("RSPECT/train.csv"),
    work=Path("rspect"),
)  # fmt: skip


def test_sample_batch_files_are_what_the_command_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in write_batch_files(RSPECT, Path("sample_configs/slurm")):
        assert path.read_text() == (ROOT / path).read_text()


def test_batch_files_are_filled_in_and_valid_bash(tmp_path: Path) -> None:
    changes = {"device": "cpu", "partition": "short", "shares": 3}
    paths = write_batch_files(RSPECT.model_copy(update=changes), tmp_path)
    assert [path.name for path in paths] == list(STEPS)
    for path in paths:
        subprocess.run(["bash", "-n", path], check=True)
        text = path.read_text()
        assert "gpus" not in text
        assert "cuda" not in text
        assert "GPU" not in text
        assert ("#SBATCH --partition=short\n" in text) == (path.suffix == ".sbatch")
    assert "#SBATCH --array=1-3\n" in (tmp_path / "preprocess.sbatch").read_text()


def test_batch_files_are_not_overwritten(tmp_path: Path) -> None:
    write_batch_files(RSPECT, tmp_path)
    with pytest.raises(
        OutputExistsError, match=r"preprocess\.sbatch: expected a folder without batch files, found one"
    ):
        write_batch_files(RSPECT, tmp_path)
