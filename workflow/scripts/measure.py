"""Measure one session: launch its server, run the loads that are missing, stop it."""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from servegrid.config import Config, ConfigError, load_config
from servegrid.host import parent_watch
from servegrid.host.device_lock import DeviceBusy
from servegrid.measure.folders import RunFolders
from servegrid.measure.session import SessionRun
from servegrid.plan.duration import History
from servegrid.plan.grid import Grid, Session
from servegrid.plan.pending import pending_loads
from servegrid.plan.repeats import needed_of_server, sessions_by_server
from servegrid.plan.resolve import resolve
from servegrid.util.terminal import Progress


class Interrupted(BaseException):
    """Raised when a signal asks this job to end."""


def main() -> int:
    """Read the arguments and measure; exit 0 also when the server failed, since a failure is a result."""
    arguments = _arguments()
    _end_on_signals()
    parent_watch.terminate_with_parent()
    config = load_config(arguments.config)
    grid = Grid(config, resolve(config))
    session = next(session for session in grid.sessions if session.id == arguments.session)
    if not pending_loads(session, Path(config.pathvars.results), arguments.retry):
        print(f"{session.id} is measured already", file=sys.stderr)
        return 0
    progress = _progress(grid, session, config, arguments)
    if session not in needed_of_server(
        sessions_by_server(grid)[session.server.id], Path(config.pathvars.results), grid
    ):
        progress.close("not needed: its server's numbers are as precise as asked")
        return 0
    folders = RunFolders(Path(config.pathvars.results), Path(config.pathvars.resources), arguments.prompts)
    try:
        SessionRun(session, config, folders, progress).run(arguments.retry)
    except DeviceBusy as busy:
        return _give_up(progress, f"not measured: {busy}", 1)
    except (Interrupted, KeyboardInterrupt) as signalled:
        by = f" by {signalled}" if str(signalled) else ""
        return _give_up(progress, f"interrupted{by}; finished loads are kept", 130)
    progress.close("done")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the resolved config")
    parser.add_argument("--prompts", type=Path, required=True, help="JSON Lines file of prompts")
    parser.add_argument("--session", required=True, help="<server>/rep<k>, as in the folder of results")
    parser.add_argument(
        "--log", type=Path, required=True, help="what is shown on the terminal is added to this file too"
    )
    parser.add_argument("--retry", nargs="*", default=[], help="recorded outcomes to measure again: failed, partial")
    return parser.parse_args()


def _end_on_signals() -> None:
    def end(number: int, _frame: FrameType | None) -> None:
        # Ended once; what follows (Snakemake's SIGTERM after a Ctrl-C) must not break the clearing up.
        for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)
        raise Interrupted(signal.Signals(number).name)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def _progress(grid: Grid, session: Session, config: Config, arguments: argparse.Namespace) -> Progress:
    results = Path(config.pathvars.results)
    open_loads = {
        other.id: loads for other in grid.sessions if (loads := pending_loads(other, results, arguments.retry))
    }
    history = History.read(results)
    remaining_s = sum(
        history.session_s(other, open_loads[other.id]) for other in grid.sessions if other.id in open_loads
    )
    done = len(grid.sessions) - len(open_loads)
    session_limit = f"at most {config.repeats.at_most}" if config.repeats.is_open else config.repeats.at_most
    axes = f"{session.server.name} on {session.server.gpu}, speculation {session.server.spec.speculation}"
    name = f"{axes}, quantization {session.server.spec.quantization}, session {session.rep} of {session_limit}"
    return Progress(name, f"[{done + 1}/{len(grid.sessions)}]", remaining_s, arguments.log)


def _give_up(progress: Progress, message: str, status: int) -> int:
    progress.close(message)
    return status


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ConfigError as error:
        sys.exit(str(error))
