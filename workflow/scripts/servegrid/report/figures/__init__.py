"""One module per figure, each with `draw(points, settings)`: a pure function from results/points to a figure."""

from collections.abc import Callable

import pandas as pd
from matplotlib.figure import Figure

from servegrid.report.figures import engines, latencies, quantization, sameness, speculation, time_threads
from servegrid.report.settings import Settings

FIGURES: dict[str, Callable[[pd.DataFrame, Settings], Figure]] = {
    "time_threads": time_threads.draw,
    "speculation": speculation.draw,
    "engines": engines.draw,
    "latencies": latencies.draw,
    "quantization": quantization.draw,
    "sameness": sameness.draw,
}
"""File name -> function that draws the figure."""
