"""What a config asks for: grid, sessions, what is resolved on this host, what is still to be measured, how long it takes."""
