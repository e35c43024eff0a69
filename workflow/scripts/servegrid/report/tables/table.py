"""Table model: rows of cells that hold both their text and their value, independent of any output format."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Cell:
    """One cell: the text shown, and the number behind it (None: text, or unknown)."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        header: its name with the unit.
        cells: from top to bottom.
        numeric: whether cells hold numbers and are written as such to CSV.
        keep: whether it stays when it is empty or the same in every row.
        csv_only: whether only CSV has it, because another column shows it to readers.
    """

    header: str
    cells: tuple[Cell, ...]
    numeric: bool = False
    keep: bool = False
    csv_only: bool = False

    @property
    def aligned_right(self) -> bool:
        """Whether readers see it aligned right: numbers, and texts that stand for one."""
        return self.numeric or any(cell.value is not None for cell in self.cells)


@dataclass(frozen=True)
class Table:
    """A table with its caption, notes for the reader, and which rows were measured."""

    caption: str
    columns: tuple[Column, ...]
    notes: tuple[str, ...]
    measured: tuple[bool, ...]

    @property
    def rows(self) -> list[tuple[Cell, ...]]:
        """Cells row by row."""
        return list(zip(*(column.cells for column in self.columns), strict=True))

    def without_csv_only(self) -> "Table":
        """The table without the columns that are for CSV only."""
        return replace(self, columns=tuple(column for column in self.columns if not column.csv_only))


def condense(table: Table) -> Table:
    """The table without empty columns, and without texts that are the same in all rows; notes say which these were."""
    kept: list[Column] = []
    empty: list[str] = []
    constant: list[str] = []
    for column in table.columns:
        texts = {cell.text for cell in column.cells} - {""}
        if column.keep or column.csv_only or not column.cells:
            kept.append(column)
        elif not texts:
            empty.append(column.header)
        elif (
            len(texts) == 1
            and not column.numeric
            and len(column.cells) > 1
            and column.header not in ("reason", "warnings")
        ):
            constant.append(f"{column.header} {texts.pop()}")
        else:
            kept.append(column)
    notes = [*_note_lines("The same wherever known: ", constant), *_note_lines("Unknown for every point: ", empty)]
    return replace(table, columns=tuple(kept), notes=(*table.notes, *notes))


def _note_lines(intro: str, parts: list[str]) -> list[str]:
    return [intro + "; ".join(parts) + "."] if parts else []
