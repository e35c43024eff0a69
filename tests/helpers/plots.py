"""What a plot of the page says."""

from typing import Any


def titles(plot: dict[str, Any]) -> list[str]:
    return [plot["layout"][axis]["title"]["text"] for axis in ("xaxis", "yaxis")]
