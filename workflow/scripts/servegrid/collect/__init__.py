"""Raw records collected into tables: one row per point, per session and per percentile."""
