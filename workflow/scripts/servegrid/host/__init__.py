"""This machine: its description, devices, device locks, ports."""
