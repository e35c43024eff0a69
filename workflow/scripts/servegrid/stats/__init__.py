"""Intervals and noise."""
