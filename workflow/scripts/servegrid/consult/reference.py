"""The pages, and parts of pages, that are written from the code, so that they cannot differ from it.

A part stands between two comments, `<!-- begin NAME -->` and `<!-- end NAME -->`; what is around them is written by hand.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from servegrid import engines
from servegrid.config.reference import config_reference
from servegrid.engines import Engine
from servegrid.results.columns import (
    ALL_COLUMNS,
    LATENCY_COLUMNS,
    LATENCY_DEFINITIONS,
    PERCENTILE_LABELS,
    Column,
    split_latency_column,
)
from servegrid.results.warnings import RowWarning

WARNING_HEADERS = ("warning", "meaning", "what to do")


def pages(repository: Path) -> dict[Path, str]:
    """Path -> text of every page that is written from the code as a whole or in part; the rest of it is taken as it is on disk."""
    parts = {
        repository / "docs" / "results.md": {"columns": columns(), "warnings": warnings()},
        repository / "docs" / "engines.md": {"engines": abilities(), "images": images()},
    }
    partly = {path: with_parts(path.read_text(encoding="utf-8"), of_page) for path, of_page in parts.items()}
    return {repository / "config" / "README.md": config_reference(), **partly}


def with_parts(text: str, parts: Mapping[str, str]) -> str:
    """Return the page with each of these parts between its two comments.

    Raises:
        ValueError: when the page lacks a part's comments.
    """
    for name, part in parts.items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"the page has no part {name}: {begin} ... {end}")
        text = f"{before}{begin}\n\n{part}\n\n{end}{after}"
    return text


def columns() -> str:
    """Return the table of the columns of results/points behind the axes, in their order; percentiles of one latency share a row."""
    collected = [column for column in ALL_COLUMNS if column.added_by == "collect"]
    groups = (list(group) for _, group in groupby(collected, key=_stem))
    headers = ("column", "shown as", "kind", "better", "per session", "definition")
    return table(headers, (_column_row(group) for group in groups))


def _stem(column: Column) -> str:
    """The column's name; of a percentile the latency's."""
    return split_latency_column(column.name)[0] if column.name in LATENCY_COLUMNS else column.name


def _column_row(group: Sequence[Column]) -> tuple[str, ...]:
    first = group[0]
    traits = (first.kind, first.better or "", "yes" if first.per_session else "")
    if first.name not in LATENCY_COLUMNS:
        return (_code(first.name), first.header, *traits, first.definition)
    header, definition = LATENCY_DEFINITIONS[_stem(first)]
    names = ", ".join(_code(column.name) for column in group)
    return (names, f"{header} {', '.join(PERCENTILE_LABELS)} (ms)", *traits, f"{definition}.")


def warnings() -> str:
    """Return the table of warnings, in the order in which the column `warnings` joins them."""
    return table(WARNING_HEADERS, _warning_rows())


def _warning_rows() -> Iterator[tuple[str, ...]]:
    """What WARNING_HEADERS names, of each warning."""
    for warning in RowWarning:
        yield _code(warning.phrase), warning.meaning, warning.hint


def abilities() -> str:
    """Return the table of what each engine can, as its class says."""
    headers = ("engine", "name", "runtimes", "devices", "protocols", "speculation", "quantization")
    return table(headers, (_engine_row(engines.get(name)) for name in engines.names()))


def _engine_row(engine: Engine) -> tuple[str, ...]:
    lists = (engine.runtimes, engine.devices, engine.protocols, engine.speculation_kinds, engine.quantizations)
    return (engine.title, _code(engine.name), *(_codes(names) for names in lists))


def images() -> str:
    """Return the table of the images that runtime docker uses where the config names none."""
    found = (
        (engines.get(name), kind, image) for name in engines.names() for kind, image in engines.get(name).images.items()
    )
    rows = ((_code(engine.name), kind, _code(image)) for engine, kind, image in found if "docker" in engine.runtimes)
    return table(("name", "device", "image"), rows)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; a `|` within a cell is escaped."""
    lines = [headers, ["---"] * len(headers), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(text: str) -> str:
    return f"`{text}`"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(map(_code, names)) or "none"
