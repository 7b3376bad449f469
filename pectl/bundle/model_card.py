"""`MODEL_CARD.md` of a bundle, drawn from the runs, their evaluation and their features; the sections are CHAI's."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from pectl.bundle.contents import made_from
from pectl.bundle.evidence import Evidence
from pectl.bundle.pairs import Pair
from pectl.core.decisions.conformal import AbstainBand
from pectl.core.decisions.image_fusion import ImageFusion
from pectl.core.decisions.out_of_distribution import UNUSUAL_FINDINGS
from pectl.core.labels.names import EXAM_LABELS, PE_PRESENT
from pectl.core.storage.stamp import RESEARCH_USE, Stamp

_LEVELS = ("exam", "window", "image")

Json = dict[str, Any]


def model_card(pairs: Sequence[Pair], evidence: Evidence) -> str:
    """Return the card as Markdown."""
    loader = PackageLoader("pectl.bundle", "templates")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters |= {"estimate": _estimate, "number": _number, "cell": _cell}
    return environment.get_template("MODEL_CARD.md.j2").render(
        use=RESEARCH_USE,
        package_version=Stamp.package_version,
        made_from=made_from(pairs),
        members=[_member(pair) for pair in pairs],
        config={"preprocess": pairs[0].instrument.preprocess, "windows": pairs[0].instrument.windows},
        studies=_counts(pairs),
        training=None if evidence.studies is None else _training(evidence.studies),
        metrics=evidence.metrics,
        evaluated=evidence.evaluated,
        figures=_figures(evidence.metrics or {}),
        distance=evidence.distance,
        fingerprints=len(evidence.fingerprints),
        unusual=[code for code in UNUSUAL_FINDINGS if evidence.distance is None or code not in evidence.distance.usual],
    )


def _member(pair: Pair) -> Json:
    decisions = pair.member.decisions
    threshold = decisions.thresholds[PE_PRESENT]
    return {
        "stage1": _stage1(pair),
        "stage2": _stage2(pair),
        "threshold": threshold.value,
        "threshold_rule": threshold.reason or threshold.rule,
        "band": _band(decisions.band),
        "images": _images(decisions.image_fusion),
    }


def _stage1(pair: Pair) -> str:
    ranges = ", ".join(pair.instrument.windows.hu_ranges)
    return f"{pair.member.encoder.spec.backbone}, {pair.instrument.input_px} px, {ranges}"


def _stage2(pair: Pair) -> str:
    spec = pair.member.classifier.spec
    return f"{spec.model} of {spec.levels} levels, {spec.head} head, ensemble of {spec.ensemble}"


def _band(band: AbstainBand) -> str:
    """Say what the abstain band promises."""
    if not band.n_positive:
        return "No abstain band was fitted."
    out = f"ruled out below {_number(band.rule_out)}" if band.rule_out > 0 else "never ruled out (too few studies)"
    into = f"ruled in from {_number(band.rule_in)}" if band.rule_in <= 1 else "never ruled in (too few studies)"
    rates = f"at most {band.miss_rate:.3g} of PE missed, {band.false_alarm_rate:.3g} false alarms, on average"
    return f"PE is {out}, {into}: {rates}; no answer between."


def _images(fusion: ImageFusion) -> str:
    """Say how images are scored."""
    if fusion.kind == "mean":
        return f"Images are scored by the mean of the logits of slice and windows ({fusion.reason or 'not fitted'})."
    weights = (fusion.slice_weight, fusion.context_weight, fusion.intercept)
    logit = "{:.3f} x logit of the slice + {:.3f} x mean logit of its windows {:+.3f}".format(*weights)
    return f"The score of an image has the logit {logit}."


def _counts(pairs: Sequence[Pair]) -> dict[str, str]:
    """Return how many studies each split has; of several pairs, each one's."""
    found = [pair.splits.value_counts() for pair in pairs]
    return {split: ", ".join(str(int(one.get(split, 0))) for one in found) for split in ("train", "val", "test")}


def _training(studies: pd.DataFrame) -> Json:
    step = studies["slice_step_mm"]
    return {
        "n": len(studies),
        "labels": [
            {"label": name, "n_positive": int((studies[name] == 1).sum()), "n_known": int(studies[name].notna().sum())}
            for name in EXAM_LABELS
        ],
        "kernels": _values(studies["kernel"]),
        "manufacturers": _values(studies["manufacturer"]),
        "slice_step_mm": (f"{step.min():.3g}", f"{step.max():.3g}"),
    }


def _values(column: "pd.Series[str]") -> list[str]:
    return sorted(set(column) - {""}) or ["not known"]


def _figures(metrics: Mapping[str, Any]) -> list[Json]:
    """Return the blocks of all levels as rows."""
    blocks = ((level, label, block) for level in _LEVELS for label, block in (metrics.get(level) or {}).items())
    return [{"level": level, "label": label, **block} for level, label, block in blocks]


def _estimate(block: Mapping[str, Any], name: str) -> str:
    """Write `0.88 (0.85 to 0.91)`; a dash where it isn't defined."""
    bounds = block.get(f"{name}_ci")
    return _number(block[name]) + (f" ({_number(bounds[0])} to {_number(bounds[1])})" if bounds else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _cell(text: object) -> str:
    """Return text of headers as one cell of a Markdown table."""
    return " ".join(str(text).translate(str.maketrans("|`[]\n", "/'() ")).split())
