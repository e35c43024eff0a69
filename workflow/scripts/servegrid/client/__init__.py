"""The load client: sends requests in a planned way, and records what comes back before it thinks about it."""

from servegrid.client import arrivals
from servegrid.client.endpoint import Endpoint, EndpointError
from servegrid.client.exchange import Request
from servegrid.client.load import Lateness, LoadResult, Progress, run
from servegrid.client.shape import ClosedLoop, OpenLoop, Shape, Timeouts

__all__ = [
    "ClosedLoop",
    "Endpoint",
    "EndpointError",
    "Lateness",
    "LoadResult",
    "OpenLoop",
    "Progress",
    "Request",
    "Shape",
    "Timeouts",
    "arrivals",
    "run",
]
