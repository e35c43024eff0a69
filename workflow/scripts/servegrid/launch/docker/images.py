"""Images: found or pulled, and named by their digest."""

import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from docker.errors import APIError, DockerException, ImageNotFound
from docker.utils import parse_repository_tag
from requests.exceptions import RequestException

from servegrid.launch.docker.daemon import Unreachable, connected
from servegrid.launch.docker.image_record import ImageRecord

_EVERY_S = 5.0
_GIB = 1024**3


class ImageAbsent(Exception):
    """The image is not here and cannot be pulled; the text says why."""


def look_up(reference: str) -> ImageRecord:
    """What the name means on this host, pulled if it is not there; an image that cannot be had is a record with `error`."""
    try:
        with connected() as client:
            pulled = not _is_there(client, reference)
            if pulled:
                pull(client, reference)
            attributes = client.images.get(reference).attrs
    except (ImageAbsent, Unreachable) as error:
        return ImageRecord(reference, error=str(error))
    except (DockerException, RequestException) as error:
        return ImageRecord(reference, error=f"the daemon failed: {error}")
    return _record(reference, attributes, pulled)


def _record(reference: str, attributes: Mapping[str, Any], pulled: bool) -> ImageRecord:
    return ImageRecord(
        reference,
        id=attributes["Id"],
        digest=_digest(reference, attributes.get("RepoDigests") or []),
        size_bytes=attributes.get("Size"),
        created=attributes.get("Created"),
        recorded_at=datetime.now(UTC).isoformat(timespec="seconds"),
        pulled=pulled,
    )


def _digest(reference: str, digests: list[str]) -> str | None:
    """Of the digests that the image has in several repositories, the one in the repository that was asked for."""
    repository = parse_repository_tag(reference)[0]
    own = [one for one in digests if one.rpartition("@")[0].endswith(repository)]
    return next(iter([*own, *digests]), None)


def have(client: Any, image: ImageRecord) -> None:
    """See to it that a recorded image is there; one that was removed is pulled again, by its digest.

    Raises:
        ImageAbsent: when it cannot be.
    """
    if _is_there(client, image.name):
        return
    if image.digest is None:
        raise ImageAbsent(f"{image.name}, which {image.reference} meant when it was looked up, is not there any more")
    pull(client, image.digest)


def _is_there(client: Any, name: str) -> bool:
    try:
        client.images.get(name)
    except ImageNotFound:
        return False
    return True


def pull(client: Any, reference: str) -> None:
    """Pull an image, and say now and then how far it is.

    Raises:
        ImageAbsent: with the daemon's words, when it cannot be pulled.
    """
    repository, tag = parse_repository_tag(reference)
    try:
        for words in _progress(client.api.pull(repository, tag=tag or "latest", stream=True, decode=True)):
            print(f"pulling {reference}: {words}", file=sys.stderr, flush=True)
    except APIError as error:
        raise ImageAbsent(f"cannot be pulled: {error.explanation or error}") from error


def _progress(events: Iterator[Mapping[str, Any]]) -> Iterator[str]:
    """Lines of progress, at most one every few seconds, from the daemon's events."""
    layers: dict[str, tuple[int, int]] = {}
    said_s = time.monotonic()
    for event in events:
        if "error" in event:
            raise ImageAbsent(f"cannot be pulled: {event['error']}")
        detail = event.get("progressDetail") or {}
        if event.get("status") == "Downloading" and detail.get("total"):
            layers[event["id"]] = detail["current"], detail["total"]
        elif event.get("status") == "Download complete" and event.get("id") in layers:
            layers[event["id"]] = (layers[event["id"]][1],) * 2
        if time.monotonic() - said_s > _EVERY_S:
            said_s = time.monotonic()
            yield _so_far(layers)
    yield "done"


def _so_far(layers: Mapping[str, tuple[int, int]]) -> str:
    done, total = (sum(sizes) / _GIB for sizes in zip(*layers.values(), strict=True)) if layers else (0.0, 0.0)
    return f"{done:.2f} of {total:.2f} GiB in {len(layers)} layers"
