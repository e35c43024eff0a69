"""Prompt sets: JSONL files, and prompts generated from a seed."""
