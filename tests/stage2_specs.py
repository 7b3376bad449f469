"""The spec of a small sequence classifier, which a test changes where it matters."""

import dataclasses

from pectl.core.models.stage2 import Stage2Spec

PLAIN = Stage2Spec(
    model="tcn",
    feature_size=3,
    hidden=4,
    levels=1,
    kernel_size=3,
    causal=False,
    dropout=0.0,
    head="independent",
    position=False,
    ensemble=1,
)


def stage2_spec(**changes: object) -> Stage2Spec:
    return dataclasses.replace(PLAIN, **changes)
