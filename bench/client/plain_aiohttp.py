"""The plain asyncio client that most load scripts are: aiohttp, json.loads per event. One JSON line per request, as load.py's."""

import argparse
import asyncio
import json
import time

import aiohttp


async def send_request(session: aiohttp.ClientSession, url: str, number: int) -> dict[str, object]:
    body = {"model": "reference", "prompt": "Once upon a time", "max_tokens": 128, "stream": True}
    start, first, last, tokens = time.monotonic(), None, 0.0, 0
    async with session.post(url, json=body, headers={"x-request-id": str(number)}) as answer:
        async for line in answer.content:
            if line.startswith(b"data: ") and not line.startswith(b"data: [DONE]"):
                last = time.monotonic()
                first = last if first is None else first
                tokens = json.loads(line[6:])["usage"]["completion_tokens"]
    return {"id": str(number), "start": start, "ttft": (first or last) - start, "tokens": tokens}


async def run(options: argparse.Namespace) -> list[dict[str, object]]:
    numbers, done = iter(range(options.requests)), list[dict[str, object]]()
    limits = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=limits, timeout=aiohttp.ClientTimeout(total=600)) as session:

        async def thread() -> None:
            for number in numbers:
                done.append(await send_request(session, options.url + "/v1/completions", number))

        await asyncio.gather(*(thread() for _ in range(options.threads)))
    return done


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--jsonl", required=True)
    options = parser.parse_args()
    done = asyncio.run(run(options))
    with open(options.jsonl, "w") as file:
        file.writelines(json.dumps(record) + "\n" for record in done)


if __name__ == "__main__":
    main()
