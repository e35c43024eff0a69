"""Checks before a sweep: `snakemake plan` and `snakemake doctor`."""
