"""Events of a stream of server-sent events, with their arrivals."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Events:
    """Events in order: when the line that ends each was there, its data, and its type where that is not `message`.

    `request`: body of the request that they answer, for protocols whose answers may repeat it; empty if it is not known.
    """

    times_s: list[float] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)
    types: dict[int, str] = field(default_factory=dict)
    request: bytes = b""

    def add(self, t_s: float, data: bytes, kind: str = "") -> None:
        """Append an event; one without data is ignored."""
        if not data:
            return
        if kind and kind != "message":
            self.types[len(self.data)] = kind
        self.times_s.append(t_s)
        self.data.append(data)
