"""DeepSpeed-MII's pipeline (read: mii/batching/ragged_batching.py of 0.3.3). Not run by this project: it needs a GPU.

`MIIPipeline.__call__` gives whole answers only. Here its parts are called in the same order, with requests that stream: every
`generate()` is one step of the engine and leaves the step's tokens in a queue. The pipeline could take requests at any step (MII's own
server does); behind this server it works batch by batch, as /version says.
"""

import queue
from collections.abc import Hashable, Sequence
from importlib.metadata import version as distribution_version
from typing import Any

import mii
import torch
from deepspeed.accelerator import get_accelerator
from mii.batching.data_classes import RequestBatch
from tokenizers import Tokenizer

from library_server.backends.base import OnStep, StepToken
from library_server.generation import GREEDY, Generation
from library_server.options import Options

RESULTS = 0  # any key: one batch is at work at a time


def version() -> str:
    """Version of the library."""
    return distribution_version("deepspeed-mii")


def load(options: Options, tokenizer: Tokenizer) -> "MiiBackend":
    """Load a Hugging Face checkpoint; ValueError for what this pipeline cannot do."""
    if options.inter_threads > 1:
        raise ValueError("a pipeline of MII works on one batch at a time: --inter-threads 1")
    quantized = options.compute_type == "wf6af16"
    settings: dict[str, Any] = {"quantization_mode": "wf6af16"} if quantized else {}
    pipeline = mii.pipeline(str(options.model), max_length=options.max_model_len, **settings)
    return MiiBackend(pipeline, "wf6af16" if quantized else "default", options.intra_threads)


class MiiBackend:
    """A mii.MIIPipeline behind the Backend protocol."""

    def __init__(self, pipeline: Any, compute_type: str, threads: int):
        self._pipeline = pipeline
        self.compute_type = compute_type
        self.threads = threads

    def batch_key(self, generation: Generation) -> Hashable:
        """None: sampling and lengths are per request, so all may share a batch."""
        return None

    def generate(self, batch: Sequence[Generation], on_step: OnStep) -> None:
        """Generate a batch to its end, a step of the engine at a time."""
        get_accelerator().set_device(0)  # of this thread
        results: queue.Queue[Any] = queue.Queue()
        self._pipeline.result_queues[RESULTS] = results
        for index, generation in enumerate(batch):
            tokens = torch.tensor(generation.prompt)
            self._pipeline.request_queue.put(
                self._pipeline.make_request(RESULTS, index, tokens, _generate_params(generation))
            )
        active = set(range(len(batch)))
        while active:
            step, ended = _take_results(results)
            for index in ended:
                self._pipeline._queue_flush_request(index)
            active -= ended
            if shown := [token for token in step if not batch[token[0]].cancelled]:
                on_step(shown)
            self._pipeline.generate()
        self._flush()

    def _flush(self) -> None:
        """Free the cache of ended requests, as the end of __call__ does."""
        self._pipeline._bcast_requests(force=True)
        self._pipeline.flush(self._pipeline.scheduled_requests.requests_to_flush.uids)
        self._pipeline.scheduled_requests = RequestBatch()


def _generate_params(generation: Generation) -> dict[str, Any]:
    """Fields of GenerateParamsConfig; `min_new_tokens` is compared with prompt and answer together (Request.is_done)."""
    length, sampling = len(generation.prompt), generation.sampling
    params: dict[str, Any] = {"stream": True, "ignore_eos": generation.ignore_eos, "do_sample": sampling != GREEDY}
    params |= {"max_new_tokens": generation.max_tokens, "max_length": length + generation.max_tokens}
    if generation.min_tokens:
        params["min_new_tokens"] = length + generation.min_tokens
    if sampling != GREEDY:
        params |= {"top_p": sampling.top_p, "temperature": sampling.temperature or 1.0}
        params |= {"top_k": sampling.top_k} if sampling.top_k > 0 else {}
    return params


def _take_results(results: "queue.Queue[Any]") -> tuple[list[StepToken], set[int]]:
    """Tokens of a step, and the sequences that have ended: the end is reported after the last token, without one."""
    tokens: dict[int, int] = {}
    reasons: dict[int, str] = {}
    while not results.empty():
        index, new_tokens, _, _, reason, _ = results.get()
        if len(new_tokens):
            tokens[index] = int(new_tokens[0])
        if reason.value != "none":
            reasons[index] = reason.value
    return [(index, token, reasons.get(index)) for index, token in tokens.items()], set(reasons)
