"""Container images: looked up or pulled, then used by their digest."""

import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from docker.errors import APIError, DockerException, ImageNotFound
from docker.utils import parse_repository_tag
from requests.exceptions import RequestException

from servegrid.launch.docker.daemon import DaemonUnreachable, docker_client
from servegrid.launch.docker.image_record import ImageRecord

_PROGRESS_INTERVAL_S = 5.0
_GIB = 1024**3


class ImageAbsent(Exception):
    """The image is not here and cannot be pulled; the text says why."""


def resolve_image(reference: str) -> ImageRecord:
    """Resolve an image's name to its digest, pulling it if needed; an image that cannot be had gives a record with `error`."""
    try:
        with docker_client() as client:
            pulled = not _is_present(client, reference)
            if pulled:
                pull(client, reference)
            attributes = client.images.get(reference).attrs
    except (ImageAbsent, DaemonUnreachable) as error:
        return ImageRecord(reference, error=str(error))
    except (DockerException, RequestException) as error:
        return ImageRecord(reference, error=f"the daemon failed: {error}")
    return _image_record(reference, attributes, pulled)


def _image_record(reference: str, attributes: Mapping[str, Any], pulled: bool) -> ImageRecord:
    return ImageRecord(
        reference,
        id=attributes["Id"],
        digest=_repository_digest(reference, attributes.get("RepoDigests") or []),
        size_bytes=attributes.get("Size"),
        created=attributes.get("Created"),
        recorded_at=datetime.now(UTC).isoformat(timespec="seconds"),
        pulled=pulled,
    )


def _repository_digest(reference: str, digests: list[str]) -> str | None:
    """The image's digest in the repository that was asked for, else its first one; None if it has none."""
    repository = parse_repository_tag(reference)[0]
    matching = [digest for digest in digests if digest.rpartition("@")[0].endswith(repository)]
    return next(iter([*matching, *digests]), None)


def ensure_present(client: Any, image: ImageRecord) -> None:
    """Make sure that a recorded image is on this host; one that was removed is pulled again, by its digest.

    Raises:
        ImageAbsent: when it cannot be.
    """
    if _is_present(client, image.name):
        return
    if image.digest is None:
        raise ImageAbsent(f"{image.name}, which {image.reference} meant when it was looked up, is not there any more")
    pull(client, image.digest)


def _is_present(client: Any, name: str) -> bool:
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def pull(client: Any, reference: str) -> None:
    """Pull an image, and print its progress every few seconds.

    Raises:
        ImageAbsent: with the daemon's words, when it cannot be pulled.
    """
    repository, tag = parse_repository_tag(reference)
    try:
        for line in _progress_lines(client.api.pull(repository, tag=tag or "latest", stream=True, decode=True)):
            print(f"pulling {reference}: {line}", file=sys.stderr, flush=True)
    except APIError as error:
        raise ImageAbsent(f"cannot be pulled: {error.explanation or error}") from error


def _progress_lines(events: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    """Lines of progress from the daemon's events, at most one every few seconds."""
    layers: dict[str, tuple[int, int]] = {}
    last_line_s = time.monotonic()
    for event in events:
        if "error" in event:
            raise ImageAbsent(f"cannot be pulled: {event['error']}")
        detail = event.get("progressDetail") or {}
        if event.get("status") == "Downloading" and detail.get("total"):
            layers[event["id"]] = detail["current"], detail["total"]
        elif event.get("status") == "Download complete" and event.get("id") in layers:
            layers[event["id"]] = (layers[event["id"]][1],) * 2
        if time.monotonic() - last_line_s > _PROGRESS_INTERVAL_S:
            last_line_s = time.monotonic()
            yield _progress_line(layers)
    yield "done"


def _progress_line(layers: Mapping[str, tuple[int, int]]) -> str:
    done, total = (sum(sizes) / _GIB for sizes in zip(*layers.values(), strict=True)) if layers else (0.0, 0.0)
    return f"{done:.2f} of {total:.2f} GiB in {len(layers)} layers"
