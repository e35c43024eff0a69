"""Start and stop the server."""

import asyncio
import contextlib
import importlib
import os
import platform
import signal
import socket
import sys
from collections.abc import Iterator
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any, cast

import uvicorn
from tokenizers import Tokenizer

from library_server.app import Service
from library_server.backends.base import BackendModule
from library_server.continuous import scheduler_for
from library_server.options import Options, parse_options

STOP_TIMEOUT_S = 1.0  # for the engine to end its step and for answers to be closed, once asked to stop
PARTS = ("tokenizers", "starlette", "uvicorn")
# How OpenMP's threads wait for each other, read when the engine is imported. GNU's way is to spin, which starves the
# threads of this server that share the cores, and then the engine itself: a step becomes ten times as long.
WAIT_POLICY = ("OMP_WAIT_POLICY", "PASSIVE")


class _Server(uvicorn.Server):
    """uvicorn.Server without its own signal handlers, which end the process by the signal and wait for clients."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def log(message: str) -> None:
    """Write a line to the log, on standard error."""
    print(f"library_server: {message}", file=sys.stderr, flush=True)


def main() -> int:
    """Run the command line; return the exit status: 0 stopped by a signal, 1 could not serve, 2 wrong command line."""
    options = parse_options(sys.argv[1:])
    name = options if isinstance(options, str) else options.backend
    os.environ.setdefault(*WAIT_POLICY)
    try:
        module = cast(BackendModule, importlib.import_module(f"library_server.backends.{name}"))
    except ImportError as error:
        log(f"error: the engine {name} is not installed here: {error}")
        return 1
    parts = {part: distribution_version(part) for part in PARTS} | {"python": platform.python_version()}
    versions = f"{name} {module.version()} ({', '.join(f'{part} {version}' for part, version in parts.items())})"
    if isinstance(options, str):
        print(versions)
        return 0
    log(versions)
    return _run(options, module, {"engine": name, "engine_version": module.version()} | parts)


def _run(options: Options, module: BackendModule, versions: dict[str, str]) -> int:
    try:
        tokenizer = _tokenizer(options.tokenizer)
        listener = listen(options.host, options.port)
    except (OSError, ValueError) as error:
        log(f"error: {error}")
        return 1
    with listener:
        return asyncio.run(_serve(options, module, listener, Service(options, tokenizer, versions)))


def _tokenizer(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower kind
        raise ValueError(f"{path} is no tokenizer: {error}") from None


def listen(host: str, port: int) -> socket.socket:
    """Listening socket on this address; OSError with address and reason when that fails."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by accepted connections: a token's event must not wait for the acknowledgement of the one before.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


async def _serve(options: Options, module: BackendModule, listener: socket.socket, service: Service) -> int:
    """Serve until SIGTERM or SIGINT; completions are accepted once the model is loaded. Return the exit status."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config = uvicorn.Config(service.app(), log_level="warning", access_log=False, lifespan="off", timeout_keep_alive=75)
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    loading = asyncio.create_task(_load(options, module, service, listener))
    await asyncio.wait({stopping, loading, serving}, return_when=asyncio.FIRST_COMPLETED)
    failure = loading.exception() if loading.done() else None
    if failure is None:
        await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
    else:
        log(f"error: the model cannot be loaded: {failure}")
    status = 0 if failure is None else 1
    server.should_exit = True
    await _end(loading, serving, service, status)
    stopping.cancel()
    return status


async def _end(loading: asyncio.Task[None], serving: asyncio.Task[None], service: Service, status: int) -> None:
    """End requests, engine and connections in order; whatever of them takes too long ends with the process.

    A thread in the engine's native code cannot be interrupted, and Python would wait for it.
    """
    idle = loading.done() and (service.scheduler is None or service.scheduler.stop(STOP_TIMEOUT_S))
    await asyncio.wait({serving}, timeout=STOP_TIMEOUT_S)
    if not (idle and serving.done()):
        sys.stderr.flush()
        os._exit(status)


async def _load(options: Options, module: BackendModule, service: Service, listener: socket.socket) -> None:
    """Load the model in a thread and open the service."""
    log(f"loading {options.model}")
    backend = await asyncio.to_thread(module.load, options, service.tokenizer)
    scheduler = scheduler_for(backend, options, service.metrics)
    service.info |= _settings(options) | {"compute_type": backend.compute_type, "intra_threads": backend.threads}
    service.info["batching"] = scheduler.policy
    service.scheduler = scheduler
    host, port = listener.getsockname()[:2]
    log(f"ready on http://{host}:{port}, {backend.compute_type}, {backend.threads or 'its own'} threads")


def _settings(options: Options) -> dict[str, Any]:
    names = ("device", "inter_threads", "max_batch_size", "batch_wait_ms", "max_queued", "max_model_len", "seed")
    names += ("engine_arguments",)
    fixed = {"model": options.served_model_name, "omp_wait_policy": os.environ[WAIT_POLICY[0]]}
    return fixed | {name: getattr(options, name) for name in names}
