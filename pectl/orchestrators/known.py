"""The orchestrators that there are."""

from pectl.orchestrators.contract import Orchestrator
from pectl.orchestrators.kaapana import Kaapana
from pectl.orchestrators.mercure import Mercure
from pectl.orchestrators.monai_deploy import MonaiDeploy

ORCHESTRATORS: dict[str, Orchestrator] = {"mercure": Mercure(), "kaapana": Kaapana(), "monai-deploy": MonaiDeploy()}
