"""Which certificates are trusted: a CA file, else what OpenSSL trusts (SSL_CERT_FILE, SSL_CERT_DIR, else the system's); by all who connect."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    import ssl

    import requests

Paths = tuple[Path | None, Path | None]
"""File and folder of trusted certificates; None for what there is not."""


class CaFileError(ValueError):
    """The CA file cannot be used; names it and says why."""


def tls_context(ca_file: Path | None = None, verify: bool = True) -> "ssl.SSLContext":
    """TLS settings of a client, shared by all its connections; `verify`: check the server's certificate.

    Raises:
        CaFileError: when the CA file cannot be read, or holds no certificate.
    """
    return _context(ca_file, verify, trusted_paths(None))


def trusted_paths(ca_file: Path | None) -> Paths:
    """What a client trusts that takes paths and no TLS settings."""
    import ssl  # only when it is used: it takes its time

    if ca_file:
        return ca_file.absolute(), None
    paths = ssl.get_default_verify_paths()
    return Path(paths.cafile) if paths.cafile else None, Path(paths.capath) if paths.capath else None


def direct_session(context: Optional["ssl.SSLContext"]) -> "requests.Session":
    """Session of the library `requests` that trusts what `context` does, and goes straight to the server: no proxies, no .netrc."""
    import requests
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        """Adapter with these TLS settings in place of the library's own list of certificates."""

        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            super().init_poolmanager(*arguments, **options, ssl_context=context)

        def cert_verify(self, *_: Any) -> None:
            """Leave the settings as they are."""

    session = requests.Session()
    session.trust_env = False
    if context is not None:
        session.verify = context.check_hostname
        session.mount("https://", Adapter())
    return session


@cache
def _context(ca_file: Path | None, verify: bool, _defaults: Paths) -> "ssl.SSLContext":
    """As `tls_context`; kept, as reading the system's certificates takes 10 ms, for as long as the defaults are these."""
    import ssl

    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise CaFileError(f"CA file {ca_file}: {error}") from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
