"""The distributions of TTFT and ITL: the share of requests, or of tokens, that came within a time; a curve per engine."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from servegrid.report.drawing.curves import is_wide, legend_handle, quickest, value_axis
from servegrid.report.drawing.footnotes import limited, not_drawn, partial
from servegrid.report.drawing.panels import MAX_PANELS, Panel, hold, in_common, split
from servegrid.report.drawing.sheet import Sheet, say
from servegrid.report.drawing.style import Look, engine_looks, styled
from servegrid.report.settings import Settings
from servegrid.results.axes import level_label
from servegrid.results.columns import DISTRIBUTED_LATENCIES, PERCENTILES
from servegrid.results.latency_distributions import Spread, spread_column
from servegrid.results.points import DRAWN_STATUSES, PUBLISHED, drawable_rows, hollow_rows, prepare_points
from servegrid.results.session_values import ID_COLUMNS
from servegrid.util.text import clip

TITLE = "Latency distributions"
WORDS = {
    "ttft": ("time to first token (ms)", "requests within (%)"),
    "itl": ("time between tokens (ms)", "tokens within (%)"),
}
_NOTHING = {
    False: "No point has a measured time.",
    True: "No point has a distribution of its latencies.",
}
_MARKED = "Marks: p50, p90 and p99, each where enough requests stand behind it."


def draw(points: pd.DataFrame, settings: Settings) -> Figure:
    """A pair of panels by GPU, quantization and further axes; speculation is held, and client threads within a panel."""
    with styled():
        rows = prepare_points(points, settings.all_axes)
        known, gaps = _known(rows), _gaps(rows, settings)
        if not known.any():
            return say(TITLE, _NOTHING[bool(drawable_rows(rows, "time_s").any())], gaps)
        looks = engine_looks(rows["engine"])
        rows, speculation = hold(rows[known], "speculation", settings, known)
        places = ["gpu", "quantization", *settings.axes]
        shown, load = _at_one_load(_once(rows), places)
        kept, dropped = quickest(shown, "ttft_ms_p50", "median TTFT")
        shown = shown[shown["engine"].isin(kept)]
        panels, left_out = split(shown, [*places, "threads"], settings, known, MAX_PANELS // 2)
        sheet = _sheet(panels, {engine: look for engine, look in looks.items() if engine in kept})
        legend: dict[str, Artist] = {clip(engine, 60): legend_handle(looks[engine]) for engine in kept}
        doubts = [*partial(shown, "ttft_ms_p50"), *limited(shown, "ttft_ms_p50", settings.all_axes), *_unknown(shown)]
        notes = [_MARKED, _bands(shown), _zeros(shown), load, speculation, *doubts, *gaps, dropped, left_out]
        return sheet.finish(TITLE, in_common(shown, settings.all_axes), legend, notes)


def _known(rows: pd.DataFrame) -> "pd.Series[bool]":
    spreads = [rows[spread_column(name)] for name in DISTRIBUTED_LATENCIES if spread_column(name) in rows]
    some = pd.Series([any(isinstance(each, Spread) for each in row) for row in zip(*spreads, strict=True)], dtype=bool)
    return (some if spreads else pd.Series(False, rows.index)) & rows["status"].isin(DRAWN_STATUSES)


def _gaps(rows: pd.DataFrame, settings: Settings) -> list[str]:
    """Points without a curve; published tables have none."""
    own = rows["status"] != PUBLISHED
    lines = not_drawn(rows, "ttft_ms_p50", settings.all_axes, own)
    if elsewhere := int((~own).sum()):
        lines.append(f"Not drawn: {elsewhere:,} published points, which come without distributions.")
    return lines


def _once(rows: pd.DataFrame) -> pd.DataFrame:
    """With planned arrivals points may differ in threads, which mean nothing then, and be one measurement."""
    return rows[~(rows.duplicated(ID_COLUMNS) & (rows[ID_COLUMNS] != "").all(axis=1))]


def _spreads(rows: pd.DataFrame, latencies: Sequence[str] = DISTRIBUTED_LATENCIES) -> list[Spread]:
    return [each for name in latencies for each in rows[spread_column(name)] if isinstance(each, Spread)]


def _at_one_load(rows: pd.DataFrame, places: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """Waiting times are comparable under one load: the threads that most points have, of several those with the best throughput;
    in a place that lacks them, likewise among its own.
    """
    common = _by_rank(rows, ["threads"])["threads"].iloc[-1]
    order = _by_rank(rows, [*places, "threads"])
    order = order.iloc[(order["threads"] == common).argsort(kind="stable")]
    chosen = order.drop_duplicates(places, keep="last")[[*places, "threads"]]
    kept = rows.reset_index().merge(chosen, on=[*places, "threads"]).set_index("index").sort_index()
    levels = [f"{level:,.0f}" for level in sorted(kept["threads"].dropna().unique())]
    each = ", one level per panel" if len(levels) > 1 else ""
    note = f"Client threads: only {' or '.join(levels)}{each}, as waiting times are comparable under one load."
    kept["threads"] = [level_label(level) for level in kept["threads"]]
    return kept, note if levels and len(kept) < len(rows) else ""


def _by_rank(rows: pd.DataFrame, axes: list[str]) -> pd.DataFrame:
    """The combinations on `axes`, those with most points, and of these the best throughput, last."""
    found = rows.groupby(axes, dropna=False, sort=False)["output_tokens_per_s"]
    return pd.DataFrame({"points": found.size(), "best": found.max()}).sort_values(["points", "best"]).reset_index()


def _unknown(shown: pd.DataFrame) -> list[str]:
    """Latencies that some of the drawn points lack."""
    lacking = {
        name: shown[[not isinstance(each, Spread) for each in shown[spread_column(name)]]]
        for name in DISTRIBUTED_LATENCIES
    }
    return [
        f"{name.upper()} unknown: {', '.join(clip(engine, 40) for engine in rows['engine'].unique())}."
        for name, rows in lacking.items()
        if len(rows)
    ]


def _bands(shown: pd.DataFrame) -> str:
    """What the bands are, and why one may end before its line."""
    spreads = _spreads(shown)
    if not any(np.isfinite(each.ms_low).any() for each in spreads):
        return ""
    shorter = any((np.isnan(each.ms_low) & np.isfinite(each.ms)).any() for each in spreads)
    where = " at the percentiles that each has enough requests for" if shorter else ""
    return f"Pale bands: lowest to highest of the sessions{where}."


def _zeros(shown: pd.DataFrame) -> str:
    """Why a line or a band may leave its panel."""
    logarithmic = [name for name in DISTRIBUTED_LATENCIES if is_wide(*_extent(_spreads(shown, [name])))]
    times = [part for each in _spreads(shown, logarithmic) for part in (each.ms, each.ms_low)]
    zero = any((part <= 0).any() for part in times)
    return "What leaves a panel on the left is 0 ms there, which a logarithmic axis cannot show." if zero else ""


def _sheet(panels: Sequence[Panel], looks: Mapping[str, Look]) -> Sheet:
    every = pd.concat([panel.points for panel in panels])
    names = [name for name in DISTRIBUTED_LATENCIES if _spreads(every, [name])]
    sheet = Sheet(len(names) * len(panels), len(names), height_in=2.6)
    for number, axes in enumerate(sheet.axes):
        panel, name = panels[number // len(names)], names[number % len(names)]
        for engine, look in looks.items():
            _curves(axes, panel.points[panel.points["engine"] == engine], name, look)
        title = panel.title if number % len(names) == 0 else ""
        axes.set_title(textwrap.fill(title, sheet.panel_characters), loc="left")
        value_axis(axes, *_extent(_spreads(every, [name])), "x", sheet.panel_characters)
        axes.set(ylim=(0, 103), ylabel=WORDS[name][1], xlabel=WORDS[name][0] if sheet.is_lowest(number) else "")
    return sheet


def _curves(axes: Axes, rows: pd.DataFrame, latency: str, look: Look) -> None:
    for spread, hollow in zip(rows[spread_column(latency)], hollow_rows(rows), strict=True):
        if isinstance(spread, Spread):
            face = "white" if hollow else look.colour
            marks = [place for place, percent in enumerate(spread.percent) if percent in PERCENTILES]
            axes.fill_betweenx(
                spread.percent, spread.ms_low, spread.ms_high, color=look.colour, alpha=0.18, linewidth=0
            )
            axes.plot(
                spread.ms, spread.percent, markevery=marks, markersize=5, **{**look.line, "markerfacecolor": face}
            )


def _extent(spreads: Sequence[Spread]) -> tuple[float, float]:
    values = np.concatenate([[], *(part for each in spreads for part in (each.ms, each.ms_low, each.ms_high))])
    values = values[np.isfinite(values) & (values > 0)]
    return (float(values.min()), float(values.max())) if len(values) else (1.0, 1.0)
