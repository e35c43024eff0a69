"""The backend for DeepSpeed-MII, over a stand-in for its pipeline that follows mii/batching/ragged_batching.py of 0.3.3."""

import enum
import importlib
import queue
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

SERVERS = Path(__file__).parents[2] / "workflow" / "scripts" / "servers"
END = 2


class Reason(enum.StrEnum):
    STOP = "stop"
    LENGTH = "length"
    NONE = "none"


class Pipeline:
    """Makes the tokens 10, 11, … and the end token as the fourth; a request is scheduled one step after it was put."""

    def __init__(self) -> None:
        self.request_queue: queue.Queue[Any] = queue.Queue()
        self.result_queues: dict[int, queue.Queue[Any]] = {}
        self.scheduled_requests = SimpleNamespace(requests_to_flush=SimpleNamespace(uids=[]))
        self.flushed: list[int] = []
        self._running: list[Any] = []

    def make_request(self, tid: int, uid: int, tokens: Any, wanted: dict[str, Any]) -> Any:
        assert wanted["max_length"] > len(tokens) and wanted.get("temperature", 1) > 0
        return SimpleNamespace(tid=tid, uid=uid, prompt=len(tokens), made=0, flush=False, **wanted)

    def generate(self) -> None:
        for request in self._running:
            request.made += 1
            token = END if request.made == 4 else 9 + request.made
            out = self.result_queues[request.tid]
            out.put((request.uid, [token], request.prompt, request.made, Reason.NONE, True))
            if reason := self._ends(request, token):
                out.put((request.uid, [], request.prompt, request.made, reason, True))
                request.flush = True
        self._running = [request for request in self._running if not request.flush]
        while not self.request_queue.empty():
            request = self.request_queue.get()
            if request.flush:
                self.scheduled_requests.requests_to_flush.uids.append(request.uid)
            else:
                self._running.append(request)

    def _ends(self, request: Any, token: int) -> Reason | None:
        least = getattr(request, "min_new_tokens", 0)
        if token == END and not request.ignore_eos and request.prompt + request.made - 1 >= least:
            return Reason.STOP
        return Reason.LENGTH if request.made >= request.max_new_tokens else None

    def _queue_flush_request(self, uid: int) -> None:
        self.request_queue.put(SimpleNamespace(uid=uid, flush=True))

    def _bcast_requests(self, force: bool = False) -> None:
        assert force

    def flush(self, uids: list[int]) -> None:
        self.flushed += uids


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The backend's module, with stand-ins for the libraries it imports."""
    accelerator = SimpleNamespace(set_device=lambda number: None)
    parts: dict[str, dict[str, Any]] = {
        "torch": {"tensor": list},
        "mii": {},
        "mii.batching": {},
        "mii.batching.data_classes": {"RequestBatch": lambda: "empty"},
        "deepspeed": {},
        "deepspeed.accelerator": {"get_accelerator": lambda: accelerator},
    }
    for name, content in parts.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.syspath_prepend(str(SERVERS))
    yield importlib.import_module("library_server.backends.mii")
    del sys.modules["library_server.backends.mii"]


def test_a_batch(backend: Any) -> None:
    generation = importlib.import_module("library_server.generation")
    pipeline, steps = Pipeline(), []
    batch = [
        generation.Generation([1, 2], 3, ignore_eos=True),
        generation.Generation([1], 8, ignore_eos=True),
        generation.Generation([1, 2, 3], 8),
        generation.Generation([1], 8, cancelled=True),
    ]
    backend.MiiBackend(pipeline, "default", 1).generate(batch, steps.append)
    told = {
        place: [(token, reason) for step in steps for at, token, reason in step if at == place] for place in range(4)
    }
    assert told[0] == [(10, None), (11, None), (12, "length")]
    assert [token for token, _ in told[1]] == [10, 11, 12, END, 14, 15, 16, 17] and told[1][-1][1] == "length"
    assert told[2] == [(10, None), (11, None), (12, None), (END, "stop")]
    assert told[3] == []
    assert len(steps) == 8 and len(steps[0]) == 3
    assert sorted(pipeline.flushed) == [0, 1, 2, 3] and pipeline.scheduled_requests == "empty"


def test_a_minimum_counts_from_the_answers_begin(backend: Any) -> None:
    generation = importlib.import_module("library_server.generation")
    steps: list[Any] = []
    batch = [generation.Generation([1, 2, 3], 5, min_tokens=5)]
    backend.MiiBackend(Pipeline(), "default", 1).generate(batch, steps.append)
    assert [step[0][1:] for step in steps] == [(10, None), (11, None), (12, None), (END, None), (14, "length")]
