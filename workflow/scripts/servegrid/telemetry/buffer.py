"""Buffer for samples on their way to disk."""

from collections import deque

Cell = float | int | str | None
Row = dict[str, Cell]
"""Column names and values; a column that is left out is null."""


class Buffer:
    """Rows that any thread may add and one thread removes; `taken` counts those removed."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque()
        self.taken = 0

    def add(self, row: Row) -> None:
        """Append one row."""
        self._rows.append(row)

    def take(self, at_least: int = 1) -> list[Row]:
        """Remove and return all rows, oldest first; none while there are fewer than `at_least`."""
        count = len(self._rows)
        rows = [self._rows.popleft() for _ in range(count)] if count >= at_least else []
        self.taken += len(rows)
        return rows
