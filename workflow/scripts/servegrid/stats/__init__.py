"""Intervals over sessions, and the noise between them."""
