"""Timeline of a session: telemetry of hardware and server over time, with start-up, loads and stop marked."""

from collections.abc import Sequence
from typing import Literal

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from servegrid.report.drawing.panels import NO_BREAK_SPACE
from servegrid.report.drawing.sheet import Sheet, message_figure
from servegrid.report.drawing.style import GREY, styled
from servegrid.report.format import format_short
from servegrid.report.timeline.phases import LOOKS, Phase, phases
from servegrid.report.timeline.recording import LaunchRecord, Recording
from servegrid.report.timeline.traces import MAX_GPUS, ROWS, Trace, traces
from servegrid.util.text import clip, plain

MAX_LAUNCHES = 4
_STRIP, _ROW = 0.4, 1.0
_ROW_IN = 1.15


def draw_timeline(recording: Recording) -> Figure:
    """Figure with one column per launch of the server (one, unless the session was broken off and resumed)."""
    with styled():
        title = f"Timeline: {recording.name.replace('session ', f'session{NO_BREAK_SPACE}')}"
        launches = recording.launches[-MAX_LAUNCHES:]
        curves = [traces(launch, recording.metrics) for launch in launches]
        if not any(curves) and not any(launch.loads for launch in launches):
            return message_figure(title, "Nothing was recorded over time.", [recording.outcome, *_notes(recording)])
        rows = [row for row in ROWS if any(trace.row == row for column in curves for trace in column)]
        ratios = [_STRIP, *[_ROW] * len(rows)]
        sheet = Sheet(len(launches), len(launches), 0.7 + _ROW_IN * sum(ratios), ratios)
        columns = zip(launches, curves, strict=True)
        unlabelled = sum(
            _draw_launch(sheet, number, launch, rows, column) for number, (launch, column) in enumerate(columns)
        )
        _share_y_limits(sheet, len(rows))
        notes = [f"Too short for a label: {unlabelled} loads."] if unlabelled else []
        return sheet.finish(title, recording.outcome, _legend(launches, curves), notes + _notes(recording))


def _draw_launch(sheet: Sheet, number: int, launch: LaunchRecord, rows: Sequence[str], column: Sequence[Trace]) -> int:
    """Draw one launch; return the number of loads that have no room for their label."""
    strip, *panels = sheet.cells[number]
    first, last = _time_limits(launch, column)
    launch_phases = phases(launch, last)
    for axes, row in zip(panels, rows, strict=True):
        _draw_row(axes, row, launch, [trace for trace in column if trace.row == row])
        _shade_phases(axes, launch, launch_phases)
        axes.set_ylabel(row.replace(" (", "\n(") if sheet.is_left(number) else "")
    for axes in (strip, *panels):
        axes.set_xlim(first, last)
        axes.tick_params(labelbottom=axes is sheet.cells[number][-1])
    sheet.cells[number][-1].set_xlabel("seconds since launch")
    strip.set_title(f"launch {launch.number}" if len(sheet.cells) > 1 else "", loc="left")
    if sheet.is_left(number):
        strip.set_ylabel("client\nthreads", rotation=0, ha="right", va="center")
    return _draw_phase_strip(strip, launch_phases, sheet.panel_characters / (last - first))


def _draw_row(axes: Axes, row: str, launch: LaunchRecord, column: Sequence[Trace]) -> None:
    for trace in column:
        seconds = trace.values.index.to_numpy(dtype=float) - launch.launched_s
        style: Literal["steps-post", "default"] = "steps-post" if trace.steps else "default"
        axes.plot(seconds, trace.values, color=trace.colour, linestyle=trace.dash, linewidth=1.3, drawstyle=style)
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=row == ROWS[-1]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_short(value)))


def _time_limits(launch: LaunchRecord, column: Sequence[Trace]) -> tuple[float, float]:
    """First and last second to show, from the launch, with a little room."""
    instants = [launch.launched_s, launch.stopped_s, *(load.end_s for load in launch.loads)]
    instants += [edge for trace in column for edge in (trace.values.index.min(), trace.values.index.max())]
    seconds = [instant - launch.launched_s for instant in instants if instant is not None]
    room = 0.01 * max(max(seconds) - min(seconds), 0.1)
    return min(seconds) - room, max(seconds) + room


