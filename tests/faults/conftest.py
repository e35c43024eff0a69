"""Clones of the project, to break things in."""

from workflow.conftest import project as project
