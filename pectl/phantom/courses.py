"""The fixed courses of the named vessels, in body-frame mm; the trees grow on from their ends."""

from dataclasses import dataclass
from typing import Literal

Side = Literal["right", "left", "middle"]
Level = Literal["trunk", "main", "lobar", "segmental", "subsegmental"]
Course = tuple[tuple[float, float, float], ...]

LOBES = ("RU", "RM", "RL", "LU", "LL")
"""Right upper, middle, lower; left upper, lower."""


@dataclass(frozen=True)
class Stem:
    """A named vessel: its course, the lobes it feeds, and the stem it comes from."""

    points: Course
    lobes: tuple[str, ...]
    level: Level
    side: Side
    parent: str | None


_BIFURCATION = (17.0, -24.0, -24.0)
_RIGHT_HILUM = (-34.0, 3.0, -23.0)
_LEFT_HILUM = (45.0, 18.0, -14.0)
_RIGHT_BASE = (-50.0, 14.0, -52.0)

ARTERY_STEMS = {
    "trunk": Stem(
        ((13.0, -54.0, -62.0), (16.0, -50.0, -48.0), (19.0, -40.0, -34.0), _BIFURCATION),
        LOBES,
        "trunk",
        "middle",
        None,
    ),
    "right main": Stem(
        (_BIFURCATION, (4.0, -8.0, -21.0), (-14.0, 1.0, -21.0), _RIGHT_HILUM),
        ("RU", "RM", "RL"),
        "main",
        "right",
        "trunk",
    ),
    "left main": Stem(
        (_BIFURCATION, (27.0, -10.0, -17.0), (38.0, 6.0, -11.0), _LEFT_HILUM),
        ("LU", "LL"),
        "main",
        "left",
        "trunk",
    ),
    "right upper": Stem(
        (_RIGHT_HILUM, (-43.0, -4.0, -12.0), (-50.0, -6.0, 0.0)), ("RU",), "lobar", "right", "right main"
    ),
    "right interlobar": Stem(
        (_RIGHT_HILUM, (-46.0, 8.0, -36.0), _RIGHT_BASE), ("RM", "RL"), "lobar", "right", "right main"
    ),
    "right middle": Stem(
        (_RIGHT_BASE, (-57.0, 2.0, -56.0), (-63.0, -10.0, -62.0)),
        ("RM",),
        "lobar",
        "right",
        "right interlobar",
    ),
    "right lower": Stem(
        (_RIGHT_BASE, (-54.0, 22.0, -62.0), (-56.0, 28.0, -72.0)),
        ("RL",),
        "lobar",
        "right",
        "right interlobar",
    ),
    "left upper": Stem((_LEFT_HILUM, (54.0, 8.0, -8.0), (58.0, -2.0, -2.0)), ("LU",), "lobar", "left", "left main"),
    "left lower": Stem(
        (_LEFT_HILUM, (50.0, 27.0, -32.0), (53.0, 32.0, -50.0), (56.0, 34.0, -66.0)),
        ("LL",),
        "lobar",
        "left",
        "left main",
    ),
}
"""Pulmonary arteries down to the lobes; the interlobar artery counts as lobar."""

VEIN_STEMS = {
    "right superior": Stem(
        ((-16.0, 8.0, -54.0), (-32.0, -4.0, -46.0), (-48.0, -16.0, -34.0)),
        ("RU", "RM"),
        "lobar",
        "right",
        None,
    ),
    "right inferior": Stem(
        ((-16.0, 16.0, -68.0), (-36.0, 24.0, -72.0), (-52.0, 34.0, -78.0)), ("RL",), "lobar", "right", None
    ),
    "left superior": Stem(
        ((28.0, 8.0, -52.0), (42.0, -4.0, -42.0), (54.0, -14.0, -28.0)), ("LU",), "lobar", "left", None
    ),
    "left inferior": Stem(
        ((30.0, 16.0, -66.0), (42.0, 26.0, -70.0), (56.0, 38.0, -76.0)), ("LL",), "lobar", "left", None
    ),
}
"""Pulmonary veins, from the left atrium outwards."""

AORTA: Course = (
    (4, -22, -66),
    (-6, -28, -35),
    (-9, -26, -10),
    (-6, -18, 12),
    (2, -5, 25),
    (13, 12, 28),
    (22, 27, 20),
    (27, 37, 4),
    (27, 40, -60),
    (21, 44, -140),
)
AORTA_RADII_MM = (15.0, 15.0, 15.0, 14.5, 14.0, 13.0, 12.5, 12.0, 11.5)
ARCH_BRANCHES: tuple[Course, ...] = (
    ((-4, -14, 24), (-12, -14, 50), (-26, -10, 78), (-40, -2, 104)),
    ((6, -2, 28), (8, -8, 60), (22, 0, 104)),
    ((16, 12, 30), (26, 8, 60), (42, 6, 92), (60, 0, 98)),
)
"""Brachiocephalic, left carotid, left subclavian."""
SUPERIOR_CAVA: Course = ((-24, -22, 58), (-25, -20, 0), (-28, -18, -58))
INNOMINATE_VEIN: Course = ((58, -34, 90), (46, -38, 78), (12, -38, 64), (-24, -22, 54))
RIGHT_INNOMINATE_VEIN: Course = ((-24, -22, 58), (-34, -26, 84), (-44, -24, 104))
INFERIOR_CAVA: Course = ((-30, -6, -98), (-27, 2, -150))
OUTFLOW_TRACT: Course = ((4, -64, -80), (13, -54, -62))
AZYGOS: Course = ((-11, 36, -140), (-10, 36, 4), (-18, 20, 14), (-23, -8, 10))
OESOPHAGUS: Course = ((3, 24, 100), (5, 27, 10), (6, 30, -60), (14, 22, -140))
TRACHEA: Course = ((0, 10, 104), (0, 12, 0))
RIGHT_BRONCHUS: Course = ((0, 12, 0), (-20, 18, -18), (-36, 22, -36), (-44, 24, -54))
LEFT_BRONCHUS: Course = ((0, 12, 0), (22, 18, -24), (40, 22, -38))
