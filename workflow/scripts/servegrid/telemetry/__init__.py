"""Sample the hardware and the server from a separate process, so that it never delays the load client."""

from servegrid.telemetry.telemetry import Telemetry

__all__ = ["Telemetry"]
