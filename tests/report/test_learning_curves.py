"""The learning curves of a run: all that metrics.csv holds is drawn, and the kept epoch marked."""

from pathlib import Path

import matplotlib.image
import pytest
from matplotlib.axes import Axes

from pectl.core.labels.names import MULTITASK_LABELS
from pectl.report import learning_curves
from pectl.report.learning_curves import draw_learning_curves

ROWS = [
    "epoch,train_loss,val_loss,val_window_auroc,learning_rate",
    "1,{},0.6,0.5,1e-3",
    "2,0.5,0.4,0.8,1e-4",
    "3,0.3,0.5,0.7,0",
]


def draw(folder: Path, monkeypatch: pytest.MonkeyPatch, first: float) -> tuple[str, list[Axes]]:
    """Draw three epochs; return the caption and the axes."""
    (folder / "metrics.csv").write_text("\n".join(ROWS).format(first))
    figures = []
    new = learning_curves.new_figure
    monkeypatch.setattr(learning_curves, "new_figure", lambda *a, **k: figures.append(new(*a, **k)) or figures[-1])
    return draw_learning_curves(folder).caption, figures[0][1]


def test_curves_are_those_of_the_metrics_and_mark_the_kept_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caption, (loss, area, rate) = draw(tmp_path, monkeypatch, 0.7)
    assert "validation loss, 2, is kept" in caption
    drawn = {line.get_label(): list(line.get_ydata()) for axis in (loss, area, rate) for line in axis.lines}
    assert drawn["training (0.5 kept)"] == [0.7, 0.5, 0.3]
    assert drawn["validation (0.4 kept)"] == [0.6, 0.4, 0.5]
    assert drawn["windows (0.8 kept)"] == [0.5, 0.8, 0.7]
    assert drawn["rate (0.0001 kept)"] == [1e-3, 1e-4, 0.0]
    assert [axis.lines[-1 if axis is not area else 1].get_xdata()[0] for axis in (loss, area, rate)] == [2, 2, 2]
    assert loss.get_yscale() == "linear"
    pixels = matplotlib.image.imread(tmp_path / "learning_curves.png")
    assert pixels.shape[1] > 1500
    assert (tmp_path / "learning_curves.svg").stat().st_size > 0


def test_losses_that_differ_much_have_a_logarithmic_axis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, (loss, *_) = draw(tmp_path, monkeypatch, 7.0)
    assert loss.get_yscale() == "log"


def test_every_multitask_head_has_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heads = [f"val_{name}_auroc" for name in MULTITASK_LABELS]
    rows = [",".join([ROWS[0], *heads]), *(f"{row},0.1,0.2,0.3,0.4,0.{row[0]},0.6" for row in ROWS[1:])]
    monkeypatch.setattr("tests.report.test_learning_curves.ROWS", rows)
    _, (_, area, _) = draw(tmp_path, monkeypatch, 0.7)
    drawn = {line.get_label(): list(line.get_ydata()) for line in area.lines}
    assert drawn["left (0.1 kept)"] == [0.1] * 3
    assert drawn["right (0.2 kept)"] == [0.2] * 3
    assert drawn["central (0.3 kept)"] == [0.3] * 3
    assert drawn["chronic (0.4 kept)"] == [0.4] * 3
    assert drawn["acute and chronic (0.2 kept)"] == [0.1, 0.2, 0.3]
    assert drawn["RV/LV (0.6 kept)"] == [0.6] * 3
    assert all(0 <= tick <= 1 for tick in area.get_yticks())
