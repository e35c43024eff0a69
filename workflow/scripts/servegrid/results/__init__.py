"""The result tables: their columns, axes and warnings, and how they are read."""
