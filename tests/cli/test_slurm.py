"""`pectl slurm`."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
RSPECT = ("sample_configs/rspect.toml", "--dicom", "RSPECT/train", "--labels", "RSPECT/train.csv", "--work", "rspect")


def test_sample_batch_files_are_what_the_command_writes(pectl, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "sample_configs").mkdir()
    (tmp_path / RSPECT[0]).write_bytes((ROOT / RSPECT[0]).read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.executable", "/opt/pectl/.venv/bin/python")
    result = pectl("slurm", *RSPECT, "--studies", 7279, "--out", "sample_configs/slurm")
    assert result.code == 0, result.err
    written = {path.name: path.read_text() for path in (tmp_path / "sample_configs" / "slurm").iterdir()}
    sample = {path.name: path.read_text() for path in (ROOT / "sample_configs" / "slurm").iterdir()}
    assert written == {name: text for name, text in sample.items() if not name.endswith(".log")}


def test_studies_are_counted_in_the_labels(pectl, chain, tmp_path: Path) -> None:
    counted = pectl("slurm", chain.config, "--dicom", chain.dicom, "--labels", chain.labels, "--out", tmp_path / "few")
    assert counted.code == 0
    assert "#SBATCH --array=1-1\n" in (tmp_path / "few" / "preprocess.sbatch").read_text()  # 12 studies
    result = pectl("slurm", ROOT / RSPECT[0], *RSPECT[1:], "--out", tmp_path / "out")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert (
        "RSPECT/train.csv: expected the labels, to count the studies, found no such file; check --labels" in result.err
    )
    assert not (tmp_path / "out").exists()


def test_overrides_are_passed_on_to_each_command(pectl, tmp_path: Path) -> None:
    arguments = ("--studies", 9, "--set", "stage1.weights=my file.pth", "--seed", 4, "--out", tmp_path / "o")
    assert pectl("slurm", ROOT / RSPECT[0], *RSPECT[1:], *arguments).code == 0
    for path in (tmp_path / "o").glob("*.sbatch"):
        assert "rspect.toml --set 'stage1.weights=my file.pth' --seed 4)\n" in path.read_text()
    wrong = pectl("slurm", ROOT / RSPECT[0], *RSPECT[1:], "--set", "stage1.epoch=4", "--out", tmp_path / "p")
    assert (wrong.code, wrong.err.count("\n")) == (1, 1)
    assert "stage1.epoch: unknown key" in wrong.err
