"""The load client: sends requests as planned, records what comes back, and parses it after the load."""
