"""`pectl explain` of one study straight from DICOM at the size of Ma et al. 2022, by untrained runs.

By itself: python -m benchmarks.explaining
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch
from pydicom.uid import ExplicitVRLittleEndian

from benchmarks.series import write_series
from benchmarks.timing import Row
from pectl.config import Config
from pectl.core.decisions.decisions import Decisions
from pectl.core.models.checkpoint import save_model, weights_digest
from pectl.core.models.stage1 import WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier
from pectl.core.storage.files import write_json
from pectl.core.stores.feature_store import feature_digest
from pectl.core.stores.study_store import store_digest
from pectl.training.networks import classifier_spec, encoder_spec
from pectl.training.run import RunFolder

_NOBODY = pd.Series(dtype=str, name="split", index=pd.Index([], name="StudyInstanceUID"))


def explain_rows(folder: Path) -> Iterator[Row]:
    """Yield a row for each stride and precision of stage 1: seconds of the whole command, and the size of the page.

    Args:
        folder: for the study of 300 slices, the runs and the results.
    """
    dicom = folder / "to_explain"
    write_series(dicom, ExplicitVRLittleEndian)
    for stride in (10, 5):
        runs = folder / f"runs-{stride}"
        write_untrained_runs(runs, stride=stride)
        for precision in ("fp32", "bf16"):
            yield _explain_row(dicom, runs, folder / f"explained-{stride}-{precision}", f"stride {stride}", precision)


def _explain_row(dicom: Path, runs: Path, out: Path, name: str, precision: str) -> Row:
    command = [sys.executable, "-m", "pectl", "explain", str(dicom), "--stage1", str(runs / "stage1")]
    command += ["--stage2", str(runs / "stage2"), "--out", str(out), "--device", "cpu", "--quiet"]
    command += ["--set", f"stage1.extract_precision={precision}"]
    begin = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    size = next(out.glob("*/index.html")).stat().st_size / 1e6
    told = done.stdout.split("(")[1].split(")")[0]
    what = f"explain a study from DICOM, r3d_18, 192 px, {name}, {precision}"
    return (what, f"{seconds:.0f} s", told, f"page {size:.0f} MB")


def write_untrained_runs(folder: Path, *, stride: int, small: tuple[int, int] | None = None) -> None:
    """Write both runs as training would leave them, with the weights they would begin with.

    Args:
        folder: of both.
        stride: of the windows.
        small: pixels of the store and of the network, which is `slim_16` then.
    """
    torch.manual_seed(0)
    plain = Config()
    backbone, px = ("slim_16", small[1]) if small else ("r3d_18", 192)
    config = plain.model_copy(
        update={
            "preprocess": plain.preprocess.model_copy(update={"in_plane_px": small[0]} if small else {}),
            "windows": plain.windows.model_copy(update={"stride": stride}),
            "stage1": plain.stage1.model_copy(update={"backbone": backbone, "input_px": px}),
        }
    )
    store = store_digest(config.preprocess)
    first, second = RunFolder(folder / "stage1"), RunFolder(folder / "stage2")
    encoder = WindowEncoder(encoder_spec(config))
    _write(
        first,
        config,
        encoder,
        {"study_store": store},
        stage="stage1",
        windows=config.windows.model_dump(mode="json"),
        input_px=px,
    )
    features = feature_digest(store=store, stage1=weights_digest(first.best), windows=config.windows.digest())
    spec = classifier_spec(config, encoder.feature_size, encoder.age_at)
    _write(second, config, SequenceClassifier(spec), {"features": features}, stage="stage2")
    write_json(second.path / "decisions.json", Decisions().to_json())


def _write(run: RunFolder, config: Config, model: torch.nn.Module, made_from: dict[str, str], **more: object) -> None:
    run.begin(config, made_from | {"config": config.digest()}, _NOBODY, resume=False)
    digest = save_model(model.eval(), run.best)
    run.finish(digest=digest, made_from=made_from, config_digest=config.digest(), **more)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        for row in explain_rows(Path(scratch)):
            print("| " + " | ".join(row) + " |", flush=True)