def _draw_phase_strip(axes: Axes, launch_phases: Sequence[Phase], characters_per_s: float) -> int:
    """Draw the row of phases, loads with their client threads; return the number of labels that have no room."""
    axes.set(ylim=(0, 1), yticks=[])
    axes.grid(False)
    unlabelled = 0
    for phase in launch_phases:
        colour, hatch = LOOKS[phase.kind]
        axes.axvspan(phase.start_s, phase.end_s, facecolor=colour, edgecolor="white", hatch=hatch, linewidth=0.8)
        room, label = (phase.end_s - phase.start_s) * characters_per_s, clip(phase.label, 14)
        unlabelled += bool(label) and room < 1.5
        if label and room >= 1.5:
            rotation = 0 if room > len(label) + 0.5 else 90
            middle = (phase.start_s + phase.end_s) / 2
            axes.text(middle, 0.5, label, ha="center", va="center", rotation=rotation, size=8)
    return unlabelled


def _shade_phases(axes: Axes, launch: LaunchRecord, launch_phases: Sequence[Phase]) -> None:
    for phase in launch_phases:
        axes.axvspan(phase.start_s, phase.end_s, color=LOOKS[phase.kind][0], alpha=0.4, linewidth=0, zorder=0.2)
    for instant in (launch.launched_s, launch.ready_s, launch.stopping_s, launch.stopped_s):
        if instant is not None:
            axes.axvline(instant - launch.launched_s, color=GREY, linestyle=(0, (1, 2)), linewidth=1)


def _share_y_limits(sheet: Sheet, rows: int) -> None:
    """Set one y scale per row from zero, over all launches."""
    for row in range(1, rows + 1):
        panels = [cell[row] for cell in sheet.cells]
        highest = max(axes.dataLim.y1 for axes in panels)
        for number, axes in enumerate(panels):
            axes.set_ylim(0, highest * 1.12 if highest > 0 else 1)
            axes.tick_params(labelleft=sheet.is_left(number))


def _legend(launches: Sequence[LaunchRecord], curves: Sequence[Sequence[Trace]]) -> dict[str, Artist]:
    legend: dict[str, Artist] = {
        trace.name: Line2D([], [], color=trace.colour, linestyle=trace.dash) for column in curves for trace in column
    }
    kinds = {phase.kind for launch in launches for phase in phases(launch, 0)}
    for kind in (kind for kind in LOOKS if kind in kinds):
        colour, hatch = LOOKS[kind]
        legend[kind] = Patch(facecolor=colour, hatch=hatch, edgecolor="white")
    return legend


def _notes(recording: Recording) -> list[str]:
    launches = recording.launches
    notes = [f"Shown: the last {MAX_LAUNCHES} of {len(launches)} launches."] if len(launches) > MAX_LAUNCHES else []
    loads = [load for launch in launches for load in launch.loads]
    notes += [
        f"Load {load.label} {load.status}: {clip(load.reason or 'no reason recorded', 200)}"
        for load in loads
        if load.status != "ok"
    ]
    if recording.damage:
        notes.append(f"Not shown: {'; '.join(recording.damage)}.")
    for launch in launches:
        notes += _sampling_notes(launch)
    return list(dict.fromkeys(notes))


def _sampling_notes(launch: LaunchRecord) -> list[str]:
    """Notes on samples with holes, by device, and on GPUs beyond those drawn."""
    samples = launch.telemetry
    errors = samples[samples["error"].notna()]
    notes = [
        f"{len(rows):,} samples of {device} have holes: {clip(plain(str(rows['error'].iloc[0])), 120)}"
        for device, rows in errors.groupby("device", sort=False)
    ]
    gpus = set(samples["device"].dropna()) - {"host", "server"}
    return notes + ([f"Shown: the first {MAX_GPUS} of {len(gpus)} GPUs."] if len(gpus) > MAX_GPUS else [])
