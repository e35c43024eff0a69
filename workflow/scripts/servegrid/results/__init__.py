"""The result tables: columns, axes, how they are read."""
