"""Servers in containers: the daemon, images, a container's life, and who owns it."""
