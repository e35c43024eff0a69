"""Starting and stopping the server."""

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
from library_server.options import Options, options

PATIENCE_S = 1.0  # for the engine to end its step and for answers to be closed, once asked to stop
PARTS = ("tokenizers", "starlette", "uvicorn")
# How OpenMP's threads wait for each other, read when the engine is imported. GNU's way is to spin, which starves the
# threads of this server that share the cores, and then the engine itself: a step becomes ten times as long.
WAIT_POLICY = ("OMP_WAIT_POLICY", "PASSIVE")


class _Server(uvicorn.Server):
    """uvicorn, with the signals left to us: its own handlers end the process by the signal and wait for clients."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def say(message: str) -> None:
    """A line of the log."""
    print(f"library_server: {message}", file=sys.stderr, flush=True)


def main() -> int:
    """Runs the command line; the exit status: 0 stopped by a signal, 1 could not serve, 2 wrong command line."""
    wanted = options(sys.argv[1:])
    name = wanted if isinstance(wanted, str) else wanted.backend
    os.environ.setdefault(*WAIT_POLICY)
    try:
        module = cast(BackendModule, importlib.import_module(f"library_server.backends.{name}"))
    except ImportError as error:
        say(f"error: the engine {name} is not installed here: {error}")
        return 1
    parts = {part: distribution_version(part) for part in PARTS} | {"python": platform.python_version()}
    told = f"{name} {module.version()} ({', '.join(f'{part} {version}' for part, version in parts.items())})"
    if isinstance(wanted, str):
        print(told)
        return 0
    say(told)
    return _run(wanted, module, {"engine": name, "engine_version": module.version()} | parts)


def _run(wanted: Options, module: BackendModule, versions: dict[str, str]) -> int:
    try:
        tokenizer = _tokenizer(wanted.tokenizer)
        listener = listen(wanted.host, wanted.port)
    except (OSError, ValueError) as error:
        say(f"error: {error}")
        return 1
    with listener:
        return asyncio.run(_serve(wanted, module, listener, Service(wanted, tokenizer, versions)))


def _tokenizer(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises no narrower kind
        raise ValueError(f"{path} is no tokenizer: {error}") from None


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; OSError with address and reason when it cannot be had."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by accepted connections: a token's event must not wait for the acknowledgement of the one before.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.bind(address)
        made.listen(2048)
    except OSError as error:
        made.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return made


async def _serve(wanted: Options, module: BackendModule, listener: socket.socket, service: Service) -> int:
    """Answers from the start, completes once the model is loaded, until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config = uvicorn.Config(service.app(), log_level="warning", access_log=False, lifespan="off", timeout_keep_alive=75)
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    loading = asyncio.create_task(_load(wanted, module, service, listener))
    await asyncio.wait({stopping, loading, serving}, return_when=asyncio.FIRST_COMPLETED)
    failure = loading.exception() if loading.done() else None
    if failure is None:
        await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
    else:
        say(f"error: the model cannot be loaded: {failure}")
    status = 0 if failure is None else 1
    server.should_exit = True
    await _end(loading, serving, service, status)
    stopping.cancel()
    return status


async def _end(loading: asyncio.Task[None], serving: asyncio.Task[None], service: Service, status: int) -> None:
    """Ends requests, engine and connections in order; whatever of them takes too long ends with the process.

    A thread in the engine's native code cannot be interrupted, and Python would wait for it.
    """
    idle = loading.done() and (service.scheduler is None or service.scheduler.stop(PATIENCE_S))
    await asyncio.wait({serving}, timeout=PATIENCE_S)
    if not (idle and serving.done()):
        sys.stderr.flush()
        os._exit(status)


async def _load(wanted: Options, module: BackendModule, service: Service, listener: socket.socket) -> None:
    """Loads the model in a thread and opens the service."""
    say(f"loading {wanted.model}")
    backend = await asyncio.to_thread(module.load, wanted, service.tokenizer)
    scheduler = scheduler_for(backend, wanted, service.metrics)
    service.facts |= _settings(wanted) | {"compute_type": backend.compute_type, "intra_threads": backend.threads}
    service.facts["batching"] = scheduler.policy
    service.scheduler = scheduler
    host, port = listener.getsockname()[:2]
    say(f"ready on http://{host}:{port}, {backend.compute_type}, {backend.threads or 'its own'} threads")


def _settings(wanted: Options) -> dict[str, Any]:
    told = ("device", "inter_threads", "max_batch_size", "batch_wait_ms", "max_queued", "max_model_len", "seed")
    told += ("engine_arguments",)
    fixed = {"model": wanted.served_model_name, "omp_wait_policy": os.environ[WAIT_POLICY[0]]}
    return fixed | {name: getattr(wanted, name) for name in told}
