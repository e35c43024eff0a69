"""Names of a model hub, where a path could stand too."""

import re
from pathlib import Path


def is_hub_name(name: str | Path) -> bool:
    """Whether this is `organisation/model`, for the engine itself to fetch, and no file or folder of this machine."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", str(name)) is not None and not Path(name).exists()
