"""What a sweep would do, in words, before anything is started."""

import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from servegrid import engines
from servegrid.engines.base import Launch, ServerSpec
from servegrid.launch import layout
from servegrid.launch.command_line import NOMINAL_PORT, chosen_gpus, nominal_balancer, nominal_launches, shown
from servegrid.metrics import request_metrics
from servegrid.plan import load_shape
from servegrid.plan.duration import History
from servegrid.plan.grid import Grid, Session
from servegrid.plan.pending import missing
from servegrid.plan.repeats import wanted
from servegrid.results import columns
from servegrid.util.terminal import format_duration

MOST_LINES = 60
_ABOVE = {"queue": "requests will queue", "reject": "{name} will refuse requests"}


def plan(grid: Grid) -> str:
    """The whole plan as text."""
    return "\n".join(
        [*_counts(grid), *_sessions(grid), *_skipped(grid), *_warnings(grid), *_commands(grid), *_time(grid)]
    )


def _results(grid: Grid) -> Path:
    return Path(grid.config.pathvars.results)


def _counts(grid: Grid) -> Iterator[str]:
    skipped = sum(point.skip is not None for point in grid.points)
    servers = len({session.server.id for session in grid.sessions})
    yield f"{len(grid.points)} points, {skipped} of them skipped; {servers} servers x {_repeats(grid)} sessions"


def _repeats(grid: Grid) -> str:
    repeats = grid.config.repeats
    if not repeats.is_open:
        return str(repeats.at_most)
    return f"{repeats.at_least} to {repeats.at_most} (until {100 * repeats.precision:g} % precise)"


def _sessions(grid: Grid) -> Iterator[str]:
    yield ""
    yield "Sessions, in the order they run (loads still to measure / all loads):"
    lines = [_session_line(grid, session) for session in wanted(grid, _results(grid))]
    yield from lines[:MOST_LINES]
    if len(lines) > MOST_LINES:
        yield f"  ... and {len(lines) - MOST_LINES} more"


def _session_line(grid: Grid, session: Session) -> str:
    todo = missing(session, _results(grid), grid.config.retry)
    loads = ", ".join(load_shape.shown(load.options, load.threads).removeprefix("threads-") for load in session.loads)
    state = f"{len(todo)}/{len(session.loads)}" if todo else "measured"
    return f"  {state:>8}  {session.id}  threads {loads}"


def _skipped(grid: Grid) -> Iterator[str]:
    reasons = Counter((point.skip.status, point.skip.reason) for point in grid.points if point.skip)
    if reasons:
        yield ""
        yield "Skipped:"
    for (status, reason), count in reasons.items():
        yield f"  {count} points {status}: {reason}"


def _warnings(grid: Grid) -> Iterator[str]:
    for text in dict.fromkeys([*_queueing(grid), *_unknowable(grid)]):
        yield ""
        yield f"Note: {text}"


def _queueing(grid: Grid) -> Iterator[str]:
    for session in grid.sessions:
        engine = engines.get(session.server.spec.engine)
        limit = session.server.spec.concurrency * session.server.spec.copies
        over = sorted(load.threads for load in session.loads if load.threads and load.threads > limit)
        if over and engine.above_limit != "no limit":
            levels, what = ", ".join(map(str, over)), _ABOVE[engine.above_limit].format(name=session.server.name)
            yield f"at {levels} threads {what}: servers work on {limit} at once (server.concurrency)"


def _unknowable(grid: Grid) -> Iterator[str]:
    """Limits that no point will be known to keep, since too few requests stand behind their percentile."""
    sessions = grid.config.repeats.at_most
    for load in {load.id: load for session in grid.sessions for load in session.loads}.values():
        requests = load_shape.requests(load.options, grid.config.prompts.count)
        for limit in grid.config.report.slo:
            latency, _, percent = limit.partition("_ms_p")
            behind = request_metrics.requests_behind if latency in columns.OF_TOKENS else request_metrics.values_behind
            least = behind(float(percent))
            if requests and requests * sessions < least:
                few = f"{requests} requests in each of {sessions} sessions" if sessions > 1 else f"{requests} requests"
                yield f"report.slo.{limit} will stay unknown: it takes {least} requests, and a load has {few}"


def _commands(grid: Grid) -> Iterator[str]:
    """The exact command line of every server; the port is chosen at launch, here a nominal one stands for it."""
    if not grid.config.commands:
        return
    yield ""
    yield f"Command lines (port {NOMINAL_PORT} stands for the free port chosen at launch):"
    servers = {session.server.id: session.server for session in grid.sessions}
    for server in servers.values():
        yield f"  # {server.id}"
        yield from (f"  {line}" for line in _copies(grid, server.spec))


def _copies(grid: Grid, spec: ServerSpec) -> Iterator[str]:
    """The lines of one server: of each of its copies, and of the balancer before them."""
    resources = Path(grid.config.pathvars.resources)
    launches = nominal_launches(spec, resources)
    for copy, launch in enumerate(launches):
        if spec.copies > 1:
            yield f"# copy {copy + 1} of {spec.copies}:"
        yield from (f"# {line}" for line in _written(spec, launch))
        yield shown(spec, resources, launch, layout.gpus_of(spec, chosen_gpus(spec), copy))
    if spec.balancer:
        balancer = nominal_balancer(spec, launches, grid.config.load.request_timeout_s)
        yield f"# before them, on port {balancer.port}, {balancer.kind} with {balancer.file}:"
        yield from (f"#     {line}" for line in balancer.config.splitlines())
        yield shlex.join(balancer.command)


def _written(spec: ServerSpec, launch: Launch) -> Iterator[str]:
    """The files that the server reads its settings from, in comments."""
    for name, text in engines.get(spec.engine).written(spec, launch).items():
        yield f"{launch.folder / name}:"
        yield from (f"    {line}" for line in text.splitlines())


def _time(grid: Grid) -> Iterator[str]:
    history = History.read(_results(grid))
    sessions = wanted(grid, _results(grid))
    todo = [(session, missing(session, _results(grid), grid.config.retry)) for session in sessions]
    seconds = sum(history.session_s(session, loads) for session, loads in todo if loads)
    open_loads, most = sum(len(loads) for _, loads in todo), "at most " if grid.config.repeats.is_open else ""
    yield ""
    if not grid.sessions:
        yield "Nothing can be measured here; the report will say why."
    elif not open_loads:
        yield "Everything is measured; only tables, figures and the report may have to be made."
    else:
        yield f"To measure: {most}{open_loads} loads, {most}about {format_duration(seconds)} ({history.basis})."
