"""What `explain` leaves of a study: pictures, a page to scroll through, the heat as a volume, and JSON."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pectl.analysis.explain import Explanation
from pectl.core.data.files import write_json, write_text
from pectl.core.data.h5 import VOXEL_FILTER, create_h5
from pectl.core.data.labels import EXAM_LABELS
from pectl.core.data.predictions import PE_PRESENT
from pectl.core.data.stamp import RESEARCH_USE
from pectl.core.data.study_store import Study
from pectl.report import explain_figures as figures
from pectl.report.environment import inline_file, template_environment
from pectl.report.explain_content import FORMAT, VERSION, Json, describe
from pectl.report.explain_nifti import write_nifti
from pectl.report.explain_overview import draw_overview
from pectl.report.explain_viewer import VIEWER_RANGES, packed_slice, viewer_data
from pectl.report.text import LABEL_TITLES

PAGE_NAME = "index.html"
_KNOWN = {1: "yes", 0: "no", None: "unknown"}


def write_explanation(
    out: Path, explanation: Explanation, study: Study, *, lineage: Mapping[str, str]
) -> dict[str, str]:
    """Write everything about one explanation into a folder; the page is written last.

    Leaves `index.html` (self-contained, offline), `overview.png`, `slice_1.png` ... (the hottest first),
    `explain.json`, `heat.h5` (`/heat` (D, S, S) float32 with the affine to LPS mm) and `heat.nii.gz`.

    Args:
        out: folder of this study.
        explanation: of `study`.
        study: of the study store.
        lineage: digests of store, stage 1, features, stage 2 by name.

    Returns:
        `image`, `link` and `caption` for the evaluation report; both paths start at the parent of `out`.
    """
    shown = figures.hot_slices(explanation, study)
    pictures = [f"slice_{place}.png" for place in range(1, len(shown) + 1)]
    for name, index in zip(pictures, shown, strict=True):
        figures.draw_slice(out / name, explanation, study, index)
    draw_overview(out / "overview.png", explanation, study)
    _write_heat(out, explanation, study, lineage)
    content = describe(explanation, study, lineage) | {"pictures": ["overview.png", *pictures]}
    write_json(out / "explain.json", content)
    captions = [figures.slice_caption(explanation, study, index) for index in shown]
    write_text(out / PAGE_NAME, _page(out, explanation, study, content, dict(zip(pictures, captions, strict=True))))
    caption = _headline(explanation)
    return {"image": f"{out.name}/{pictures[0]}", "link": f"{out.name}/{PAGE_NAME}", "caption": caption}


def _write_heat(out: Path, explanation: Explanation, study: Study, lineage: Mapping[str, str]) -> None:
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
        file.attrs.update({f"made_from_{name}": digest for name, digest in lineage.items()})
    write_nifti(out / "heat.nii.gz", explanation.heat, study.affine, f"pectl heat, {RESEARCH_USE}")


def _headline(explanation: Explanation) -> str:
    """Say in one line what the chain thinks and where the heat peaks."""
    probability = f"P(PE) {explanation.exam_probability[PE_PRESENT]:.2f}"
    if explanation.peak is None:
        return f"{probability}; nothing in the scan spoke for {figures.label_title(explanation.label)}"
    label = {1: "in a slice with PE", 0: "in a slice without PE"}.get(explanation.peak.slice_label, "label unknown")
    return f"{probability}; peak {label}"


def _page(out: Path, explanation: Explanation, study: Study, content: Json, captions: Mapping[str, str]) -> str:
    slices = zip(study.hu, figures.relative_heat(explanation), strict=True)
    return (
        template_environment()
        .get_template("explain.html.j2")
        .render(
            content=content,
            rows=_label_rows(explanation, study),
            headline=_headline(explanation),
            title=figures.label_title(explanation.label),
            overview=inline_file(out / "overview.png"),
            pictures=[(inline_file(out / name), caption) for name, caption in captions.items()],
            volume=[packed_slice(hu, heat) for hu, heat in slices],
            viewer=viewer_data(explanation, study),
            ranges=VIEWER_RANGES,
            shape=study.hu.shape,
        )
    )


def _label_rows(explanation: Explanation, study: Study) -> list[Json]:
    return [
        {
            "title": LABEL_TITLES[name],
            "p": explanation.exam_probability[name],
            "truth": _KNOWN[_known(study, name)],
            "explained": name == explanation.label,
        }
        for name in (PE_PRESENT, *EXAM_LABELS)
    ]


def _known(study: Study, name: str) -> int | None:
    if name != PE_PRESENT:
        return study.exam_labels[name]
    negative, indeterminate = study.exam_labels["negative_exam_for_pe"], study.exam_labels["indeterminate"]
    return None if negative is None or indeterminate is None else int(negative + indeterminate == 0)
