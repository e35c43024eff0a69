"""Prompt sets: generated on this machine, or the user's own."""
