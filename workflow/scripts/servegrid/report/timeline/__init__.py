"""Timeline of one session: hardware and server over time."""
