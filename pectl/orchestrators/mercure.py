"""mercure: a container for each series or study, folders in two variables, and a notification in the result.

Sources (read in November 2026): `docs/modules.rst` and `process/process_series.py` of mercure-imaging/mercure.
"""

from collections.abc import Collection, Sequence
from typing import Any

from pectl.core.storage.files import read_json
from pectl.errors import ConfigError
from pectl.inference.prediction import Prediction
from pectl.orchestrators.contract import NOTE, Environment, Item, Orchestrator, folder_of, needs_a_look, sentence


class Mercure(Orchestrator):
    """Files lie side by side, named `<SeriesInstanceUID>#<SOPInstanceUID>.dcm`, in and out."""

    def items(self, environment: Environment) -> list[Item]:
        """Return the one folder of this task."""
        source, out = (folder_of(environment, name) for name in ("MERCURE_IN_DIR", "MERCURE_OUT_DIR"))
        return [Item(source, out, out / "result.json")]

    def kinds(self, environment: Environment) -> str | None:
        """Return `dicom` of the settings of the module and rule, which mercure hands on in `task.json`.

        Nothing else of the file is looked at: it names the patient.
        """
        path = folder_of(environment, "MERCURE_IN_DIR") / "task.json"
        task = read_json(path, made_by="mercure") if path.exists() else {}
        process = task.get("process")
        settings = process.get("settings") if isinstance(process, dict) else None
        kinds = settings.get("dicom") if isinstance(settings, dict) else None
        if kinds is not None and not isinstance(kinds, str):
            raise ConfigError(
                where="task.json, process, settings, dicom",
                expected='words such as "sr,key-images"',
                found=type(kinds).__name__,
                fix="change the settings of the module or the rule in mercure",
            )
        return kinds

    def file_name(self, *, series: str, image: str) -> str:
        """Return a name by mercure's convention, so that a module that follows can read it."""
        return f"{series}#{image}.dcm"

    def more(self, predictions: Sequence[Prediction], without_dicom: Collection[str]) -> dict[str, Any]:
        """Return the notification: it is asked for unless all studies are without PE, and answered."""
        lacking = {one.study: ", no DICOM objects" for one in predictions if one.study in without_dicom}
        text = "; ".join(f"{sentence(one)}{lacking.get(one.study, '')}" for one in predictions)
        requested = bool(lacking) or any(map(needs_a_look, predictions))
        return {"__mercure_notification": {"text": f"{text}. {NOTE}", "requested": requested}}
