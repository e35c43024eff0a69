"""From results/points.parquet and raw sessions to tables and figures: pure functions of files, no measuring."""
