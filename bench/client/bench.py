"""Load clients side by side, against a server that wrote down when it really sent.

    .venv/bin/python bench/client/bench.py --vllm <python of an environment with vllm, aiohttp and requests> [--rounds 3]

Every round runs every client once in every test, one after the other; the tables show medians over rounds with lowest and highest,
and ratios to the C reference, which is the floor. The peers run in the environment of --vllm; without it they are left out.
Needs Linux, cc and two cores. Nothing else should run meanwhile.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from contenders import HERE, REPOSITORY, Contender, Reference, Script, Servegrid, Task, VllmBench
from server import Cores, Sent, Server, middle

CHUNKS, GAP_MS = 128, 30.0
SERVER_CORE, CLIENT_CORE = 0, 1
Value = float
Results = dict[str, dict[str, list[Value]]]


@dataclass(frozen=True)
class Run:
    """What one run of a client cost and said."""

    cpu_s: float
    wall_s: float
    rss_mib: float
    begun_s: float
    sent: Sent
    errors_ms: list[float]  # first token as the client says it, less the server's send, sorted


class Bench:
    """Compiles the references once and runs clients against them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = {name: self._compile(name) for name in ("reference_server", "reference_client")}

    def _compile(self, name: str) -> Path:
        program = self.folder / name
        subprocess.run(["cc", "-O2", "-o", program, HERE / f"{name}.c"], check=True)
        return program

    def run(
        self, client: Contender, threads: int, requests: int, gap_ms: float, cores: tuple[Cores, Cores] = (None, None),
        per_write: int = 1, chunks: int = CHUNKS,
    ) -> Run:  # fmt: skip
        out = self.folder / "out"
        out.unlink(missing_ok=True)
        with Server(self.programs["reference_server"], self.folder, chunks, gap_ms, per_write) as server:
            os.sched_setaffinity(server.pid, cores[0] or os.sched_getaffinity(0))
            command = client.command(Task(server.port, threads, requests, chunks, out))
            begun_s, process, used = _spent(command, cores[1])
        sent = server.sent
        if process or len(sent.arrivals) != requests or sent.chunks != requests * chunks:
            raise RuntimeError(f"{client.name} ended with status {process} after {len(sent.arrivals)} requests")
        said = client.firsts(out)
        errors = sorted(1e3 * (said[number] - first) for number, first in sent.firsts.items() if number in said)
        if len(errors) < requests:
            raise RuntimeError(f"{client.name} wrote down {len(errors)} of {requests} first tokens")
        wall_s = time.monotonic() - begun_s
        return Run(used.ru_utime + used.ru_stime, wall_s, used.ru_maxrss / 1024, begun_s, sent, errors)


def _spent(command: list[str], cores: Cores) -> tuple[float, int, "os.resource.struct_rusage"]:  # type: ignore[name-defined]
    """Run to the end: when it began, exit status, and what it and its children used."""
    log = tempfile.TemporaryFile()  # noqa: SIM115
    begun_s = time.monotonic()
    pin: Callable[[], None] | None = (lambda: os.sched_setaffinity(0, cores)) if cores else None
    process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=pin)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        log.seek(0)
        print(log.read()[-2000:].decode(), file=sys.stderr)
    return begun_s, process.returncode, used


# ---- tests: each gives named values of one client in one round


def start_up(bench: Bench, client: Contender) -> dict[str, Value]:
    """From the call of the program to the arrival of its first request; and the CPU of such a run."""
    run = bench.run(client, 1, 1, 0, chunks=2)
    return {"start-up s": min(run.sent.arrivals.values()) - run.begun_s, "start-up CPU s": run.cpu_s}


def paced(bench: Bench, client: Contender) -> dict[str, Value]:
    """128 streams of a chunk every 30 ms: the whole process's CPU per 1000 chunks."""
    run = bench.run(client, 128, 512, GAP_MS)
    return {"paced CPU s": run.cpu_s, "paced chunks": run.sent.chunks}


def unpaced(bench: Bench, client: Contender) -> dict[str, Value]:
    """As fast as the sockets take it, server and client on a core each."""
    run = bench.run(client, 128, 2048, 0, ({SERVER_CORE}, {CLIENT_CORE}))
    return {"unpaced chunks/s": run.sent.chunks / run.sent.window_s, "unpaced CPU s": run.cpu_s}


def first_tokens(bench: Bench, client: Contender) -> dict[str, Value]:
    """How late the first token is stamped, at 64, 256 and 1024 streams."""
    values: dict[str, Value] = {}
    for streams in (64, 256, 1024):
        run = bench.run(client, streams, 2 * streams, GAP_MS)
        values |= {
            f"p50 ms at {streams}": _rank(run.errors_ms, 0.5),
            f"p99 ms at {streams}": _rank(run.errors_ms, 0.99),
        }
        values[f"RSS MiB at {streams}"] = run.rss_mib
    return values


def _rank(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


TESTS = {"startup": start_up, "paced": paced, "unpaced": unpaced, "firsts": first_tokens}


def measure(bench: Bench, clients: Iterable[Contender], rounds: int, tests: list[str]) -> Results:
    """All tests, interleaved by round."""
    results: Results = {client.name: {} for client in clients}
    for number in range(1, rounds + 1):
        for test in tests:
            for client in clients:
                for name, value in TESTS[test](bench, client).items():
                    results[client.name].setdefault(name, []).append(value)
                print(f"round {number}, {test}: {client.name}", file=sys.stderr)
    return results


def contenders(bench: Bench, peers: Path | None) -> list[Contender]:
    """All clients that can run here."""
    clients: list[Contender] = [Reference(bench.programs["reference_client"]), Servegrid()]
    if (os.cpu_count() or 1) > 1:
        clients.append(Servegrid(2))
    if peers is not None:
        tokenizer = next((REPOSITORY / "resources").glob("models/*/tokenizer.json"), None)
        clients.append(Script("aiohttp, plain", peers, HERE / "plain_aiohttp.py"))
        clients.append(Script("threads + requests", peers, HERE / "plain_requests.py"))
        if tokenizer is None:
            sys.exit(
                "vllm bench serve needs a tokenizer: run the default sweep first, or `snakemake --until checkpoint`"
            )
        clients.append(VllmBench(peers, tokenizer.parent))
    return clients


def main() -> None:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm", type=Path, metavar="PYTHON", help="of an environment with vllm, aiohttp and requests")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tests", nargs="*", choices=TESTS, default=list(TESTS))
    parser.add_argument("--only", help="clients whose name contains this")
    parser.add_argument("--raw", type=Path, help="where to leave every value, as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        clients = [each for each in contenders(bench, options.vllm) if (options.only or "") in each.name]
        results = measure(bench, clients, options.rounds, options.tests)
    if options.raw:
        options.raw.write_text(json.dumps(results, indent=1))
    for name, values in results.items():
        print(
            name, {key: f"{middle(found):.4g} ({min(found):.4g} to {max(found):.4g})" for key, found in values.items()}
        )


if __name__ == "__main__":
    main()
