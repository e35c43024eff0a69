"""vLLM's AsyncLLMEngine: continuous batches of its own, so requests are handed to it as they come."""

import itertools
from collections.abc import AsyncIterator
from importlib.metadata import version as distribution_version

import vllm
from tokenizers import Tokenizer
from vllm import SamplingParams
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.engine.async_llm_engine import AsyncLLMEngine
from vllm.sampling_params import RequestOutputKind

from library_server.backends.base import Tokens
from library_server.generation import Generation
from library_server.options import Options


def version() -> str:
    """Version of the library; that of the distribution if the library names none."""
    return str(getattr(vllm, "__version__", "")) or distribution_version("vllm")


def load(options: Options, tokenizer: Tokenizer) -> "AsyncLlmBackend":
    """Start the engine, in processes of its own; raises what vLLM raises, or TypeError for an unknown setting."""
    settings = {"max_num_seqs": options.max_batch_size, "seed": options.seed or 0} | options.engine_arguments
    if options.max_model_len is not None:
        settings.setdefault("max_model_len", options.max_model_len)
    arguments = AsyncEngineArgs(model=str(options.model), disable_log_stats=True, **settings)
    return AsyncLlmBackend(AsyncLLMEngine.from_engine_args(arguments))


class AsyncLlmBackend:
    """An AsyncLLMEngine behind the ContinuousBackend protocol."""

    continuous = True
    threads = None  # bound by vLLM itself

    def __init__(self, engine: AsyncLLMEngine):
        self._engine = engine
        self._numbers = itertools.count()
        self.compute_type = str(engine.model_config.dtype).removeprefix("torch.")

    async def stream(self, generation: Generation) -> AsyncIterator[Tokens]:
        """Yield the tokens of each step; when the caller cancels it, vLLM ends the request."""
        sampling = generation.sampling
        params = SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            max_tokens=generation.max_tokens,
            # as vLLM's own server is asked for an exact length: the end token is not chosen before
            min_tokens=generation.max_tokens if generation.ignore_eos else generation.min_tokens,
            ignore_eos=generation.ignore_eos,
            detokenize=False,
            output_kind=RequestOutputKind.DELTA,
        )
        prompt = {"prompt_token_ids": generation.prompt}
        async for output in self._engine.generate(prompt, params, str(next(self._numbers))):
            completion = output.outputs[0]
            yield list(completion.token_ids), completion.finish_reason

    def close(self) -> None:
        """End the engine's processes."""
        self._engine.shutdown()
