"""The phases of a launch as a timeline marks them: start-up, each load with its warm-up, stop."""

from dataclasses import dataclass

from servegrid.report.recording import Launch

LOOKS = {
    "start-up (launch to ready)": ("#F3D9A4", ""),
    "start-up that failed": ("#F2C9B8", "///"),
    "warm-up": ("#E9E4F2", ""),
    "load, by its client threads": ("#C3DAEA", ""),
    "load that failed": ("#F2C9B8", "///"),
    "stop": ("#C9C9C9", ""),
}
"""Kind of phase, as the legend names it -> colour and hatch."""
_START, _NO_START, _WARM_UP, _LOAD, _FAILED, _STOP = LOOKS


@dataclass(frozen=True)
class Phase:
    """One phase: its kind (a key of `LOOKS`), start and end in s after the launch, and its label."""

    kind: str
    start_s: float
    end_s: float
    label: str = ""


def phases(launch: Launch, last_s: float) -> list[Phase]:
    """The phases in order; one that never ended lasts to `last_s` after the launch."""
    zero = launch.launched_s
    stopped_s = last_s if launch.stopped_s is None else launch.stopped_s - zero
    if launch.ready_s is None:
        return [Phase(_NO_START, 0, stopped_s)]
    found = [Phase(_START, 0, launch.ready_s - zero)]
    for load in launch.loads:
        if load.begun_s is not None and load.begun_s < load.start_s:
            found.append(Phase(_WARM_UP, load.begun_s - zero, load.start_s - zero))
        kind = _FAILED if load.status == "failed" else _LOAD
        found.append(Phase(kind, load.start_s - zero, load.end_s - zero, load.label))
    if launch.stopping_s is not None:
        found.append(Phase(_STOP, launch.stopping_s - zero, stopped_s))
    return found
