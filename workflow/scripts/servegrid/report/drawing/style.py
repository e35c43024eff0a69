"""Look of all figures: readable by the colour-blind and in grey, the same bytes from the same data."""

import hashlib
import io
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from servegrid.results.points import PUBLISHED

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#7F5F00", "#E69F00", "#000000")
"""Okabe and Ito (2008), "Color Universal Design", with a darker brown in place of the yellow, too pale on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
KNOWN_ENGINES = ("vllm", "llamacpp", "tgi", "ctranslate2", "sglang", "tensorrt_llm", "transformers", "lmdeploy")
"""Engines with a fixed place in `COLOURS`; any other takes the place its name hashes to, or the next free one."""
LEVEL_COLOURS = ("#4D4D4D", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F5F00")
"""Colours of the levels of an axis other than the engine; the first, grey, is the level without the feature."""
GREY = "#6B6B6B"
_DPI = 150
"""Resolution of the PNG, and of measuring texts: their widths are rounded to pixels, so both must be the same."""

_RC: Mapping[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.handlelength": 3.2,
    "lines.linewidth": 1.6,
    "lines.markersize": 5.5,
    "errorbar.capsize": 3,
    "figure.dpi": _DPI,
    "savefig.dpi": _DPI,
    "svg.hashsalt": "servegrid",
    "svg.fonttype": "path",
    "text.parse_math": False,
    "text.usetex": False,
}


@dataclass(frozen=True)
class Look:
    """How one series is drawn. Marker and dash tell it apart where the colour does not."""

    colour: str
    marker: str
    dash: Any

    @property
    def line(self) -> dict[str, Any]:
        """Keyword arguments for a matplotlib line."""
        return {"color": self.colour, "marker": self.marker, "linestyle": self.dash, "markeredgecolor": self.colour}


@contextmanager
def styled() -> Iterator[None]:
    """Use fixed settings for drawing and saving within this context, whatever the user's matplotlibrc says."""
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=r"Glyph .* missing from font"
        )  # shown as a box; names may hold anything
        mpl.rcdefaults()
        mpl.rcParams.update(cast(Any, _RC))
        yield


def engine_looks(engines: Iterable[str]) -> dict[str, Look]:
    """Look of each engine, the same in every figure of one report, and for known engines in every report.

    A series of published rows has its engine's colour, a thin cross as marker and a dotted line.
    """
    names = list(dict.fromkeys(engines))
    looks = _engine_looks({_engine_of_label(name) for name in names})
    marker, dash = "x", (0, (1, 1.6))
    return {
        name: looks[name]
        if name == _engine_of_label(name)
        else Look(looks[_engine_of_label(name)].colour, marker, dash)
        for name in names
    }


def _engine_of_label(name: str) -> str:
    """`tgi (published: the article)` -> `tgi`."""
    return name.partition(f" ({PUBLISHED}: ")[0]


def _engine_looks(engines: Iterable[str]) -> dict[str, Look]:
    names = sorted(engines, key=lambda name: (name not in KNOWN_ENGINES, name))
    name_of_slot: dict[int, str] = {}
    for name in names:
        slot = KNOWN_ENGINES.index(name) if name in KNOWN_ENGINES else _hash_slot(name)
        while slot in name_of_slot and len(name_of_slot) < len(COLOURS):
            slot = (slot + 1) % len(COLOURS)
        name_of_slot[slot if slot not in name_of_slot else max(name_of_slot) + 1] = name
    return {name: _look_of_slot(slot, COLOURS) for slot, name in name_of_slot.items()}


def level_looks(levels: Iterable[str]) -> dict[str, Look]:
    """Look of each level of an axis, by its place."""
    return {level: _look_of_slot(place, LEVEL_COLOURS) for place, level in enumerate(levels)}


def render(figure: Figure, file_format: str, title: str) -> bytes:
    """Bytes of the figure as `svg` or `png`, without date or program version."""
    out = io.BytesIO()
    metadata = {"svg": {"Date": None, "Creator": None, "Title": title}, "png": {"Software": None, "Title": title}}
    with styled():
        FigureCanvasAgg(figure)
        figure.savefig(out, format=file_format, metadata=metadata[file_format])
    return out.getvalue()


def _look_of_slot(slot: int, colours: tuple[str, ...]) -> Look:
    """Look of a place; beyond the last colour they begin again, each time with other markers and dashes."""
    turn, place = divmod(slot, len(colours))
    return Look(colours[place], MARKERS[(place + 4 * turn) % len(MARKERS)], DASHES[(place + turn) % len(DASHES)])


def _hash_slot(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % len(COLOURS)
