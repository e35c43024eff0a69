"""Records of a session on disk: schemas and paths."""
