"""What this machine is and has: devices, locks, ports."""
