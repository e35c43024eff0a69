"""Command line of the server."""

import argparse
import functools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

COMPUTE_TYPES = (
    "default auto float32 float16 bfloat16 int16 int8 int8_float32 int8_float16 int8_bfloat16 wf6af16".split()  # noqa: SIM905
)
NAMES = sorted(path.stem for path in (Path(__file__).parent / "backends").glob("[a-z]*.py") if path.stem != "base")


@dataclass(frozen=True)
class Options:
    """Options the server was started with; None means unlimited or not given."""

    backend: str
    model: Path
    tokenizer: Path
    host: str
    port: int
    device: str
    compute_type: str
    inter_threads: int
    intra_threads: int
    max_batch_size: int
    batch_wait_ms: float
    max_queued: int | None
    max_model_len: int | None
    served_model_name: str
    seed: int | None
    api_key: str | None
    engine_arguments: dict[str, Any]


def _number(text: str, least: int, most: int | None = None) -> int:
    if int(text) < least or (most is not None and int(text) > most):
        raise argparse.ArgumentTypeError(f"{text} is not a number from {least}" + (f" to {most}" if most else " on"))
    return int(text)


def _milliseconds(text: str) -> float:
    if not 0 <= float(text) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of milliseconds from 0 on")
    return float(text)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is not a JSON object")
    return value


def parser() -> argparse.ArgumentParser:
    """Parser of the options, with their allowed values and defaults."""
    parser = argparse.ArgumentParser(prog="library_server", allow_abbrev=False)
    positive, add = functools.partial(_number, least=1), parser.add_argument
    add("--backend", required=True, choices=NAMES, help="the engine")
    add("--version", action="store_true", help="say the versions of the engine and of the server's parts, and end")
    add("--model", type=Path, help="folder of the converted model")
    add("--tokenizer", type=Path, help="tokenizer.json, or a folder with one; default: the model's folder")
    add("--host", default="127.0.0.1")
    add("--port", type=functools.partial(_number, least=0, most=65535), default=8000, help="0: any free one")
    add("--device", choices=("cpu", "cuda", "npu"), default="cpu")
    add("--compute-type", choices=COMPUTE_TYPES, default="default", help="default: as the model was saved")
    add("--inter-threads", type=positive, default=1, help="batches at work at once")
    add("--intra-threads", type=functools.partial(_number, least=0), default=0, help="threads per batch; 0: all cores")
    add("--max-batch-size", type=positive, default=8, help="requests in a batch")
    add("--batch-wait-ms", type=_milliseconds, default=0.0, help="how long a batch that is not full waits for more")
    add("--max-queued", type=positive, help="refuse a request (429) when so many wait; default: never")
    add("--max-model-len", type=positive, help="most tokens of prompt and answer together; default: unlimited")
    add("--served-model-name", help="the model's name in the API; default: the model folder's name")
    add("--seed", type=functools.partial(_number, least=0), help="of all sampling; default: random")
    add("--api-key", default=os.environ.get("SERVER_API_KEY"), help="Bearer key; also from SERVER_API_KEY")
    add(
        "--engine-arguments", type=_object, default={}, help="JSON object: further arguments of the engine's own loader"
    )
    return parser


def _tokenizer_file(tokenizer: Path | None, model: Path) -> Path:
    path = tokenizer or model
    return path / "tokenizer.json" if path.is_dir() else path


def parse_options(arguments: Sequence[str]) -> Options | str:
    """Parse a command line; return only the backend's name when versions are asked for. Exits with 2 when it is wrong."""
    arguments_parser = parser()
    namespace = arguments_parser.parse_args(arguments)
    if namespace.version:
        return str(namespace.backend)
    if namespace.model is None:
        arguments_parser.error("--model is required")
    if not namespace.model.is_dir():
        arguments_parser.error(f"--model: no such folder: {namespace.model}")
    namespace.tokenizer = _tokenizer_file(namespace.tokenizer, namespace.model)
    if not namespace.tokenizer.is_file():
        arguments_parser.error(f"--tokenizer: no such file: {namespace.tokenizer}")
    namespace.intra_threads = namespace.intra_threads or max(1, len(os.sched_getaffinity(0)) // namespace.inter_threads)
    namespace.served_model_name = namespace.served_model_name or namespace.model.resolve().name
    return Options(**{field.name: getattr(namespace, field.name) for field in fields(Options)})
