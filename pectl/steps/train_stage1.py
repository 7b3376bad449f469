"""Train stage 1, the window encoder, on the windows of a study store."""

from pathlib import Path

import torch

from pectl.config import Config
from pectl.core.models.checkpoint import weights_digest
from pectl.core.models.weights import load_pretrained
from pectl.core.storage.estimate import Expect
from pectl.core.storage.stamp import digest_of
from pectl.core.stores.study_store import StudyStore
from pectl.training.device import DeviceName, check_gradients, make_fabric
from pectl.training.estimate_networks import estimate_stage1
from pectl.training.loop import Progress, Trainer
from pectl.training.networks import encoder_spec, new_encoder
from pectl.training.pretrained import described, made_from_weights, splits_with_seen, tell
from pectl.training.processes import find_processes
from pectl.training.run import Resume, RunFolder
from pectl.training.stage1 import Stage1Task, WindowSource
from pectl.training.together import Together

STAGE = "stage1"


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
    fabric = make_fabric(device, config.stage1.precision, find_processes())
    together = Together(fabric)
    store = StudyStore.open(store_path)
    config_digest = digest_of(config.windows.digest(), config.stage1.digest(), config.seed)
    source = WindowSource.of(store, config)
    torch.manual_seed(config.seed)
    task = Stage1Task(new_encoder(config), source, config, fabric)
    pretrained = load_pretrained(task.model, config.stage1.weights, config.windows)
    splits = splits_with_seen(store, pretrained)
    made_from = {"study_store": store.stamp.digest, "split": store.split_fingerprint} | made_from_weights(pretrained)
    check_gradients(fabric, config.stage1.precision, task.model, task.example)
    estimate = estimate_stage1(config, encoder_spec(config), gpu=fabric.device.type == "cuda")
    run = RunFolder(out)

    def begin() -> None:
        run.begin(config, made_from | {"config": config_digest}, splits, resume=resume)
        tell(pretrained)
        run.announce(estimate, expect)

    together.once(begin)
    trainer = Trainer(
        task, run, config.stage1, fabric=fabric, seed=config.seed, workers=workers, compiled=config.stage1.compile
    )
    trainer.fit(progress)
    best = min(trainer.position.rows, key=lambda row: row["val_loss"])
    if together.writes:
        run.finish(
            digest=weights_digest(run.best),
            made_from=made_from,
            config_digest=config_digest,
            stage=STAGE,
            windows=config.windows.model_dump(mode="json"),
            input_px=config.stage1.input_px,
            best=best,
            pretrained=described(pretrained),
        )
    return best
