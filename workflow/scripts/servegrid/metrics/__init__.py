"""What is computed from raw records."""
