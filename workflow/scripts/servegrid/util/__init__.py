"""Helpers that any package may use: files, text, hashes, secrets, processes."""
