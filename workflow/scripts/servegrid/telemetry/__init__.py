"""Samples the hardware and the server from a process of its own, so that it never holds up the load client."""

from servegrid.telemetry.telemetry import Telemetry

__all__ = ["Telemetry"]
