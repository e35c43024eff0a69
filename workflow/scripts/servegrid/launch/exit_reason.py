"""How a server ended: as a readable reason, and as a kind of failure."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from servegrid.launch.server_log import tail

# PyTorch's and CUDA's, ggml's ("failed to allocate buffer"), C++'s, the kernel's, and vLLM's where the cache does not fit
_OUT_OF_MEMORY = re.compile(
    r"out of memory|OutOfMemoryError|cannot allocate memory|bad_alloc|failed to allocate|No available memory for the cache",
    re.IGNORECASE,
)


def failure_kind(ended: Mapping[str, Any] | None, log: Path) -> str:
    """Kind of failure: `out-of-memory` if the daemon or the end of the log says so, else `crashed`."""
    return "out-of-memory" if _was_oom_killed(ended) or _out_of_memory_line(log) else "crashed"


def describe_exit(ended: Mapping[str, Any] | None, log: Path | None = None) -> str:
    """Readable exit reason, from the log also that memory ran out; names the replica if there are several."""
    if not ended:
        return "unknown"
    if "who" in ended:
        return f"{ended['who']}: {describe_exit({name: value for name, value in ended.items() if name != 'who'}, log)}"
    if _was_oom_killed(ended):
        limit = f" (engines.<name>.memory_limit = {ended['memory_limit']})" if ended.get("memory_limit") else ""
        return f"out of memory: {_exit_status_text(ended)}; the kernel killed a process of the container{limit}"
    complaint = _out_of_memory_line(log) if log else None
    return (
        f"out of memory: {_exit_status_text(ended)}; it said: {complaint}"
        if complaint
        else _exit_status_text(ended, guess=True)
    )


def _exit_status_text(ended: Mapping[str, Any], guess: bool = False) -> str:
    if "signal" in ended:
        hint = " (SIGKILL: often the kernel, out of memory)" if guess and ended["signal"] == 9 else ""
        return f"killed by signal {ended['signal']}{hint}"
    if ended.get("error"):
        return f"exit status {ended.get('exit')}: {ended['error']}"
    return f"exit status {ended['exit']}" if "exit" in ended else "unknown"


def _was_oom_killed(ended: Mapping[str, Any] | None) -> bool:
    return bool(ended and ended.get("oom_killed"))


def _out_of_memory_line(log: Path) -> str | None:
    """The first line in the log's tail that says that memory ran out; None if there is none."""
    return next((line.strip()[:200] for line in tail(log) if _OUT_OF_MEMORY.search(line)), None)
