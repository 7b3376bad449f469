"""Heat for a study that was just predicted, and the page that `pectl explain` makes of it."""

from pathlib import Path

from pectl.core.labels.names import PE_PRESENT
from pectl.core.stores.study_store import Study
from pectl.explanation.explainer import Explainer, Explanation
from pectl.inference.device import Engine
from pectl.inference.instrument import Instrument
from pectl.report.explanation.case import Case
from pectl.report.explanation.page import write_explanation


def heat_of(instrument: Instrument, engine: Engine, study: Study) -> Explanation:
    """Explain PE in a study of the instrument's preprocessing by its first member."""
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
    )
    return explainer.explain(study)


def write_predicted_page(instrument: Instrument, study: Study, explanation: Explanation, out: Path) -> None:
    """Write the pictures and the page of a study's explanation into its folder."""
    case = Case(
        study=study,
        explanation=explanation,
        measures={},
        measured_against=(),
        decisions=instrument.members[0].decisions,
        lineage=instrument.lineage,
        seen_as="train" if instrument.has_seen(study.uid) else None,
    )
    write_explanation(out, case)
