"""Distributions of TTFT and ITL: the share of requests, or of tokens, within a time; a curve per engine."""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from servegrid.report.drawing.curves import fastest_engines, legend_handle, needs_log_axis, value_axis
from servegrid.report.drawing.footnotes import client_bound_notes, not_drawn_notes, partial_notes
from servegrid.report.drawing.panels import MAX_PANELS, Panel, common_levels, hold_axis, split_panels
from servegrid.report.drawing.sheet import Sheet, message_figure
from servegrid.report.drawing.style import Look, engine_looks, styled
from servegrid.report.settings import Settings
from servegrid.results.axes import level_label
from servegrid.results.columns import DISTRIBUTED_LATENCIES, PERCENTILES
from servegrid.results.latency_distributions import Spread, spread_column
from servegrid.results.points import DRAWN_STATUSES, PUBLISHED, drawable_rows, hollow_rows, prepare_points
from servegrid.results.session_values import ID_COLUMNS
from servegrid.util.text import clip

TITLE = "Latency distributions"
AXIS_LABELS = {
    "ttft": ("time to first token (ms)", "requests within (%)"),
    "itl": ("time between tokens (ms)", "tokens within (%)"),
}
_NO_DATA = {
    False: "No point has a measured time.",
    True: "No point has a distribution of its latencies.",
}
_MARKS_NOTE = "Marks: p50, p90 and p99, each where enough requests stand behind it."


