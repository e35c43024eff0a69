"""Speed-up by speculation: what speculative decoding gains or costs at each load, and how much of it is accepted."""

import pandas as pd
from matplotlib.figure import Figure

from servegrid.report.drawing.speedup_figure import FeatureEffect, draw_effect
from servegrid.report.settings import Settings

TITLE = "Speed-up by speculation"
_EFFECT = FeatureEffect("speculation", TITLE, ("engine", "gpu", "quantization"), acceptance=True)


def draw(points: pd.DataFrame, settings: Settings) -> Figure:
    """Figure with panels by engine, GPU, quantization and further axes."""
    return draw_effect(points, settings, _EFFECT)
