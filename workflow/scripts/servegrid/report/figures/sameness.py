"""Speed against sameness: speed-up over the baseline's setting against the share of equal texts, a dot per setting."""

import textwrap
from collections.abc import Sequence

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from servegrid.report.drawing.curves import legend_handle
from servegrid.report.drawing.footnotes import client_bound_notes, not_drawn_notes, partial_notes
from servegrid.report.drawing.panels import Panel, axis_level_label, common_levels, short_level_label, split_panels
from servegrid.report.drawing.sameness_panel import STRIP, dot_look, draw_panel, sideways_offsets
from servegrid.report.drawing.sheet import Sheet, message_figure
from servegrid.report.drawing.speedup import reference_level, speedups, time_model
from servegrid.report.drawing.style import Look, engine_looks, styled
from servegrid.report.settings import Settings
from servegrid.results.axes import NO_EFFECT
from servegrid.results.points import drawable_rows, hollow_rows, prepare_points
from servegrid.results.warnings import RowWarning, join_warnings, split_warnings
from servegrid.util.text import clip

TITLE = "Speed against sameness"
SETTING = ["engine", "speculation", "quantization"]
SEPARATOR = "\x1f"  # in no label: util.text.plain leaves no control character
MAX_SETTINGS = 18
_LABELS = {1: 46, 2: 40}
"""Characters of a label, by the columns of panels."""
_NO_DATA = ("No point has a measured time.", "No point has both a speed-up and a share of equal texts.")
_BESIDE_NOTE = "Dots of one share stand side by side; the shaded strip has room for them."
_SUFFIXES = {
    RowWarning.GARBLED_TEXTS: "garbled",
    RowWarning.SPECULATION_CHANGES_TEXTS: "texts change",
    RowWarning.QUANTIZATION_CHANGES_TEXTS: "texts change",
}
"""Warning -> suffix of the setting's label; of several the first here."""
_EXPLANATIONS = {
    "garbled": "texts that differ are not in the baseline's language any more.",
    "texts change": "answers differ from those without speculation or quantization more than between repeats.",
}
"""Suffix -> its explanation in a footnote."""
_GAP_IN = 0.22
"""Least distance between two labels."""
_HEIGHTS_IN = 2.4, 4.2
"""Height of one of many panels with few labels, and of any other panel."""


def draw(points: pd.DataFrame, settings: Settings) -> Figure:
    """Figure with a panel per GPU and further axis; dots are medians over client threads, bars the range over them."""
    with styled():
        rows = prepare_points(points, settings.all_axes)
        reference = {axis: reference_level(rows, axis, settings) for axis in SETTING}
        rows = _with_speedups(rows, reference, settings)
        drawable = drawable_rows(rows, "speedup") & drawable_rows(rows, "agreement", zero=True)
        if not drawable.any():
            return message_figure(
                TITLE, _NO_DATA[bool(drawable_rows(rows, "time_s").any())], _gap_notes(rows, settings)
            )
        panels, left_out = split_panels(rows, ("gpu", *settings.axes), settings, drawable)
        dots_by_panel = [_dots(panel.points[drawable.loc[panel.points.index]]) for panel in panels]
        is_cut = any(len(dots) > MAX_SETTINGS for dots in dots_by_panel)
        dots_by_panel = [dots[:MAX_SETTINGS] for dots in dots_by_panel]
        looks = engine_looks(rows["engine"])
        sheet = _sheet(panels, dots_by_panel, looks)
        notes = [
            f"Speed-up over {', '.join(axis_level_label(axis, level) for axis, level in reference.items())}, at the same client threads.",
            "Dots: median over client threads; bars: lowest to highest.",
            _BESIDE_NOTE if any(sideways_offsets(dots["agreement_median"]).any() for dots in dots_by_panel) else "",
            *_label_notes(pd.concat(dots_by_panel)),
            *_doubt_notes(rows[drawable], settings),
            f"Shown: the {MAX_SETTINGS} fastest settings of each panel; the table has all." if is_cut else "",
            *_gap_notes(rows, settings),
            left_out,
        ]
        drawn_engines = set(pd.concat(dots_by_panel)["engine"])
        legend: dict[str, Artist] = {
            clip(name, 60): legend_handle(dot_look(look)) for name, look in looks.items() if name in drawn_engines
        }
        if rows["agreement_floor"].notna().any():
            legend["within the baseline's own repeats"] = Patch(color=STRIP)
        return sheet.finish(TITLE, common_levels(rows[drawable], ("gpu", "threads", *settings.axes)), legend, notes)


