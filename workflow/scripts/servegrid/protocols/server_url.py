"""The URL of a server as people write it: with or without the API's path, with a query or a fragment; and the URLs of its endpoints."""

import re
from functools import cache
from urllib.parse import SplitResult, urlsplit, urlunsplit

from servegrid import protocols
from servegrid.protocols.base import Protocol
from servegrid.util.secret_env import is_secret

EXPECTED = "expected http://host:port or https://host, with or without the path of its API"
_API_ROOT = re.compile(r"/v\d[a-z0-9]*(/(.+/)?openai)?$", re.IGNORECASE)
"""End of a path below which an API's endpoints are: its version, or `openai` somewhere below one (`/v1beta/openai`)."""
_OTHER_ENDPOINT = re.compile(r"/(v\d[a-z0-9]*/(models|responses|messages|embeddings)|health|metrics|docs)$")
_BEFORE_AT = re.compile(r"^([a-z][a-z0-9+.-]*:/*)?.*@", re.IGNORECASE | re.DOTALL)
_QUERY_FIELD = re.compile(r"(?<=[?&])([^=&#]+)=[^&#]*")


def join(url: str, path: str) -> str:
    """URL of the endpoint `path` of the server at `url`, with that URL's query and without its fragment.

    Paths that begin with /v1 are below the root of the API, which the URL may end with; all others are below the server's. A URL
    may also be that of an endpoint: then `path` is this one, or another beside it.
    """
    base = f"/{urlsplit(url).path.strip('/')}".removesuffix("/")
    return at(url, _joined(base, path))


def at(url: str, path: str) -> str:
    """URL of `path`, which may have a query, at the host of `url`, with that URL's query and without its fragment."""
    parts, (path, _, query) = urlsplit(url), path.partition("?")
    return urlunsplit((parts.scheme, parts.netloc, path, "&".join(filter(None, (query, parts.query))), ""))


def mistake(url: str, protocol: Protocol | None = None) -> str | None:
    """What is wrong with a server's URL, to be asked over `protocol`, in words without its secrets; None if nothing is."""
    if (parts := _well_formed(url)) is None:
        return EXPECTED
    if "@" in parts.netloc:
        return "has a user or password; a key goes into an environment variable (api_key_env)"
    path = parts.path.rstrip("/")
    if protocol is None or (endpoint := _endpoint_at_end(path)) == _short(protocol.path):
        return None
    if endpoint:
        return f"ends in {endpoint}, which is not {protocol.path} of {protocol.name}; leave it out, or set another protocol"
    if other := _OTHER_ENDPOINT.search(path):
        return f"ends in {other[0]}, which is not {protocol.path} of {protocol.name}; leave it out"
    return None


def secret_fields(url: str) -> list[str]:
    """Names of the URL's query fields that hold secrets, by their names."""
    return [match[1] for match in _QUERY_FIELD.finditer(url) if _is_secret_field(match[1])]


def shown(url: str) -> str:
    """The URL as it may be printed and recorded: without user, password and the values of `secret_fields`."""
    parts = _well_formed(url)
    text = url if parts and "@" not in parts.netloc else _BEFORE_AT.sub(r"\1***@", url)
    return _QUERY_FIELD.sub(lambda match: f"{match[1]}=***" if _is_secret_field(match[1]) else match[0], text)


def _well_formed(url: str) -> SplitResult | None:
    """Parts of the URL; None if it is not one of a server."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable and not re.search(r"[\s\\]", parts.netloc) else None


def _is_secret_field(name: str) -> bool:
    return is_secret(name.replace("-", "_"))


def _joined(base: str, path: str) -> str:
    endpoint = _endpoint_at_end(base)
    if endpoint == _short(path):
        return base
    base = base.removesuffix(endpoint)
    version = _API_ROOT.search(base)
    if not path.startswith("/v1/"):
        return (base[: version.start()] if version else base) + path
    is_api_root = version or f"/v1{endpoint}" in _endpoints()
    return base + (_short(path) if is_api_root else path)


def _endpoint_at_end(base: str) -> str:
    """The protocol's path that a URL's path ends with, without /v1; empty if there is none."""
    found = [_short(path) for path in _endpoints() if base.endswith(_short(path))] if base else []
    return max(found, key=len, default="")


def _short(path: str) -> str:
    return path.removeprefix("/v1")


@cache
def _endpoints() -> frozenset[str]:
    return frozenset(protocols.get(name).path for name in protocols.names())
