"""A training from its plan to a finished run: what both stages do alike."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pandas as pd
from lightning_fabric import Fabric

from pectl.config import Config, OptimizerConfig
from pectl.core.models.checkpoint import weights_digest
from pectl.core.storage.estimate import Estimate, Expect
from pectl.training.loop import Progress, Trainer
from pectl.training.run import Resume, RunFolder
from pectl.training.task import Task
from pectl.training.together import Together


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be trained.

    Attributes:
        stage: stage1 or stage2.
        task: the data, the network and the loss.
        optimizer: the stage's section of the configuration.
        made_from: digests of what the run is made from.
        config_digest: of the part of the configuration that decides the result.
        splits: who is in which split, by StudyInstanceUID.
        estimate: what it will need.
        facts: what `run.json` also says.
        workers: processes that read batches beside each training process; 0 reads in a thread.
        compiled: whether torch compiles the network.
    """

    stage: str
    task: Task
    optimizer: OptimizerConfig
    made_from: dict[str, str]
    config_digest: str
    splits: "pd.Series[str]"
    estimate: Estimate
    facts: Mapping[str, object] = field(default_factory=dict)
    workers: int = 0
    compiled: bool = False


def train(  # noqa: PLR0913 - what, where to, how, and who watches
    plan: Plan,
    run: RunFolder,
    config: Config,
    *,
    fabric: Fabric,
    resume: Resume,
    progress: Progress,
    expect: Expect,
    complete: Callable[[], object] = lambda: None,
) -> dict[str, float]:
    """Train, and leave a finished run.

    Args:
        plan: what is to be trained.
        run: the folder.
        config: written beside the result.
        fabric: where to train.
        resume: go on with the run that is there; "changed" though its configuration was another.
        progress: called with (steps done, steps of all epochs).
        expect: called with the estimate before the training begins.
        complete: adds to the run what belongs to it, before it counts as done; called in one process.

    Returns:
        The metrics of the best epoch, that of the lowest validation loss.
    """
    together = Together(fabric)

    def begin() -> None:
        run.begin(config, plan.made_from | {"config": plan.config_digest}, plan.splits, resume=resume)
        run.announce(plan.estimate, expect)

    together.once(begin)
    trainer = Trainer(
        plan.task,
        run,
        plan.optimizer,
        fabric=fabric,
        seed=config.seed,
        workers=plan.workers,
        compiled=plan.compiled,
    )
    trainer.fit(progress)
    best = min(trainer.position.rows, key=lambda row: row["val_loss"])
    if together.writes:
        complete()
        run.finish(
            digest=weights_digest(run.best),
            made_from=plan.made_from,
            config_digest=plan.config_digest,
            stage=plan.stage,
            best={name: value for name, value in best.items() if not math.isnan(value)},  # no AUROC of one class
            **plan.facts,
        )
    return best
