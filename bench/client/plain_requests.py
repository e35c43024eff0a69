"""The plain threaded client: one thread and one `requests` session per thread of work. One JSON line per request, as load.py's."""

import argparse
import json
import threading
import time
from collections.abc import Iterator

import requests


def send_request(session: requests.Session, url: str, number: int) -> dict[str, object]:
    body = {"model": "reference", "prompt": "Once upon a time", "max_tokens": 128, "stream": True}
    start, first, last, tokens = time.monotonic(), None, 0.0, 0
    with session.post(url, json=body, headers={"x-request-id": str(number)}, stream=True, timeout=600) as answer:
        for line in answer.iter_lines(chunk_size=None):
            if line.startswith(b"data: ") and line != b"data: [DONE]":
                last = time.monotonic()
                first = last if first is None else first
                tokens = json.loads(line[6:])["usage"]["completion_tokens"]
    return {"id": str(number), "start": start, "ttft": (first or last) - start, "tokens": tokens}


def work(numbers: Iterator[int], lock: threading.Lock, url: str, done: list[dict[str, object]]) -> None:
    with requests.Session() as session:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            done.append(send_request(session, url, number))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--jsonl", required=True)
    options = parser.parse_args()
    numbers, lock, done = iter(range(options.requests)), threading.Lock(), list[dict[str, object]]()
    arguments = (numbers, lock, options.url + "/v1/completions", done)
    threads = [threading.Thread(target=work, args=arguments) for _ in range(options.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open(options.jsonl, "w") as file:
        file.writelines(json.dumps(record) + "\n" for record in done)


if __name__ == "__main__":
    main()
