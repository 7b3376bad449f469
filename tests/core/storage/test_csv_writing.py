"""Tables as CSV: the bytes that pandas would write."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pectl.core.storage import csv_writing
from pectl.core.storage.csv_writing import FLOAT_FORMAT, write_csv

TABLE = pd.DataFrame(
    {
        "id": ["1.2", "1.3", "1.4", "1.5"],
        "study": pd.Categorical(["b", "b", "a", None]),
        "score": [0.1234567891, np.nan, 1e-12, 1.0],
        "label": np.array([1, 0, -1, 7], np.int8),
        "known": [True, False, True, True],
        "text, free": ["plain", 'a "word"', "x,y", None],
        "line": ["a\nb", "", "ä", " c"],
    }
)


def test_every_kind_of_value_by_hand(tmp_path: Path) -> None:
    write_csv(tmp_path / "table.csv", TABLE)
    assert (tmp_path / "table.csv").read_bytes().decode() == (
        'id,study,score,label,known,"text, free",line\n'
        '1.2,b,0.123456789,1,True,plain,"a\nb"\n'
        '1.3,b,,0,False,"a ""word""",\n'
        '1.4,a,1e-12,-1,True,"x,y",ä\n'
        "1.5,,1,7,True,, c\n"
    )


@pytest.mark.parametrize("block_rows", [1, 3, 65536])
def test_it_is_what_pandas_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_rows: int) -> None:
    monkeypatch.setattr(csv_writing, "_BLOCK_ROWS", block_rows)
    rng = np.random.default_rng(0)
    numbers = pd.DataFrame(
        {"small": rng.random(50).astype(np.float32), "wide": rng.normal(size=50) * 10.0 ** rng.integers(-20, 20, 50)}
    )
    for table in (TABLE, numbers, numbers[:0]):
        write_csv(tmp_path / "mine.csv", table)
        table.to_csv(tmp_path / "theirs.csv", index=False, float_format=FLOAT_FORMAT)
        assert (tmp_path / "mine.csv").read_bytes() == (tmp_path / "theirs.csv").read_bytes()
