"""One session over time."""