def _sheet(panels: Sequence[Panel], dots_by_panel: Sequence[pd.DataFrame], looks: dict[str, Look]) -> Sheet:
    height_in = _panel_height_in(dots_by_panel)
    sheet = Sheet(len(panels), 1 if len(panels) < 3 else 2, height_in)
    for number, (axes, panel, dots) in enumerate(zip(sheet.axes, panels, dots_by_panel, strict=True)):
        labels = [_dot_label(dot, _LABELS[sheet.columns]) for _, dot in dots.iterrows()]
        draw_panel(axes, dots.assign(label=labels), looks, _GAP_IN / height_in)
        axes.set_title(textwrap.fill(panel.title, sheet.panel_characters), loc="left")
        axes.set_xlabel("texts equal to the baseline's (share)" if sheet.is_lowest(number) else "")
    return sheet


def _with_speedups(rows: pd.DataFrame, reference: dict[str, str], settings: Settings) -> pd.DataFrame:
    """Rows with their speed-up over the reference setting at the same values of all other axes."""
    setting = rows["engine"] + SEPARATOR + rows["speculation"] + SEPARATOR + rows["quantization"]
    match = tuple(axis for axis in settings.all_axes if axis not in SETTING)
    return speedups(
        rows.assign(setting=setting), "setting", SEPARATOR.join(reference.values()), match, time_model(rows)
    )


def _gap_notes(rows: pd.DataFrame, settings: Settings) -> list[str]:
    return not_drawn_notes(rows, "time_s", settings.all_axes)


def _doubt_notes(drawn_rows: pd.DataFrame, settings: Settings) -> list[str]:
    notes = partial_notes(drawn_rows, "speedup") + client_bound_notes(
        drawn_rows, "speedup", settings.all_axes, "there or at the baseline"
    )
    return [*notes, "A dot is hollow where one of its points is."] if notes else []


def _label_notes(dots: pd.DataFrame) -> list[str]:
    """Notes on what the labels say and leave out."""
    off = dots[["speculation", "quantization"]].isin(NO_EFFECT).any(axis=None)
    suffixes = [_warning_suffix(warnings) for warnings in dots["warnings"]]
    notes = [f"{suffix}: {meaning}".capitalize() for suffix, meaning in _EXPLANATIONS.items() if suffix in suffixes]
    return [*notes, "Where no speculation or quantization is named, there is none." if off else ""]


def _warning_suffix(text: str) -> str:
    warnings = split_warnings(text)
    return next((suffix for warning, suffix in _SUFFIXES.items() if warning in warnings), "")


def _all_warnings(texts: "pd.Series[str]") -> str:
    return join_warnings(warning for text in texts for warning in split_warnings(text)) or ""


def _dot_label(dot: "pd.Series[float]", limit: int) -> str:
    """Label of the setting, of no more than `limit` characters: `llamacpp, speculation 8, int8: texts change`."""
    levels = [short_level_label(axis, dot[axis]) for axis in SETTING[1:] if str(dot[axis]) not in NO_EFFECT]
    suffix = f": {warning}" if (warning := _warning_suffix(str(dot["warnings"]))) else ""
    return clip(", ".join([str(dot["engine"]), *levels]), limit - len(suffix)) + suffix


def _panel_height_in(panels: Sequence[pd.DataFrame]) -> float:
    """Height of a panel: with many panels as high as the most labels need."""
    least, most = _HEIGHTS_IN
    return most if len(panels) < 3 else min(max(least, _GAP_IN * max(map(len, panels))), most)


def _dots(points: pd.DataFrame) -> pd.DataFrame:
    """One row per setting: median, lowest and highest of speed-up and agreement over its points; the fastest first."""
    grouped = points.groupby(SETTING, sort=False)
    dots = grouped[["speedup", "agreement"]].agg(["median", "min", "max"])
    dots.columns = dots.columns.map("_".join)
    dots["floor"] = grouped["agreement_floor"].median()
    dots["warnings"] = grouped["warnings"].agg(_all_warnings)
    dots["hollow"] = hollow_rows(points).groupby([points[axis] for axis in SETTING], sort=False).any()
    return dots.sort_values("speedup_median", ascending=False, kind="stable").reset_index()
