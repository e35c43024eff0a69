"""Describe what a sweep would do, before anything is started."""

import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from servegrid import engines
from servegrid.engines.base import Launch, ServerSpec
from servegrid.launch import layout
from servegrid.launch.command_line import NOMINAL_PORT, configured_gpus, nominal_balancer, nominal_launches, shell_line
from servegrid.metrics import request_metrics
from servegrid.plan import load_shape
from servegrid.plan.duration import History
from servegrid.plan.grid import Grid, Session
from servegrid.plan.pending import pending_loads
from servegrid.plan.repeats import needed_sessions
from servegrid.results import columns
from servegrid.util.terminal import format_duration

MAX_LINES = 60
_ABOVE_LIMIT = {"queue": "requests will queue", "reject": "{name} will refuse requests"}


def plan_text(grid: Grid) -> str:
    """The whole plan as text, for `snakemake plan`."""
    return "\n".join(
        [
            *_count_lines(grid),
            *_session_lines(grid),
            *_skip_lines(grid),
            *_note_lines(grid),
            *_command_lines(grid),
            *_duration_lines(grid),
        ]
    )


def _results_folder(grid: Grid) -> Path:
    return Path(grid.config.pathvars.results)


def _count_lines(grid: Grid) -> Iterator[str]:
    skipped = sum(point.skip is not None for point in grid.points)
    servers = len({session.server.id for session in grid.sessions})
    yield f"{len(grid.points)} points, {skipped} of them skipped; {servers} servers x {_repeats_text(grid)} sessions"


def _repeats_text(grid: Grid) -> str:
    repeats = grid.config.repeats
    if not repeats.is_open:
        return str(repeats.at_most)
    return f"{repeats.at_least} to {repeats.at_most} (until {100 * repeats.precision:g} % precise)"


def _session_lines(grid: Grid) -> Iterator[str]:
    yield ""
    yield "Sessions, in the order they run (loads still to measure / all loads):"
    lines = [_session_line(grid, session) for session in needed_sessions(grid, _results_folder(grid))]
    yield from lines[:MAX_LINES]
    if len(lines) > MAX_LINES:
        yield f"  ... and {len(lines) - MAX_LINES} more"


def _session_line(grid: Grid, session: Session) -> str:
    todo = pending_loads(session, _results_folder(grid), grid.config.retry)
    loads = ", ".join(
        load_shape.readable_name(load.options, load.threads).removeprefix("threads-") for load in session.loads
    )
    state = f"{len(todo)}/{len(session.loads)}" if todo else "measured"
    return f"  {state:>8}  {session.id}  threads {loads}"


def _skip_lines(grid: Grid) -> Iterator[str]:
    reasons = Counter((point.skip.status, point.skip.reason) for point in grid.points if point.skip)
    if reasons:
        yield ""
        yield "Skipped:"
    for (status, reason), count in reasons.items():
        yield f"  {count} points {status}: {reason}"


def _note_lines(grid: Grid) -> Iterator[str]:
    shortages = [f"{found.fact}; {found.remedy}" for found in grid.shortages]
    notes = [*_overload_notes(grid), *shortages, *_salt_notes(grid), *_undecidable_slo_notes(grid)]
    for text in dict.fromkeys(notes):
        yield ""
        yield f"Note: {text}"


def _overload_notes(grid: Grid) -> Iterator[str]:
    for session in grid.sessions:
        engine = engines.get(session.server.spec.engine)
        limit = session.server.spec.concurrency * session.server.spec.copies
        levels_above = sorted(load.threads for load in session.loads if load.threads and load.threads > limit)
        if levels_above and engine.above_limit != "no limit":
            levels = ", ".join(map(str, levels_above))
            consequence = _ABOVE_LIMIT[engine.above_limit].format(name=session.server.name)
            yield f"at {levels} threads {consequence}: servers work on {limit} at once (server.concurrency)"


def _salt_notes(grid: Grid) -> Iterator[str]:
    salted = {session.server.name for session in grid.sessions if any(load.is_salted for load in session.loads)}
    if salted:
        yield f"prompts to {', '.join(sorted(salted))} stand behind a salt of a few tokens: they may be kept there (load.cache = cold)"


def _undecidable_slo_notes(grid: Grid) -> Iterator[str]:
    """Yield a note for each latency limit that cannot be decided, since too few requests stand behind its percentile."""
    sessions = grid.config.repeats.at_most
    for load in {load.id: load for session in grid.sessions for load in session.loads}.values():
        requests = load_shape.request_count(load.options, grid.config.prompts.count)
        for limit in grid.config.report.slo:
            latency, percent = columns.split_latency_column(limit)
            least_behind = (
                request_metrics.least_requests if latency in columns.TOKEN_LATENCIES else request_metrics.least_values
            )
            minimum = least_behind(percent)
            if requests and requests * sessions < minimum:
                available = (
                    f"{requests} requests in each of {sessions} sessions" if sessions > 1 else f"{requests} requests"
                )
                yield f"report.slo.{limit} will stay unknown: it takes {minimum} requests, and a load has {available}"


def _command_lines(grid: Grid) -> Iterator[str]:
    """Yield the exact command line of every server, with a nominal port in place of the one chosen at launch."""
    if not grid.config.commands:
        return
    yield ""
    yield f"Command lines (port {NOMINAL_PORT} stands for the free port chosen at launch):"
    servers = {session.server.id: session.server for session in grid.sessions}
    for server in servers.values():
        yield f"  # {server.id}"
        yield from (f"  {line}" for line in _server_lines(grid, server.spec))


def _server_lines(grid: Grid, spec: ServerSpec) -> Iterator[str]:
    """Yield the lines of one server: of each of its copies, and of the balancer in front of them."""
    resources = Path(grid.config.pathvars.resources)
    launches = nominal_launches(spec, resources)
    for copy, launch in enumerate(launches):
        if spec.copies > 1:
            yield f"# copy {copy + 1} of {spec.copies}:"
        yield from (f"# {line}" for line in _settings_file_lines(spec, launch))
        yield shell_line(spec, resources, launch, layout.gpus_of(spec, configured_gpus(spec), copy))
    if spec.balancer:
        balancer = nominal_balancer(spec, launches, grid.config.load.request_timeout_s)
        yield f"# before them, on port {balancer.port}, {balancer.kind} with {balancer.config_file}:"
        yield from (f"#     {line}" for line in balancer.config.splitlines())
        yield shlex.join(balancer.command)


def _settings_file_lines(spec: ServerSpec, launch: Launch) -> Iterator[str]:
    """Yield the server's settings files, line by line."""
    for name, text in engines.get(spec.engine).settings_files(spec, launch).items():
        yield f"{launch.folder / name}:"
        yield from (f"    {line}" for line in text.splitlines())


def _duration_lines(grid: Grid) -> Iterator[str]:
    history = History.read(_results_folder(grid))
    sessions = needed_sessions(grid, _results_folder(grid))
    todo = [(session, pending_loads(session, _results_folder(grid), grid.config.retry)) for session in sessions]
    seconds = sum(history.session_s(session, loads) for session, loads in todo if loads)
    open_loads, at_most = sum(len(loads) for _, loads in todo), "at most " if grid.config.repeats.is_open else ""
    yield ""
    if not grid.sessions:
        yield "Nothing can be measured here; the report will say why."
    elif not open_loads:
        yield "Everything is measured; only tables, figures and the report may have to be made."
    else:
        yield f"To measure: {at_most}{open_loads} loads, {at_most}about {format_duration(seconds)} ({history.basis})."
