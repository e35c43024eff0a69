"""What an image's name means, with a real registry on this host (docker-registry, Debian's package of the reference one)."""

import io
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from boxes import cannot

from servegrid.host.ports import free_port
from servegrid.launch.docker.image_record import ImageRecord
from servegrid.launch.docker.images import ImageAbsent, ensure_present, resolve_image
from servegrid.launch.probe import get_text
from workflow.project import until

CONFIG = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {folder}}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program, folder, port = shutil.which("docker-registry"), tmp_path_factory.mktemp("registry"), free_port()
    if not program:
        cannot("docker-registry is not installed")
    (folder / "config.yml").write_text(CONFIG.format(folder=folder, port=port))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([str(program), "serve", str(folder / "config.yml")], stdout=log, stderr=log)
        try:
            until(lambda: get_text(f"http://127.0.0.1:{port}/v2/", {})[0] == 200)
            yield f"127.0.0.1:{port}"
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def pushed(daemon: Any, registry: str) -> Iterator[str]:
    """An image that is in the registry, and not here any more."""
    reference = f"{registry}/servegrid-test/small:1"
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("empty"))
    daemon.api.import_image_from_data(content.getvalue(), repository=f"{registry}/servegrid-test/small", tag="1")
    assert '"error"' not in daemon.images.push(reference)
    daemon.images.remove(reference)
    yield reference
    for image in daemon.images.list(f"{registry}/servegrid-test/small"):
        daemon.images.remove(image.id, force=True)


def test_a_name_is_pulled_once_and_means_its_digest_from_then_on(daemon: Any, pushed: str) -> None:
    found = resolve_image(pushed)
    assert found.error is None and found.pulled and found.size_bytes is not None
    assert found.digest and found.digest.startswith(pushed.rpartition(":")[0] + "@sha256:")
    assert daemon.images.get(found.name).id == found.id
    assert not resolve_image(pushed).pulled, "it is here now"

    daemon.images.remove(found.id, force=True)
    ensure_present(daemon, found)
    assert daemon.images.get(found.digest).id == found.id


def test_what_the_registry_lacks(daemon: Any, pushed: str) -> None:
    found = resolve_image(pushed.rpartition(":")[0] + ":2")
    assert found.error and found.error.startswith("cannot be pulled: ") and "manifest unknown" in found.error


def test_an_image_made_here_that_is_gone(daemon: Any, pushed: str) -> None:
    gone = ImageRecord(pushed, id="sha256:" + 64 * "0")
    with pytest.raises(ImageAbsent, match="is not there any more"):
        ensure_present(daemon, gone)
