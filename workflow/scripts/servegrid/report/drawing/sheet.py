"""Page of a figure: title and subtitle above, panels, then legend and footnotes below, none over another."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.text import Text

from servegrid.report.drawing.style import GREY

_WIDTHS_IN = {1: 7.4, 2: 9.0}
_WIDEST_IN = 10.8
_HEIGHTS_IN = {1: 3.6, 4: 2.4}
_GAP_IN = 0.1
_CHARACTER_EM = 0.52
"""Mean width of a character of the sans serif, measured on English text; lines are wrapped by it."""

_MIN_CHARACTERS = 12
"""Least number of characters per line, however narrow the room."""


class Sheet:
    """A figure whose height follows from what is on it.

    Attributes:
        figure: the matplotlib figure.
        axes: panels in rows of `columns`, row after row; unused cells have none.
    """

    def __init__(
        self, panels: int, columns: int = 1, height_in: float | None = None, ratios: Sequence[float] = (1,)
    ) -> None:
        """Lay out `panels` cells of `height_in`, each divided by `ratios` into axes on top of one another."""
        self.columns = min(columns, panels)
        self.width_in = _WIDTHS_IN.get(self.columns, _WIDEST_IN)
        rows = -(-panels // self.columns)
        self._panels_in = rows * (height_in or _HEIGHTS_IN.get(self.columns, 2.8))
        self.figure = Figure(figsize=(self.width_in, self._panels_in), layout="constrained")
        FigureCanvasAgg(self.figure)
        grid = self.figure.add_gridspec(rows * len(ratios), self.columns, height_ratios=list(ratios) * rows)
        self.cells: list[list[Axes]] = [
            [
                self.figure.add_subplot(grid[(n // self.columns) * len(ratios) + part, n % self.columns])
                for part in range(len(ratios))
            ]
            for n in range(panels)
        ]

    @property
    def axes(self) -> list[Axes]:
        """Top axes of every cell."""
        return [cell[0] for cell in self.cells]

    @property
    def panel_characters(self) -> int:
        """Number of characters of a panel's title that fit its width."""
        return _characters_that_fit(self.width_in / self.columns - 0.5, 9.5)

    def is_left(self, number: int) -> bool:
        """Whether panel `number` is in the first column."""
        return number % self.columns == 0

    def is_lowest(self, number: int) -> bool:
        """Whether no panel is below panel `number`."""
        return number + self.columns >= len(self.cells)

    def finish(
        self, title: str, subtitle: str, legend: Mapping[str, Artist], notes: Sequence[str], heading: str = ""
    ) -> Figure:
        """Return the figure with title, legend (label -> handle, under `heading`) and footnotes, and room for them."""
        top = [self._text(title, 12, weight="bold"), self._text(subtitle, 9, color="#333333")]
        below = [self._text(note, 8, color="#333333") for note in notes if note]
        key = self._legend(legend, heading) if legend else None
        self._arrange([text for text in top if text.get_text()], key, below)
        return self.figure

    def _text(self, content: str, size: float, **kwargs: Any) -> Text:
        text = self.figure.text(0, 0, "", size=size, va="top", ha="left", linespacing=1.25, **kwargs)
        text.set_in_layout(False)
        room_in = self.width_in - 0.3
        characters, used_in = _characters_that_fit(room_in, size), math.inf
        while (
            used_in > room_in and characters >= _MIN_CHARACTERS
        ):  # bold or wide letters need more than those of English text
            text.set_text(textwrap.fill(content, characters, break_long_words=True))
            used_in = _size_in(text)[0]
            characters = min(characters - 1, int(characters * room_in / max(used_in, 0.1)))
        return text

    def _legend(self, handles: Mapping[str, Artist], heading: str) -> Legend:
        labels = [textwrap.fill(label, 60, break_long_words=True) for label in handles]
        for columns in range(min(len(handles), 6), 0, -1):
            key = Legend(
                self.figure, list(handles.values()), labels, ncols=columns, title=heading, loc="upper left",
                borderaxespad=0, borderpad=0, alignment="left", columnspacing=1.6,
            )  # fmt: skip
            if columns == 1 or _size_in(key)[0] <= self.width_in - 0.3:
                break
        key.set_in_layout(False)
        self.figure.add_artist(key)
        return key

    def _arrange(self, top: list[Text], key: Legend | None, below: list[Text]) -> None:
        heads = [_size_in(text)[1] + _GAP_IN for text in top]
        parts: list[Text | Legend] = [key, *below] if key else [*below]
        feet = [_size_in(part)[1] + (_GAP_IN if part is key else _GAP_IN / 2) for part in parts]
        height = _GAP_IN + sum(heads) + self._panels_in + _GAP_IN + sum(feet) + _GAP_IN / 2
        self.figure.set_size_inches(self.width_in, height)
        left = 0.15 / self.width_in
        y = height - _GAP_IN
        for text, used in zip(top, heads, strict=True):
            text.set_position((left, y / height))
            y -= used
        y -= self._panels_in
        bottom = y
        y -= _GAP_IN
        for part, used in zip(parts, feet, strict=True):
            _place(part, left, y / height)
            y -= used
        engine = self.figure.get_layout_engine()
        assert isinstance(engine, ConstrainedLayoutEngine)
        engine.set(rect=(0, bottom / height, 1, self._panels_in / height), h_pad=0.06, w_pad=0.08)
        engine.execute(self.figure)
        self.figure.set_layout_engine(
            None
        )  # laid out once: to save to each format need not do it again, nor draw twice
        for axes in self.figure.axes:  # the solver's last digits differ from run to run
            axes.set_position(tuple(round(edge, 5) for edge in axes.get_position(original=True).bounds))


def _place(part: Text | Legend, x: float, y: float) -> None:
    if isinstance(part, Legend):
        part.set_bbox_to_anchor((x, y))
    else:
        part.set_position((x, y))


def _size_in(part: Text | Legend) -> tuple[float, float]:
    figure = part.get_figure(root=True)
    assert figure is not None
    canvas: Any = figure.canvas  # FigureCanvasAgg, whose renderer is without types
    box = part.get_window_extent(canvas.get_renderer())
    return box.width / figure.dpi, box.height / figure.dpi


def _characters_that_fit(width_in: float, size: float) -> int:
    return max(_MIN_CHARACTERS, int(width_in * 72 / (size * _CHARACTER_EM)))


def message_figure(title: str, message: str, notes: Sequence[str]) -> Figure:
    """Figure without data that says why."""
    sheet = Sheet(1, height_in=0.9)
    axes = sheet.axes[0]
    axes.set_axis_off()
    axes.text(
        0.5, 0.5, textwrap.fill(message, 70), ha="center", va="center", size=12, color=GREY, transform=axes.transAxes
    )
    return sheet.finish(title, "", {}, notes)
