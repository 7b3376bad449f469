"""A bundle that isn't loaded yet."""

import subprocess
import sys
from pathlib import Path

import pytest

from pectl.bundle.unloaded import UnloadedBundle
from pectl.errors import LineageError
from pectl.steps.bundle import make_bundle
from tests.tiny_instrument import PREPROCESS, tiny_member, write_runs

TRAINED = {"1.1": "train", "1.2": "val"}


def bundle(folder: Path, seed: int) -> Path:
    runs = write_runs(tiny_member(seed), folder / f"runs-{seed}", trained=TRAINED)
    path = folder / f"{seed}.pectl"
    make_bundle([runs], path)
    return path


def test_it_says_what_the_loaded_one_does(tmp_path):
    opened = UnloadedBundle.open(bundle(tmp_path, 0))
    loaded = opened.load()
    assert (opened.model, opened.preprocess) == (loaded.model, loaded.preprocess)
    assert opened.preprocess == PREPROCESS
    assert loaded.load() is loaded


def test_another_file_in_its_place_is_refused(tmp_path):
    path = bundle(tmp_path, 0)
    opened = UnloadedBundle.open(path)
    bundle(tmp_path, 1).replace(path)
    with pytest.raises(LineageError, match="expected the bundle that was opened, of digest"):
        opened.load()


def test_opening_imports_no_torch(tmp_path):
    code = (
        "import sys; from pathlib import Path; from pectl.bundle.unloaded import UnloadedBundle;"
        "UnloadedBundle.open(Path(sys.argv[1])); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, bundle(tmp_path, 0)], check=False).returncode == 0
