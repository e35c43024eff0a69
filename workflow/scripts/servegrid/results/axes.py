"""The axes of a grid, and how their levels are spelled."""

import math
from typing import Any

from servegrid.util.text import plain

AXES = ("engine", "gpu", "threads", "speculation", "quantization")
"""The axes that every grid has."""
NO_EFFECT = ("none", "0")
"""Labels of the level at which a feature is off."""


def level_label(value: Any) -> str:
    """Label of a level of an axis: `0.9`, `8`, `true`, `ngram:2`; `unset` for null and for pandas' missing values."""
    value = value.item() if hasattr(value, "item") else value  # of numpy
    if value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and math.isnan(value)):
        return "unset"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{float(value):.10g}"
    return plain(str(value))
