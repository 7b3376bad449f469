"""The list of a folder of predictions, as tables and as a page."""

import time
from collections.abc import Sequence

from pectl.inference.prediction import Model
from pectl.inference.worklist import Row
from pectl.report.worklist.page import Entry, write_worklist
from pectl.steps.predicted.folder import PredictionFolder


class Worklist:
    """The list of one folder.

    Args:
        folder: holds the predictions.
        waiting_minutes: studies that have waited for longer come first; None for no limit.
    """

    def __init__(self, folder: PredictionFolder, *, waiting_minutes: float | None = None) -> None:
        self._folder = folder
        self._limit = None if waiting_minutes is None else 60 * waiting_minutes

    def rows(self) -> list[Row]:
        """Return the studies of the folder in the order of the list."""
        return [row for row, _ in self._ordered()]

    def write(self, model: Model) -> None:
        """Write the tables and the page; again where another process has added a study meanwhile."""
        while True:
            listed = self._ordered()
            self._folder.write_table(listed)
            self._write_page(listed, model)
            self._folder.write_images()
            if len(self._folder.rows()) == len(listed):
                return

    def write_live(self, model: Model, notes: Sequence[str]) -> None:
        """Write the table, and a page that loads itself anew.

        Args:
            model: who answered.
            notes: what is said of the studies that aren't on the list yet.
        """
        listed = self._ordered()
        self._folder.write_table(listed)
        self._write_page(listed, model, notes)

    def _write_page(self, listed: Sequence[tuple[Row, bool]], model: Model, notes: Sequence[str] = ()) -> None:
        write_worklist(self._folder.path, [self._entry(*one) for one in listed], model, notes)

    def _ordered(self) -> list[tuple[Row, bool]]:
        """Return the rows, each with whether it waits too long."""
        now = time.time()
        ordered = Row.ordered(self._folder.rows(), now=now, limit_seconds=self._limit)
        return [(row, row.waits(now, self._limit)) for row in ordered]

    def _entry(self, row: Row, late: bool) -> Entry:
        picture, page = self._folder.file(row.name, ".jpg"), self._folder.explanation(row.name)
        return Entry(
            row=row,
            late=late,
            picture=picture if picture.exists() else None,
            json=f"studies/{row.name}.json",
            explanation=f"explanations/{row.name}/{page.name}" if page.exists() else None,
        )
