"""MONAI Deploy: folders in the variables of a MONAI Application Package (MAP).

Source (read in November 2026): the MAP specification and `docs/source` of Project-MONAI/monai-deploy-app-sdk.
"""

from pectl.orchestrators.contract import Environment, Item, Orchestrator, folder_of


class MonaiDeploy(Orchestrator):
    """Any files in the input folder; DICOM objects and a JSON side by side in the output folder."""

    def items(self, environment: Environment) -> list[Item]:
        """Return the one folder of this run."""
        source, out = (folder_of(environment, name) for name in ("HOLOSCAN_INPUT_PATH", "HOLOSCAN_OUTPUT_PATH"))
        return [Item(source, out, out / "result.json")]
