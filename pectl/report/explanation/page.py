"""What `explain` leaves of a study: pictures, a page to scroll through, the heat as a volume, and JSON."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pectl.core.labels.names import EXAM_LABELS, IMAGE_LABEL, PE_PRESENT
from pectl.core.storage.files import read_json, write_json, write_text
from pectl.core.storage.h5 import VOXEL_FILTER, create_h5
from pectl.core.storage.stamp import RESEARCH_USE
from pectl.explanation.painting import SMALLEST_SHARE
from pectl.report.environment import inline_file, template_environment
from pectl.report.explanation import figures
from pectl.report.explanation.animation import write_animation
from pectl.report.explanation.case import Case
from pectl.report.explanation.content import FORMAT, VERSION, Json, describe
from pectl.report.explanation.nifti import write_nifti
from pectl.report.explanation.overview import draw_overview
from pectl.report.explanation.viewer import VIEWER_RANGES, packed_slice, viewer_data
from pectl.report.text import LABEL_TITLES, label_title

PAGE_NAME = "index.html"
_KNOWN = {1: "yes", 0: "no", None: "\N{EN DASH}"}


def write_explanation(out: Path, case: Case) -> Json:
    """Write everything about one explanation into a folder; the page is written last.

    Leaves `index.html` (self-contained, offline), `overview.png`, `slice_1.png` ... (the hottest first),
    `slices.gif`, `preview.jpg`, `explain.json`, `heat.nii.gz`, and `heat.h5` (`/heat` (D, S, S) float32 with the
    affine to LPS mm).

    Args:
        out: folder of this study.
        case: the study and its explanation.

    Returns:
        What `explain.json` holds.
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
    return content


def read_explanation(out: Path) -> Json | None:
    """Return what `explain.json` holds, None where an explanation isn't there or wasn't finished."""
    return read_json(out / "explain.json", made_by="pectl explain") if (out / PAGE_NAME).exists() else None


def summary_row(out: Path, content: Json) -> Json:
    """Return what a summary says of one study: `image`, `link`, `caption`, P(PE), whether it is positive, measures.

    Both paths start at the parent of `out`.
    """
    return {
        "image": f"{out.name}/preview.jpg",
        "link": f"{out.name}/{PAGE_NAME}",
        "caption": content["headline"],
        "positive": any(found[IMAGE_LABEL] == 1 for found in content["slices"]),
        "pe_probability": content["exam"][PE_PRESENT]["probability"],
        "measures": content["measures"],
    }


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
        file.attrs.update({"full_scale": explanation.full_scale, "scale": explanation.scale_meaning})
        file.attrs.update({"affine": study.affine, "spacing_mm": np.asarray(study.spacing_mm)})
        file.attrs.update({f"made_from_{name}": digest for name, digest in case.lineage.items()})
    write_nifti(out / "heat.nii.gz", explanation.heat, study.affine, f"pectl heat, {RESEARCH_USE}")


def _page(out: Path, case: Case, content: Json, captions: Mapping[str, str]) -> str:
    explanation, study = case.explanation, case.study
    slices = zip(study.hu, explanation.shown, strict=True)
    asked = explanation.label
    return (
        template_environment()
        .get_template("explain.html.j2")
        .render(
            content=content,
            rows=_label_rows(case),
            headline=content["headline"],
            title=label_title(asked),
            attention_titles=[LABEL_TITLES[name] for name in EXAM_LABELS],
            attention_shown=EXAM_LABELS.index(asked) if asked in EXAM_LABELS else 0,
            overview=inline_file(out / "overview.png"),
            pictures=[(inline_file(out / name), caption) for name, caption in captions.items()],
            volume=[packed_slice(hu, heat) for hu, heat in slices],
            viewer=viewer_data(explanation, study),
            ranges=VIEWER_RANGES,
            smallest_share=SMALLEST_SHARE,
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
