"""Start, watch and stop a server: a process, a container, a URL, several copies behind a balancer."""
