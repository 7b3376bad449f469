"""Train stage 1, the window encoder, on the windows of a study store."""

from pathlib import Path

import torch

from pectl.config import Config
from pectl.core.models.weights import load_pretrained
from pectl.core.storage.estimate import Expect
from pectl.core.storage.processes import find_processes
from pectl.core.storage.stamp import digest_of
from pectl.core.stores.study_store import StudyStore
from pectl.inference.device import DeviceName
from pectl.inference.precision import Trial, choose_precision
from pectl.report.learning_curves import draw_learning_curves
from pectl.training.device import make_fabric
from pectl.training.estimate_networks import estimate_stage1
from pectl.training.loop import Progress
from pectl.training.networks import encoder_spec, new_encoder
from pectl.training.pretrained import described, made_from_weights, splits_with_seen, tell
from pectl.training.run import Resume, RunFolder
from pectl.training.stage1 import Stage1Task, WindowSource, example_windows
from pectl.training.train import Plan, train


def train_stage1(  # noqa: PLR0913 - what from, where to, how, and who watches
    store_path: Path,
    out: Path,
    config: Config,
    *,
    device: DeviceName,
    resume: Resume,
    progress: Progress,
    workers: int = 0,
    expect: Expect = lambda estimate: None,
) -> dict[str, float]:
    """Train the window encoder on the store's `train` split and keep the best on `val`.

    Args:
        store_path: a finished study store.
        out: the run folder.
        config: the experiment; `windows`, `stage1` and `seed` are used.
        device: where to train; in several processes if torchrun or srun started them.
        resume: go on with the run in `out`; "changed" though its configuration was another.
        progress: called with (steps done, steps of all epochs).
        workers: processes that read windows beside each training process; 0 reads in a thread.
        expect: called with what the training will need, before it begins.

    Returns:
        The metrics of the best epoch.
    """
    torch.manual_seed(config.seed)
    model = new_encoder(config)
    store = StudyStore.open(store_path)
    source = WindowSource.of(store, config)
    pretrained = load_pretrained(model, config.stage1.weights, config.windows)
    splits = splits_with_seen(store, pretrained)
    trial = Trial(model, lambda: example_windows(config), trains=True)
    precision = choose_precision(device, config.stage1.precision, key="stage1.precision", trial=trial)
    fabric = make_fabric(device, precision, find_processes())
    plan = Plan(
        stage="stage1",
        task=Stage1Task(model, source, config, fabric),
        optimizer=config.stage1,
        made_from={"study_store": store.stamp.digest, "split": store.split_fingerprint} | made_from_weights(pretrained),
        config_digest=digest_of(config.windows.digest(), config.stage1.digest(), config.seed),
        splits=splits,
        estimate=estimate_stage1(config, encoder_spec(config), gpu=fabric.device.type == "cuda"),
        facts={
            "windows": config.windows.model_dump(mode="json"),
            "input_px": config.stage1.input_px,
            "pretrained": described(pretrained),
        },
        workers=workers,
        compiled=config.stage1.compile,
    )
    if fabric.is_global_zero:
        tell(pretrained)
    run = RunFolder(out)
    return train(
        plan,
        run,
        config,
        fabric=fabric,
        resume=resume,
        progress=progress,
        expect=expect,
        complete=lambda: draw_learning_curves(out),
    )
