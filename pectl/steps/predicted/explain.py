"""Heat for a study that was just predicted, by the page that `pectl explain` makes."""

from pathlib import Path

from pectl.core.labels.names import PE_PRESENT
from pectl.core.stores.study_store import Study
from pectl.explanation.explainer import Explainer, Explanation
from pectl.inference.device import Engine
from pectl.inference.instrument import Instrument
from pectl.report.explanation.case import Case
from pectl.report.explanation.page import write_explanation


def explain_predicted(instrument: Instrument, engine: Engine, study: Study) -> Explanation:
    """Explain PE in a study by the first member of the instrument that predicted it."""
    member = instrument.members[0]
    explainer = Explainer(
        encoder=member.encoder,
        classifier=member.classifier,
        windows=instrument.windows,
        input_px=instrument.input_px,
        label=PE_PRESENT,
        method="layer-cam",
        engine=engine,
        extract_batch_size=instrument.batch_size,
        reference=member.heat_scale.reference("layer-cam", PE_PRESENT),
    )
    return explainer.explain(study)


def write_explained(instrument: Instrument, study: Study, explanation: Explanation, out: Path, *, seen: bool) -> None:
    """Write the page of a study that was explained.

    Args:
        instrument: that predicted it.
        study: of its preprocessing.
        explanation: of the study.
        out: the study's folder of pictures and pages.
        seen: the model was made with the study.
    """
    case = Case(
        study=study,
        explanation=explanation,
        measures={},
        measured_against={},
        decisions=instrument.members[0].decisions,
        lineage=instrument.lineage,
        seen_as="train" if seen else None,
    )
    write_explanation(out, case)
