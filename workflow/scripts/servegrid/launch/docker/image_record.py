"""The record on disk of what an image's name means: looked up once, then the image is used by its digest."""

from dataclasses import asdict, dataclass
from pathlib import Path

from servegrid.util.files import read_json, write_json
from servegrid.util.identity import digest, readable_name


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image as it was looked up, or `error`: why it could not be had."""

    reference: str
    id: str | None = None
    digest: str | None = None  # as a registry knows it: repository@sha256:...; None where it was made on this machine
    size_bytes: int | None = None
    created: str | None = None
    recorded_at: str | None = None
    pulled: bool = False
    error: str | None = None

    @property
    def name(self) -> str:
        """A name that means exactly this image: its digest, else its id, else the reference."""
        return self.digest or self.id or self.reference

    @property
    def provenance(self) -> str | None:
        """Value of the column image_digest: the registry's digest, else the image's id."""
        return self.digest.rpartition("@")[2] if self.digest else self.id

    def write(self, path: Path) -> None:
        """Write the record atomically, as JSON."""
        write_json(path, asdict(self))


def record_path(reference: str) -> str:
    """Path of this image's record, below the folder of resources."""
    return f"images/{readable_name(reference)}-{digest(reference, 8)}.json"


def read_image_record(reference: str, resources: Path) -> ImageRecord | None:
    """The record of this image; None if it was not looked up yet."""
    path = resources / record_path(reference)
    return ImageRecord(**read_json(path)) if path.exists() else None
