"""What `explain` leaves of a study: pictures, a page to scroll through, the heat as a volume, and JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pectl.core.data.files import write_json, write_text
from pectl.core.data.h5 import VOXEL_FILTER, create_h5
from pectl.core.data.labels import EXAM_LABELS
from pectl.core.data.predictions import PE_PRESENT
from pectl.core.data.stamp import RESEARCH_USE
from pectl.report import explain_figures as figures
from pectl.report.environment import inline_file, template_environment
from pectl.report.explain_animation import write_animation
from pectl.report.explain_case import Case
from pectl.report.explain_content import FORMAT, VERSION, Json, describe
from pectl.report.explain_nifti import write_nifti
from pectl.report.explain_overview import draw_overview
from pectl.report.explain_viewer import VIEWER_RANGES, packed_slice, viewer_data
from pectl.report.text import LABEL_TITLES

PAGE_NAME = "index.html"
_KNOWN = {1: "yes", 0: "no", None: "\N{EN DASH}"}


def write_explanation(out: Path, case: Case) -> dict[str, Any]:
    """Write everything about one explanation into a folder; the page is written last.

    Leaves `index.html` (self-contained, offline), `overview.png`, `slice_1.png` ... (the hottest first),
    `slices.gif`, `preview.jpg`, `explain.json`, `heat.nii.gz`, and `heat.h5` (`/heat` (D, S, S) float32 with the
    affine to LPS mm).

    Args:
        out: folder of this study.
        case: the study and its explanation.

    Returns:
        `image`, `link` and `caption` for reports of many studies; both paths start at the parent of `out`.
    """
    explanation, study = case.explanation, case.study
    shown = figures.hot_slices(explanation, study)
    pictures = [f"slice_{place}.png" for place in range(1, len(shown) + 1)]
    for name, index in zip(pictures, shown, strict=True):
        figures.draw_slice(out / name, explanation, study, index)
    draw_overview(out / "overview.png", explanation, study)
    write_animation(out / "slices.gif", explanation, study)
    figures.write_preview(out / "preview.jpg", explanation, study, shown[0])
    _write_heat(out, case)
    content = describe(case) | {"pictures": ["overview.png", *pictures, "slices.gif"]}
    write_json(out / "explain.json", content)
    captions = [figures.slice_caption(explanation, study, index) for index in shown]
    write_text(out / PAGE_NAME, _page(out, case, content, dict(zip(pictures, captions, strict=True))))
    return {"image": f"{out.name}/preview.jpg", "link": f"{out.name}/{PAGE_NAME}", "caption": headline(case)}


def _write_heat(out: Path, case: Case) -> None:
    explanation, study = case.explanation, case.study
    with create_h5(out / "heat.h5") as file:
        chunks = (1, *explanation.heat.shape[1:])
        file.create_dataset("heat", data=explanation.heat, chunks=chunks, **VOXEL_FILTER)
        about = {
            "format": f"{FORMAT}-heat",
            "version": VERSION,
            "use": RESEARCH_USE,
            "study_uid": explanation.uid,
        }
        file.attrs.update(about | {"label": explanation.label, "method": explanation.method})
        file.attrs.update({"affine": study.affine, "spacing_mm": np.asarray(study.spacing_mm)})
        file.attrs.update({f"made_from_{name}": digest for name, digest in case.lineage.items()})
    write_nifti(out / "heat.nii.gz", explanation.heat, study.affine, f"pectl heat, {RESEARCH_USE}")


def headline(case: Case) -> str:
    """Say in one line what the chain thinks and where the heat peaks."""
    probability = f"P(PE) {case.answers()[PE_PRESENT].probability:.2f}"
    peak = case.explanation.peak
    if peak is None:
        return f"{probability}; nothing in the scan spoke for {figures.label_title(case.explanation.label)}"
    label = {1: "in a slice with PE", 0: "in a slice without PE"}.get(peak.slice_label, "label unknown")
    return f"{probability}; peak {label}"


def _page(out: Path, case: Case, content: Json, captions: Mapping[str, str]) -> str:
    explanation, study = case.explanation, case.study
    slices = zip(study.hu, figures.relative_heat(explanation), strict=True)
    asked = explanation.label
    return (
        template_environment()
        .get_template("explain.html.j2")
        .render(
            content=content,
            rows=_label_rows(case),
            headline=headline(case),
            title=figures.label_title(asked),
            attention_titles=[LABEL_TITLES[name] for name in EXAM_LABELS],
            attention_shown=EXAM_LABELS.index(asked) if asked in EXAM_LABELS else 0,
            overview=inline_file(out / "overview.png"),
            pictures=[(inline_file(out / name), caption) for name, caption in captions.items()],
            volume=[packed_slice(hu, heat) for hu, heat in slices],
            viewer=viewer_data(explanation, study),
            ranges=VIEWER_RANGES,
            shape=study.hu.shape,
        )
    )


def _label_rows(case: Case) -> list[Json]:
    return [
        answer._asdict()
        | {
            "title": LABEL_TITLES[name],
            "call": "yes" if answer.called else "no",
            "truth": _KNOWN[answer.known],
            "explained": name == case.explanation.label,
        }
        for name, answer in case.answers().items()
    ]
