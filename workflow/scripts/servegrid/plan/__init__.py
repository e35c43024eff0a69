"""Plan a sweep: expand the grid, resolve it on this host, find what is still to be measured and how long it takes."""
