"""Tell names of a model hub from paths."""

import re
from pathlib import Path


def is_hub_name(name: str | Path) -> bool:
    """Whether this is `organisation/model`, which the engine itself fetches, and no file or folder of this machine."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", str(name)) is not None and not Path(name).exists()
