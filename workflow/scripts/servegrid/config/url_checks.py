"""Checks of an engine that is a server at a URL, and of what its requests are to hold."""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from servegrid import engines, protocols
from servegrid.config.errors import yaml_text
from servegrid.config.serving import EngineConfig
from servegrid.protocols import server_url
from servegrid.protocols.base import REFERENCES
from servegrid.util.tls_trust import CaFileError, tls_context

URL_KEYS = ("url", "served_model", "ca_file", "health_path")
OPENAI_PROTOCOLS = ("openai-completions", "openai-chat")


def allowed_protocols(engine: str, runtime: str) -> list[str]:
    """Protocols that a server of this engine may be spoken to with; at a URL a gateway may stand before it, with OpenAI's."""
    own = engines.get(engine).protocols
    return list(dict.fromkeys([*own, *(OPENAI_PROTOCOLS if runtime == "url" else ())]))


def url_mistakes(name: str, engine: str, entry: EngineConfig) -> Iterator[str]:
    """Yield a mistake for each key that goes with runtime url and is wrong, or that goes with another runtime."""
    if entry.runtime != "url":
        for key in URL_KEYS:
            if getattr(entry, key) is not None:
                yield f"engines.{name}.{key} = {yaml_text(getattr(entry, key))}: goes with runtime url, and with no other"
        return
    for key in ("options", "env"):
        if getattr(entry, key):
            yield f"engines.{name}.{key}: a server that runs already takes no {key}"
    yield from _address_mistakes(f"engines.{name}.url", entry.url or "", entry.protocol or engine_protocol(engine))
    yield from _trust_mistakes(f"engines.{name}.ca_file", entry)


def engine_protocol(engine: str) -> str | None:
    """Protocol that a server of this engine is spoken to with unless the config says another; None for an unknown engine."""
    return engines.get(engine).protocols[0] if engine in engines.names() else None


def _address_mistakes(key: str, url: str, protocol: str | None) -> Iterator[str]:
    spoken = protocols.get(protocol) if protocol in protocols.names() else None
    if mistake := server_url.mistake(url, spoken):
        yield f"{key} = {yaml_text(server_url.shown(url))}: {mistake}"
    for field in server_url.secret_fields(url):
        yield f"{key}: its query has {field}, a secret; a key goes into the variable named in api_key_env"


def _trust_mistakes(key: str, entry: EngineConfig) -> Iterator[str]:
    if entry.ca_file is None:
        return
    if not (entry.url or "").startswith("https:"):
        yield f"{key} = {yaml_text(entry.ca_file)}: goes with a url of https"
    try:
        tls_context(Path(entry.ca_file))
    except CaFileError as error:
        yield f"{key} = {yaml_text(entry.ca_file)}: must be a file with certificates (PEM): {error}"


def reference_mistakes(key: str, value: Any) -> Iterator[str]:
    """Yield a mistake for each text that is nearly a reference: it would be sent as it is."""
    allowed = [f"<{name}>" for name in REFERENCES]
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from reference_mistakes(f"{key}.{name}", part)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from reference_mistakes(f"{key}[{index}]", part)
    elif isinstance(value, str) and value not in allowed and value.startswith("<"):
        closest = difflib.get_close_matches(value, allowed, n=1, cutoff=0.8)
        yield from (
            f"{key} = {yaml_text(value)}: did you mean {text}? (allowed: {', '.join(allowed)})" for text in closest
        )
