"""Stand-in for PowerInfer's server, following examples/server/server.cpp of commit d3ebd7c and what that server was seen to send.

`python powerinfer.py --model FILE --port N …`. One token more than n_predict and four at least, counted without the first; a request
that finds no free slot is answered without any event; there is no /health.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from standins.standin import Answering, StandIn, tokens

LEAST = 4
VALUES = {"model": str, "alias": str, "host": str, "port": int, "parallel": int, "ctx-size": int, "threads": int}


class PowerInfer(StandIn):
    """Front end and engine in one."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, parallel: int = 1, alias: str = "unknown") -> None:
        super().__init__(host, port)
        self.slots, self.alias = parallel, alias

    def get(self, at: Answering) -> None:
        if at.path == "/props":
            at.whole(200, '{"assistant_name":"","user_name":""}')
        else:
            at.whole(404, "File Not Found", "text/plain")

    def post(self, at: Answering) -> None:
        at.stream(self._events(json.loads(at.body)), "text/event-stream", {"Server": "llama.cpp"})

    def _events(self, body: dict[str, Any]) -> Iterator[str]:
        with self.lock:
            free = self.running < self.slots
            self.running += free
        if not free:
            return
        try:
            output_words = tokens(body["prompt"], max(body["n_predict"] + 1, LEAST))
            for word in output_words:
                self.step()
                yield _event({"content": word, "multimodal": False, "slot_id": 0, "stop": False})
            yield _event(self._last(body["prompt"], len(output_words)))
        finally:
            with self.lock:
                self.running -= 1

    def _last(self, prompt: str, output_tokens: int) -> dict[str, Any]:
        reasons = {"stopped_eos": False, "stopped_limit": True, "stopped_word": False, "stopping_word": ""}
        counts = {
            "tokens_predicted": output_tokens - 1,
            "tokens_evaluated": len(prompt.split()) + 1,
            "truncated": False,
        }
        return {"content": "", "model": self.alias, "prompt": prompt, "slot_id": 0, "stop": True, **reasons, **counts}


def _event(document: dict[str, Any]) -> str:
    return f"data: {json.dumps(document, sort_keys=True, separators=(',', ':'))}\n\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name, kind in VALUES.items():
        parser.add_argument(f"--{name}", type=kind)
    parser.add_argument("--cont-batching", action="store_true")
    given = parser.parse_args()
    if not Path(given.model).is_file():
        parser.exit(1, f"error: failed to open {given.model}\n")
    PowerInfer(given.host, given.port, given.parallel, given.alias).serve()
