"""Load clients side by side, against a server that wrote down when it really sent.

    .venv/bin/python bench/client/bench.py --vllm <python of an environment with vllm, aiohttp and requests> [--rounds 3]

Every round runs every client once in every test, one after the other. The table shows medians over the rounds, with lowest and
highest where they differ; the C reference is the floor. The peers run in the environment of --vllm; without it they are left out.
Needs Linux, cc and two cores. Nothing else should run meanwhile.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contenders import HERE, REPOSITORY, Contender, Reference, Script, Servegrid, Task, VllmBench
from server import Cores, Sent, Server
from table import Results, table

CHUNKS, GAP_MS = 128, 30.0
SERVER_CORE, CLIENT_CORE = 0, 1


@dataclass(frozen=True)
class Run:
    """What one run of a client cost, what the server saw, and how late first tokens were stamped, sorted."""

    used: dict[str, Any]
    sent: Sent
    errors_ms: list[float]


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
        self,
        client: Contender,
        threads: int,
        requests: int,
        gap_ms: float,
        cores: tuple[Cores, Cores] = (None, None),
        per_write: int = 1,
        chunks: int = CHUNKS,
    ) -> Run:
        """One run. Raises RuntimeError when a request is missing anywhere: a client that drops some is not faster."""
        out = self.folder / "out"
        out.unlink(missing_ok=True)
        with Server(self.programs["reference_server"], self.folder, chunks, gap_ms, per_write) as server:
            os.sched_setaffinity(server.pid, cores[0] or os.sched_getaffinity(0))
            used = self._spent(client.command(Task(server.port, threads, requests, chunks, out)), cores[1])
        sent = server.sent
        if used["status"] or len(sent.arrivals) != requests or sent.chunks != requests * chunks:
            raise RuntimeError(f"{client.name} ended with status {used['status']} after {len(sent.arrivals)} requests")
        stamps = client.firsts(out)
        errors = sorted(1e3 * (stamps[number] - first) for number, first in sent.firsts.items() if number in stamps)
        if len(errors) < requests:
            raise RuntimeError(f"{client.name} wrote down {len(errors)} of {requests} first tokens")
        return Run(used, sent, errors)

    def _spent(self, command: list[str], cores: Cores) -> dict[str, Any]:
        """Run to the end and give what was used; the words of a client that fails go to standard error."""
        out = self.folder / "spent.json"
        pin = ["taskset", "--cpu-list", ",".join(map(str, cores))] if cores else []
        program = [*pin, sys.executable, "-I", "-S", str(HERE / "spent.py"), str(out), *command]
        done = subprocess.run(program, check=True, capture_output=True, text=True)
        used: dict[str, Any] = json.loads(out.read_text())
        if used["status"]:
            print(done.stdout[-1000:], done.stderr[-2000:], file=sys.stderr)
        return used


# ---- tests: each gives named values of one client in one round


def start_up(bench: Bench, client: Contender) -> dict[str, float]:
    """From the call of the program to the arrival of its first request; and the CPU of such a run."""
    run = bench.run(client, 1, 1, 0, chunks=2)
    return {"start_s": min(run.sent.arrivals.values()) - run.used["begun_s"], "start_cpu_s": run.used["cpu_s"]}


def paced(bench: Bench, client: Contender) -> dict[str, float]:
    """128 streams of a chunk every 30 ms: CPU of the whole process, reading of answers and writing of results included."""
    run = bench.run(client, 128, 512, GAP_MS)
    return {"paced_cpu_s": run.used["cpu_s"], "paced_chunks": run.sent.chunks}


def unpaced(bench: Bench, client: Contender) -> dict[str, float]:
    """As fast as the sockets take it, server and client on a core each: chunks per second of the load."""
    run = bench.run(client, 128, 2048, 0, ({SERVER_CORE}, {CLIENT_CORE}))
    return {"unpaced_per_s": run.sent.chunks / run.sent.window_s}


def whole(bench: Bench, client: Contender) -> dict[str, float]:
    """A server that costs little (32 events per write): wall time of the whole process, from the call to its end."""
    run = bench.run(client, 128, 4096, 0, per_write=32)
    return {"whole_s": run.used["wall_s"], "whole_chunks": run.sent.chunks}


def first_tokens(bench: Bench, client: Contender) -> dict[str, float]:
    """How late the first token is stamped, at 64, 256 and 1024 streams; and the memory."""
    values: dict[str, float] = {}
    for streams in (64, 256, 1024):
        run = bench.run(client, streams, 2 * streams, GAP_MS)
        values[f"p50_{streams}"], values[f"p99_{streams}"] = _rank(run.errors_ms, 0.5), _rank(run.errors_ms, 0.99)
        values[f"rss_{streams}"] = run.used["rss_mib"]
    return values


def _rank(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


TESTS = {"startup": start_up, "paced": paced, "unpaced": unpaced, "whole": whole, "firsts": first_tokens}


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
    clients: list[Contender] = [Reference(bench.programs["reference_client"]), Servegrid(), Servegrid(2)]
    if peers is not None:
        tokenizer = next((REPOSITORY / "resources").glob("models/*/checkpoint/tokenizer.json"), None)
        clients.append(Script("aiohttp, plain", peers, HERE / "plain_aiohttp.py"))
        clients.append(Script("threads + requests", peers, HERE / "plain_requests.py"))
        if tokenizer is None:
            sys.exit("vllm bench serve needs a tokenizer: run the default sweep first, which builds one")
        clients.append(VllmBench(peers, tokenizer.parent))
    return clients


def main() -> None:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm", type=Path, metavar="PYTHON", help="of an environment with vllm, aiohttp and requests")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tests", nargs="*", choices=TESTS, default=list(TESTS))
    parser.add_argument("--only", default="", help="clients whose name contains this")
    parser.add_argument("--raw", type=Path, help="where to leave every value, as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        clients = [client for client in contenders(bench, options.vllm) if options.only in client.name]
        results = measure(bench, clients, options.rounds, options.tests)
    if options.raw:
        options.raw.write_text(json.dumps(results, indent=1))
    print(table(results))


if __name__ == "__main__":
    main()
