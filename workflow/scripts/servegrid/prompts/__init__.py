"""Prompt sets: generated on the machine, or the user's own."""