def draw(points: pd.DataFrame, settings: Settings) -> Figure:
    """Figure with a pair of panels by GPU, quantization and further axes; speculation and client threads are held."""
    with styled():
        rows = prepare_points(points, settings.all_axes)
        drawn, gap_notes = _has_distribution(rows), _gap_notes(rows, settings)
        if not drawn.any():
            return message_figure(TITLE, _NO_DATA[bool(drawable_rows(rows, "time_s").any())], gap_notes)
        looks = engine_looks(rows["engine"])
        rows, held_note = hold_axis(rows[drawn], "speculation", settings, drawn)
        places = ["gpu", "quantization", *settings.axes]
        drawn_rows, load_note = _at_one_load(_distinct_measurements(rows), places)
        engines, dropped_note = fastest_engines(drawn_rows, "ttft_ms_p50", "median TTFT")
        drawn_rows = drawn_rows[drawn_rows["engine"].isin(engines)]
        panels, left_out = split_panels(drawn_rows, [*places, "threads"], settings, drawn, MAX_PANELS // 2)
        sheet = _sheet(panels, {engine: look for engine, look in looks.items() if engine in engines})
        legend: dict[str, Artist] = {clip(engine, 60): legend_handle(looks[engine]) for engine in engines}
        doubts = [
            *partial_notes(drawn_rows, "ttft_ms_p50"),
            *client_bound_notes(drawn_rows, "ttft_ms_p50", settings.all_axes),
            *_unknown_notes(drawn_rows),
        ]
        notes = [
            _MARKS_NOTE,
            _bands_note(drawn_rows),
            _zeros_note(drawn_rows),
            load_note,
            held_note,
            *doubts,
            *gap_notes,
            dropped_note,
            left_out,
        ]
        return sheet.finish(TITLE, common_levels(drawn_rows, settings.all_axes), legend, notes)


def _has_distribution(rows: pd.DataFrame) -> "pd.Series[bool]":
    """Mask of the measured rows that have the distribution of some latency."""
    spreads = [rows[spread_column(name)] for name in DISTRIBUTED_LATENCIES if spread_column(name) in rows]
    has_any = pd.Series(
        [any(isinstance(cell, Spread) for cell in row) for row in zip(*spreads, strict=True)], dtype=bool
    )
    return (has_any if spreads else pd.Series(False, rows.index)) & rows["status"].isin(DRAWN_STATUSES)


def _gap_notes(rows: pd.DataFrame, settings: Settings) -> list[str]:
    """Notes on points without a curve; published tables have none."""
    measured_here = rows["status"] != PUBLISHED
    notes = not_drawn_notes(rows, "ttft_ms_p50", settings.all_axes, measured_here)
    if published := int((~measured_here).sum()):
        notes.append(f"Not drawn: {published:,} published points, which come without distributions.")
    return notes


def _distinct_measurements(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows without repeated measurements: with planned arrivals points may differ in threads, which mean nothing then."""
    return rows[~(rows.duplicated(ID_COLUMNS) & (rows[ID_COLUMNS] != "").all(axis=1))]


def _spreads(rows: pd.DataFrame, latencies: Sequence[str] = DISTRIBUTED_LATENCIES) -> list[Spread]:
    return [cell for name in latencies for cell in rows[spread_column(name)] if isinstance(cell, Spread)]


def _at_one_load(rows: pd.DataFrame, places: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """Rows at one level of threads, since waiting times are comparable under one load only; and a note.

    The level is the one that most points have, of several the one with the best throughput; a place that lacks it has a
    level of its own, chosen likewise.
    """
    common_threads = _ranked_combinations(rows, ["threads"])["threads"].iloc[-1]
    order = _ranked_combinations(rows, [*places, "threads"])
    order = order.iloc[(order["threads"] == common_threads).argsort(kind="stable")]
    chosen_threads = order.drop_duplicates(places, keep="last")[[*places, "threads"]]
    kept = rows.reset_index().merge(chosen_threads, on=[*places, "threads"]).set_index("index").sort_index()
    levels = [f"{level:,.0f}" for level in sorted(kept["threads"].dropna().unique())]
    per_panel = ", one level per panel" if len(levels) > 1 else ""
    note = f"Client threads: only {' or '.join(levels)}{per_panel}, as waiting times are comparable under one load."
    kept["threads"] = [level_label(level) for level in kept["threads"]]
    return kept, note if levels and len(kept) < len(rows) else ""


def _ranked_combinations(rows: pd.DataFrame, axes: list[str]) -> pd.DataFrame:
    """Combinations on `axes`; those with most points, and of these the best throughput, last."""
    throughputs = rows.groupby(axes, dropna=False, sort=False)["output_tokens_per_s"]
    return (
        pd.DataFrame({"points": throughputs.size(), "best": throughputs.max()})
        .sort_values(["points", "best"])
        .reset_index()
    )


def _unknown_notes(drawn_rows: pd.DataFrame) -> list[str]:
    """Notes on latencies that some of the drawn points lack."""
    rows_lacking = {
        name: drawn_rows[[not isinstance(cell, Spread) for cell in drawn_rows[spread_column(name)]]]
        for name in DISTRIBUTED_LATENCIES
    }
    return [
        f"{name.upper()} unknown: {', '.join(clip(engine, 40) for engine in rows['engine'].unique())}."
        for name, rows in rows_lacking.items()
        if len(rows)
    ]


def _bands_note(drawn_rows: pd.DataFrame) -> str:
    """What the bands are, and why one may end before its line."""
    spreads = _spreads(drawn_rows)
    if not any(np.isfinite(spread.ms_low).any() for spread in spreads):
        return ""
    shorter = any((np.isnan(spread.ms_low) & np.isfinite(spread.ms)).any() for spread in spreads)
    where = " at the percentiles that each has enough requests for" if shorter else ""
    return f"Pale bands: lowest to highest of the sessions{where}."


def _zeros_note(drawn_rows: pd.DataFrame) -> str:
    """Why a line or a band may leave its panel."""
    logarithmic = [
        name for name in DISTRIBUTED_LATENCIES if needs_log_axis(*_spread_range(_spreads(drawn_rows, [name])))
    ]
    times = [part for spread in _spreads(drawn_rows, logarithmic) for part in (spread.ms, spread.ms_low)]
    zero = any((part <= 0).any() for part in times)
    return "What leaves a panel on the left is 0 ms there, which a logarithmic axis cannot show." if zero else ""


def _sheet(panels: Sequence[Panel], looks: Mapping[str, Look]) -> Sheet:
    all_points = pd.concat([panel.points for panel in panels])
    names = [name for name in DISTRIBUTED_LATENCIES if _spreads(all_points, [name])]
    sheet = Sheet(len(names) * len(panels), len(names), height_in=2.6)
    for number, axes in enumerate(sheet.axes):
        panel, name = panels[number // len(names)], names[number % len(names)]
        for engine, look in looks.items():
            _draw_curves(axes, panel.points[panel.points["engine"] == engine], name, look)
        title = panel.title if number % len(names) == 0 else ""
        axes.set_title(textwrap.fill(title, sheet.panel_characters), loc="left")
        value_axis(axes, *_spread_range(_spreads(all_points, [name])), "x", sheet.panel_characters)
        axes.set(
            ylim=(0, 103), ylabel=AXIS_LABELS[name][1], xlabel=AXIS_LABELS[name][0] if sheet.is_lowest(number) else ""
        )
    return sheet


def _draw_curves(axes: Axes, rows: pd.DataFrame, latency: str, look: Look) -> None:
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


def _spread_range(spreads: Sequence[Spread]) -> tuple[float, float]:
    """Lowest and highest value above zero of these distributions, bands included."""
    values = np.concatenate([[], *(part for spread in spreads for part in (spread.ms, spread.ms_low, spread.ms_high))])
    values = values[np.isfinite(values) & (values > 0)]
    return (float(values.min()), float(values.max())) if len(values) else (1.0, 1.0)
