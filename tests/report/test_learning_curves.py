from pathlib import Path

from pectl.report.learning_curves import draw_learning_curves


def test_curves_name_the_kept_epoch(tmp_path: Path) -> None:
    rows = ["epoch,train_loss,val_loss,val_window_auroc", "1,0.7,0.6,0.5", "2,0.5,0.4,0.8", "3,0.3,0.5,0.7"]
    (tmp_path / "metrics.csv").write_text("\n".join(rows))
    assert "validation loss, 2, is kept" in draw_learning_curves(tmp_path).caption
    assert {path.name for path in tmp_path.glob("learning*")} == {"learning_curves.png", "learning_curves.svg"}
