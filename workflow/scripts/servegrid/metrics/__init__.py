"""Metrics of one load, computed from its raw records."""
