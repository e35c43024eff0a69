"""Servers in containers: the daemon, images, running a container, and labels of its owner."""
