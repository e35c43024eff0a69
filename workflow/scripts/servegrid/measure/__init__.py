"""One session: launch, loads, stop."""
