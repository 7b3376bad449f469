"""Kaapana, by its Task API: channels that `processing-container.json` declares, a folder for each item inside.

Source (read in November 2026): "Developing a Processing-Container" in the documentation of kaapana/kaapana. The
platform sets no variable of its own: those read here are in the `env` of `containers/processing-container.json`.
"""

from pectl.errors import InputMissingError
from pectl.orchestrators.contract import Environment, Item, Orchestrator, folder_of


class Kaapana(Orchestrator):
    """Each item is predicted by itself, and has a folder of its name in both output channels."""

    def items(self, environment: Environment) -> list[Item]:
        """Return the items of the input channel, in the order of their names."""
        names = ("PECTL_INPUT_CHANNEL", "PECTL_DICOM_CHANNEL", "PECTL_RESULT_CHANNEL")
        source, objects, results = (folder_of(environment, name) for name in names)
        folders = sorted(path for path in source.iterdir() if path.is_dir())
        if not folders:
            raise InputMissingError(
                where=source,
                expected="a folder for each item",
                found="none",
                fix="map the output channel of the operator before to this input channel",
            )
        return [Item(one, objects / one.name, results / one.name / "result.json") for one in folders]
