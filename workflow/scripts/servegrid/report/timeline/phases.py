"""Phases of a launch as figures mark them: start-up, each load with its warm-up, stop."""

from dataclasses import dataclass
from itertools import takewhile

from servegrid.report.timeline.recording import LaunchRecord

LOOKS = {
    "launch to open port": ("#A8660B", ""),
    "open port to ready": ("#F3D9A4", ""),
    "launch to ready": ("#F3D9A4", ""),
    "start-up that failed": ("#F2C9B8", "///"),
    "warm-up": ("#B9A7D6", ""),
    "load, by its client threads": ("#C3DAEA", ""),
    "load that failed": ("#F2C9B8", "///"),
    "stop": ("#C9C9C9", ""),
}
"""Kind of phase, as the legend names it -> colour and hatch. Those of a start-up, side by side, also differ in grey.

A port is open from the first connection that the server takes, and the server is ready with the first healthy answer.
Where no open port was seen, as of a server elsewhere, the start-up is one phase.
"""
_OPENING, _LOADING, _START, _NO_START, _WARM_UP, _LOAD, _FAILED, _STOP = LOOKS
LAUNCH_TO_READY = (_OPENING, _LOADING, _START)
BEFORE_LOADS = (*LAUNCH_TO_READY, _WARM_UP)


@dataclass(frozen=True)
class Phase:
    """One phase: its kind (a key of `LOOKS`), start and end in s after the launch, and its label."""

    kind: str
    start_s: float
    end_s: float
    label: str = ""


def phases(launch: LaunchRecord, last_s: float) -> list[Phase]:
    """Phases in order; one that never ended lasts to `last_s` after the launch."""
    launched_s = launch.launched_s
    stopped_s = last_s if launch.stopped_s is None else launch.stopped_s - launched_s
    if launch.ready_s is None:
        return [Phase(_NO_START, 0, stopped_s)]
    launch_phases = _to_ready(launch.listening_s, launch.ready_s, launched_s)
    for load in launch.loads:
        if load.begun_s is not None and load.begun_s < load.start_s:
            launch_phases.append(Phase(_WARM_UP, load.begun_s - launched_s, load.start_s - launched_s))
        kind = _FAILED if load.status == "failed" else _LOAD
        launch_phases.append(Phase(kind, load.start_s - launched_s, load.end_s - launched_s, load.label))
    if launch.stopping_s is not None:
        launch_phases.append(Phase(_STOP, launch.stopping_s - launched_s, stopped_s))
    return launch_phases


def start_up_phases(launch: LaunchRecord) -> list[Phase]:
    """Phases before the first load is measured; none for a launch that never became ready."""
    return list(takewhile(lambda phase: phase.kind in BEFORE_LOADS, phases(launch, 0)))


def _to_ready(listening_s: float | None, ready_s: float, launched_s: float) -> list[Phase]:
    """Phases from launch to ready: two where the opening of the port was seen, else one."""
    if listening_s is None:
        return [Phase(_START, 0, ready_s - launched_s)]
    return [
        Phase(_OPENING, 0, listening_s - launched_s),
        Phase(_LOADING, listening_s - launched_s, ready_s - launched_s),
    ]
