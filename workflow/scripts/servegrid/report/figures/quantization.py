"""Speed-up by quantization: what fewer bits per weight gain or cost at each load."""

import pandas as pd
from matplotlib.figure import Figure

from servegrid.report.drawing.speedup_figure import FeatureEffect, draw_effect
from servegrid.report.settings import Settings

TITLE = "Speed-up by quantization"
_EFFECT = FeatureEffect("quantization", TITLE, ("engine", "gpu"), held="speculation")


def draw(points: pd.DataFrame, settings: Settings) -> Figure:
    """Figure with panels by engine, GPU and further axes; speculation held at the baseline's."""
    return draw_effect(points, settings, _EFFECT)
