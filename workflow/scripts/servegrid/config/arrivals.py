"""Check that the options of a load have all that their kind of arrivals needs."""

from pathlib import Path

from servegrid.config.measuring import LoadConfig


def arrival_mistake(options: LoadConfig) -> str | None:
    """Line of a config error for an option that the kind of arrivals needs and lacks; None if there is none."""
    kind = options.arrival
    if kind not in ("closed", "trace") and options.rate is None:
        return "load.rate = null: planned arrivals need requests per second (or an axis rate in the grid)"
    if kind == "trace" and options.trace is None:
        return "load.trace = null: arrival trace needs a file with an arrival time in s on each line"
    if kind == "trace" and not Path(options.trace or "").is_file():
        return f"load.trace = {options.trace!r}: is not there"
    for key in ("end_rate", "duration_s"):
        if kind == "ramp" and getattr(options, key) is None:
            return f"load.{key} = null: arrival ramp goes from rate to end_rate over duration_s"
    return None
