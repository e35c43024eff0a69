"""The server's own counters, in Prometheus' text format."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def _metric(kind: str, text: str) -> int:
    """Dataclass field that is exported as a metric of its name."""
    return field(default=0, metadata={"kind": kind, "help": text})


@dataclass
class Metrics:
    """Counters and gauges of the server; changed in the event loop's thread only."""

    requests_running: int = _metric("gauge", "Requests in the batches at work")
    requests_waiting: int = _metric("gauge", "Requests waiting for a batch")
    requests_total: int = _metric("counter", "Requests accepted")
    requests_refused_total: int = _metric("counter", "Requests refused because too many wait")
    requests_cancelled_total: int = _metric("counter", "Requests whose client went away before their end")
    requests_failed_total: int = _metric("counter", "Requests ended by an error of the engine")
    prompt_tokens_total: int = _metric("counter", "Prompt tokens of the requests that came into a batch")
    output_tokens_total: int = _metric("counter", "Tokens made")
    steps_total: int = _metric("counter", "Decoding steps that made at least one token")
    batches_total: int = _metric("counter", "Batches begun")
    batch_size_last: int = _metric("gauge", "Requests in the batch begun last")

    def text(self, labels: Mapping[str, str]) -> str:
        """All metrics in the text format, with servegrid_info, which is 1 and has the labels."""
        info_labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
        lines = [
            "# HELP servegrid_info What is running",
            "# TYPE servegrid_info gauge",
            f"servegrid_info{{{info_labels}}} 1",
        ]
        for metric in fields(self):
            name = f"servegrid_{metric.name}"
            lines += [f"# HELP {name} {metric.metadata['help']}", f"# TYPE {name} {metric.metadata['kind']}"]
            lines.append(f"{name} {getattr(self, metric.name)}")
        return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
