"""From raw records to one row per point."""
