"""What a session leaves on disk: schemas and paths."""
