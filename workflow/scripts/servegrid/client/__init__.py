"""The load client: sends requests in a planned way, and records what comes back before it thinks about it."""
