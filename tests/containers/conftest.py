"""A real daemon and a real image. Where there is none the tests are skipped, but not in continuous integration."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boxes import cannot

from isolation import REPOSITORY
from servegrid.launch.docker.daemon import DaemonUnreachable, docker_client
from workflow.conftest import project as project

SCRIPT = Path(__file__).with_name("build_image.sh")
MADE_OF = [
    SCRIPT,
    REPOSITORY / "envs" / "llamacpp.txt",
    REPOSITORY / "workflow" / "scripts" / "servers" / "llama_server.py",
]


@pytest.fixture(scope="session")
def daemon() -> Iterator[Any]:
    """A client of the daemon that DOCKER_HOST names."""
    try:
        with docker_client() as client:
            yield client
    except DaemonUnreachable as error:
        cannot(f"no Docker daemon for these tests: {error} ({error.remedy})")


@pytest.fixture(scope="session")
def image(daemon: Any) -> str:
    """An image with the genuine llama-server, built once; what it is made of names it."""
    content = hashlib.sha256(b"".join(path.read_bytes() for path in MADE_OF)).hexdigest()[:12]
    reference = f"servegrid-test/llama:{content}"
    if not daemon.images.list(filters={"reference": reference}):
        if os.geteuid() != 0 or not shutil.which("debootstrap") or not shutil.which("docker"):
            cannot("the image of these tests is built by root, with debootstrap and docker")
        subprocess.run([SCRIPT, reference, sys.executable], check=True, timeout=900)
    return reference
