"""A small model with random weights, and the preprocessing that its studies need."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pectl.config import Config, PreprocessConfig, WindowsConfig, write_config
from pectl.core.decisions.calibration import Calibrator
from pectl.core.decisions.conformal import AbstainBand
from pectl.core.decisions.decisions import EXAM_NAMES, Decisions
from pectl.core.decisions.image_fusion import ImageFusion
from pectl.core.models.checkpoint import save_model
from pectl.core.models.stage1 import Stage1Spec, WindowEncoder
from pectl.core.models.stage2 import SequenceClassifier
from pectl.core.storage.files import write_json
from pectl.core.storage.stamp import Stamp, write_stamp
from pectl.core.stores.feature_store import feature_digest
from pectl.core.stores.runs import FORMAT, VERSION, best_model
from pectl.core.stores.study_store import store_digest
from pectl.inference.instrument import Instrument, Member, seen_tokens
from tests.stage2_specs import stage2_spec

PREPROCESS = PreprocessConfig(slice_spacing_mm=6.0, in_plane_px=32, min_slices=8)
WINDOWS = WindowsConfig(length=6, stride=3, hu_ranges={"pe": (-250.0, 450.0)})
TEMPERATURES = np.linspace(0.5, 2.0, len(EXAM_NAMES))


def tiny_decisions(*, rule_out: float = 0.2, rule_in: float = 0.6) -> Decisions:
    """Return decisions with another calibrator for each label, and images scored by slice and context unevenly."""
    calibrators = {
        name: Calibrator("temperature", temperature=float(value))
        for name, value in zip(EXAM_NAMES, TEMPERATURES, strict=True)
    }
    return Decisions(
        split="val",
        calibrators=calibrators,
        band=AbstainBand(rule_out, rule_in, 0.05, 0.1, 40, 60),
        image_fusion=ImageFusion("logistic", slice_weight=0.9, context_weight=0.4, intercept=-0.7),
    )


def tiny_member(seed: int = 0, decisions: Decisions | None = None) -> Member:
    """Return both stages with the weights of a seed."""
    torch.manual_seed(seed)
    spec = Stage1Spec(backbone="slim_16", in_channels=1, slice_supervision=True)
    classifier = SequenceClassifier(replace(stage2_spec(), feature_size=128)).eval()
    return Member(encoder=WindowEncoder(spec), classifier=classifier, decisions=decisions or tiny_decisions())


def tiny_instrument(*members: Member, seen: tuple[str, ...] = (), digest: str = "d1", **more: object) -> Instrument:
    """Return an instrument of these members, by default of one."""
    parts = {"out_of_distribution": None, "version": "1", "lineage": {"stage1": "a", "stage2": "b"}}
    return Instrument(
        members=members or (tiny_member(),),
        preprocess=PREPROCESS,
        windows=WINDOWS,
        input_px=32,
        seen=seen_tokens(seen),
        name="tiny",
        digest=digest,
        **parts | more,
    )


def write_runs(member: Member, root: Path, *, trained: dict[str, str]) -> tuple[Path, Path]:
    """Write a member as two finished runs, `root/stage1` and `root/stage2`, made with studies of these splits."""
    config = Config(preprocess=PREPROCESS, windows=WINDOWS)
    described = {"windows": WINDOWS.model_dump(mode="json"), "input_px": 32}
    made_from = {"study_store": store_digest(PREPROCESS), "split": "none"}
    stage1 = _write_run(root / "stage1", member.encoder, config, made_from, trained, stage="stage1", **described)
    features = feature_digest(store=made_from["study_store"], stage1=stage1, windows=WINDOWS.digest())
    _write_run(root / "stage2", member.classifier, config, {"features": features}, trained, stage="stage2")
    write_json(root / "stage2" / "decisions.json", member.decisions.to_json())
    return root / "stage1", root / "stage2"


def _write_run(run, model, config, made_from, trained, **more) -> str:
    digest = save_model(model, best_model(run))
    write_config(config, run / "config.toml")
    lines = [f"{uid},{split}" for uid, split in trained.items()]
    (run / "splits.csv").write_text("\n".join(["StudyInstanceUID,split", *lines, ""]))
    stamp = Stamp(format=FORMAT, version=VERSION, digest=digest, made_from=made_from, config_digest="none")
    write_stamp(run / "run.json", stamp, **more)
    return digest
