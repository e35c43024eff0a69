"""What is wrapped in an error, and what went wrong with TLS."""

from collections.abc import Iterator
from contextlib import suppress


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what is wrapped in it, outermost first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        inner = error.__cause__ or error.__context__
        with suppress(StopIteration):
            inner = inner or next(arg for arg in error.args if isinstance(arg, BaseException))
        if inner is None:
            return
        error = inner


def tls_fault(error: BaseException) -> str | None:
    """What went wrong with TLS, such as `TLS: self-signed certificate`; None if the error has another cause."""
    import ssl  # only when it is used: it takes its time

    found = next((cause for cause in causes(error) if isinstance(cause, ssl.SSLError)), None)
    if found is None:
        return None
    return f"TLS: {getattr(found, 'verify_message', None) or found.reason or found}"
