"""How the members of a bundle are named, for who writes and who reads them."""

CARD, CONFIG, DECISIONS, METRICS = "MODEL_CARD.md", "config.json", "decisions.json", "metrics.json"
OUT_OF_DISTRIBUTION, SEEN, FINGERPRINTS = "ood.json", "seen.json", "fingerprints.json"
HEAT_SCALE = "heat_scale.json"


def model_name(stage: str, number: int, part: str) -> str:
    """Return the name of a model's part: `stage1/1/model.safetensors`."""
    return f"{stage}/{number}/{part}"


def made_from_name(name: str, number: int) -> str:
    """Return how the digest of a pair's input is named."""
    return name if number == 1 else f"{name}/{number}"
