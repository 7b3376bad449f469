"""The commands that take a variant from the study store to its evaluation; what is there isn't done again."""

import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.quality.variants import Variant
from pectl.config import Config, load_config
from pectl.core.storage.stamp import digest_of

_RULE = ("evaluate.threshold_rule=target-specificity", "evaluate.target=0.85")
"""The paper's specificity, found on validation."""


@dataclass(frozen=True)
class Experiment:
    """One comparison.

    Attributes:
        config: the configuration that is "ours".
        out: folder of everything: `cohort`, `store`, `stage1/`, `features/`, `stage2/`, `evaluation/`.
        overrides: `--set` of all variants.
        threads: of each command.
    """

    config: Path
    out: Path
    overrides: tuple[str, ...]
    threads: int

    @property
    def store(self) -> Path:
        """The study store, the same for all."""
        return self.out / "store"

    def make_store(self, workers: int) -> None:
        """Make the phantoms, and preprocess them; the split is the same for all seeds."""
        if (self.store / "studies.csv").exists():
            return
        cohort = self.out / "cohort"
        self.pectl("phantom", cohort, "--workers", workers, changes=self.overrides)
        what = ("preprocess", cohort, "--layout", "phantom", "--out", self.store)
        self.pectl(*what, "--workers", workers, changes=self.overrides)

    def chain(self, variant: Variant, seed: int) -> "Chain":
        """Return the chain of a variant trained with a seed."""
        changes = [*self.overrides, *_RULE, *variant.changes]
        if variant.doubles_epochs:
            epochs = load_config(self.config, list(self.overrides)).stage1.epochs
            changes.append(f"stage1.epochs={2 * epochs}")
        return Chain(self, variant, seed, tuple(changes))

    def pectl(self, *arguments: object, changes: Sequence[str]) -> None:
        """Run a command with the configuration and changes of it."""
        sets = [part for change in changes for part in ("--set", change)]
        command = [sys.executable, "-m", "pectl", *map(str, arguments), "--config", str(self.config), *sets, "--quiet"]
        environment = os.environ | {"OMP_NUM_THREADS": str(self.threads)}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


@dataclass(frozen=True)
class Chain:
    """One variant, trained with one seed."""

    experiment: Experiment
    variant: Variant
    seed: int
    changes: tuple[str, ...]

    @cached_property
    def _config(self) -> Config:
        return load_config(self.experiment.config, list(self.changes), self.seed)

    @property
    def _stage1_name(self) -> str:
        """All that the training of stage 1 depends on besides the store: variants that agree in it share it."""
        return digest_of(self._config.windows.digest(), self._config.stage1.digest(), self.seed)[:12]

    @property
    def _name(self) -> str:
        return f"{self.variant.name}-{digest_of(self._stage1_name, self._config.stage2.digest())[:8]}-{self.seed}"

    @property
    def stage1(self) -> Path:
        """The run of stage 1."""
        return self.experiment.out / "stage1" / self._stage1_name

    @property
    def features(self) -> Path:
        """Its features."""
        return self.experiment.out / "features" / self._stage1_name

    @property
    def stage2(self) -> Path:
        """The run of stage 2."""
        return self.experiment.out / "stage2" / self._name

    @property
    def evaluation(self) -> Path:
        """The evaluation on the test split."""
        return self.experiment.out / "evaluation" / self._name

    def evaluate(self) -> None:
        """Train both stages and evaluate, as far as it hasn't been done."""
        store = self.experiment.store
        if not (self.stage1 / "run.json").exists():
            self.pectl("train-stage1", store, "--out", self.stage1, "--resume")
        if not (self.features / "studies.csv").exists():
            self.pectl("extract-features", store, "--stage1", self.stage1, "--out", self.features)
        if not (self.stage2 / "run.json").exists():
            self.pectl("train-stage2", self.features, "--out", self.stage2, "--resume")
        if not (self.evaluation / "metrics.json").exists():
            self.pectl("evaluate", self.features, "--stage2", self.stage2, "--out", self.evaluation)

    def pectl(self, *arguments: object, changes: Sequence[str] = (), seed: int | None = None) -> None:
        """Run a command with the variant's configuration, and its seed unless told."""
        at = ("--seed", self.seed if seed is None else seed)
        self.experiment.pectl(*arguments, *at, changes=(*self.changes, *changes))


def by_training(chains: Iterable[Chain]) -> list[list[Chain]]:
    """Group chains by their training of stage 1: different groups may run side by side."""
    groups: dict[Path, list[Chain]] = {}
    for chain in chains:
        groups.setdefault(chain.stage1, []).append(chain)
    return list(groups.values())
