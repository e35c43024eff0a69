"""Start, watch and stop a server: a process, a container, a URL, or several copies behind a load balancer."""
