"""The engines this server can stand in front of, one file each; `base` says what a file has to offer."""
