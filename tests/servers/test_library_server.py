"""library_server: the HTTP server in front of CTranslate2, over real HTTP."""

import json
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from server_process import Serve, Server, events
from tokenizers import Tokenizer

GREEDY: dict[str, Any] = {"temperature": 0, "ignore_eos": True}
TOLD = {"stream": True, "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
PROMPT = "the server answers the client"


@pytest.fixture
def flags(ctranslate2_model: Path) -> list[str]:
    return ["--model", str(ctranslate2_model), "--compute-type", "float32", "--intra-threads", "1"]


def text(server: Server, **body: Any) -> str:
    answer = server.post(**{"prompt": PROMPT, **GREEDY, **body})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["text"])


def quiet(server: Server) -> bool:
    """No request is left, and none was counted away twice."""
    return server.metric("servegrid_requests_running") == server.metric("servegrid_requests_waiting") == 0


def test_stream_has_an_event_per_token_and_the_whole_text(serve: Serve, library: list[str], flags: list[str]) -> None:
    with serve(library, *flags) as server:
        whole = server.post(prompt=PROMPT, max_tokens=60, **GREEDY).json()
        *parts, end, done = events(server.post(prompt=PROMPT, max_tokens=60, **GREEDY, **TOLD))
        assert server.metric("servegrid_output_tokens_total") == server.metric("servegrid_steps_total") == 120
    choices = [json.loads(part) for part in parts]
    assert [part["usage"]["completion_tokens"] for part in choices] == list(range(1, 61))
    assert "".join(part["choices"][0]["text"] for part in choices) == whole["choices"][0]["text"]
    assert [part["choices"][0]["finish_reason"] for part in choices] == [None] * 59 + ["length"]
    assert json.loads(end)["choices"] == [] and done == "[DONE]"
    assert json.loads(end)["usage"] == whole["usage"]
    assert whole["usage"]["completion_tokens"] == 60
    assert whole["usage"]["total_tokens"] == 60 + whole["usage"]["prompt_tokens"]


def test_stream_without_usage_ends_plainly(serve: Serve, library: list[str], flags: list[str]) -> None:
    with serve(library, *flags) as server:
        *parts, done = events(server.post(prompt=PROMPT, max_tokens=3, stream=True, **GREEDY))
    assert done == "[DONE]"
    assert [json.loads(part)["usage"] for part in parts] == [None] * 3


def test_token_ids_and_text_are_the_same_prompt(
    serve: Serve, library: list[str], flags: list[str], ctranslate2_model: Path
) -> None:
    ids = Tokenizer.from_file(str(ctranslate2_model / "tokenizer.json")).encode(PROMPT).ids
    with serve(library, *flags) as server:
        assert text(server, max_tokens=20) == text(server, max_tokens=20, prompt=ids)


def test_greedy_text_is_that_of_llama_cpp(
    serve: Serve, library: list[str], flags: list[str], llama: list[str], gguf: Path
) -> None:
    full_precision = ("-c", "512", "-np", "1", "-t", "1", "-ctk", "f32", "-ctv", "f32")
    with serve(llama, "-m", gguf, *full_precision) as other:
        expected = text(other, max_tokens=100)
    with serve(library, *flags) as server:
        assert text(server, max_tokens=100) == expected


def test_batches_change_no_text_and_keep_their_limit(serve: Serve, library: list[str], flags: list[str]) -> None:
    # one-token prompts among longer ones, answers of many lengths, more requests than fit a batch
    bodies = [dict[str, Any](prompt=[20 + i] * (1 + i % 5 * 7), max_tokens=5 + i % 4 * 9) for i in range(20)]
    with serve(library, *flags, "--max-batch-size", "4", "--batch-wait-ms", "50") as server:
        alone = [text(server, **body) for body in bodies]
        batches = server.metric("servegrid_batches_total")
        with ThreadPoolExecutor(20) as pool:
            together = list(pool.map(lambda body: text(server, **body), bodies))
        assert together == alone
        assert 20 / 4 <= server.metric("servegrid_batches_total") - batches < 20
        assert server.metric("servegrid_batch_size_last") <= 4
        server.until(lambda: quiet(server), "all requests have left")
        assert server.metric("servegrid_output_tokens_total") == 2 * sum(body["max_tokens"] for body in bodies)


def test_a_step_of_a_batch_is_one_delivery(serve: Serve, library: list[str], flags: list[str]) -> None:
    # prompts of 2 and 12 tokens: the longer one's first token comes ten steps late
    bodies = [{"prompt": [30] * 2, "max_tokens": 8}, {"prompt": [40] * 12, "max_tokens": 20}]
    with serve(library, *flags, "--max-batch-size", "2", "--batch-wait-ms", "60000") as server:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda body: text(server, **body), bodies))
        assert server.metric("servegrid_batches_total") == 1
        assert server.metric("servegrid_steps_total") == 8 + 20


def test_short_answer_does_not_wait_for_its_batch(serve: Serve, library: list[str], flags: list[str]) -> None:
    policy = ("--max-batch-size", "2", "--batch-wait-ms", "60000")
    with serve(library, *flags, *policy) as server, ThreadPoolExecutor(1) as pool:
        long = pool.submit(text, server, max_tokens=1_000_000)
        server.until(lambda: server.metric("servegrid_requests_waiting") == 1, "long request waits")
        text(server, max_tokens=2)
        server.until(lambda: server.metric("servegrid_requests_running") == 1, "short one has left")
        assert not long.done()
        assert server.metric("servegrid_batches_total") == 1
        server.end()
        with pytest.raises((AssertionError, requests.ConnectionError)):
            long.result()


def test_requests_sampled_in_different_ways_do_not_share_a_batch(
    serve: Serve, library: list[str], flags: list[str]
) -> None:
    endless = {"prompt": PROMPT, "max_tokens": 1_000_000, "stream": True, **GREEDY}
    bodies = [{"temperature": i % 3 * 0.7, "top_p": 0.9, "top_k": 5, "max_tokens": 30} for i in range(6)]
    with serve(library, *flags, "--max-batch-size", "8", "--seed", "3") as server, ThreadPoolExecutor(6) as pool:
        greedy = text(server, max_tokens=30)
        with server.post({"stream": True}, **endless) as running:  # until all six wait
            arriving = running.iter_content(16)  # kept: it closes the connection when it is dropped
            next(arriving)
            answers = [pool.submit(text, server, **body) for body in bodies]
            server.until(lambda: server.metric("servegrid_requests_waiting") == 6, "all wait")
        texts = [answer.result() for answer in answers]
        assert server.metric("servegrid_batches_total") == 2 + 3
    assert texts[0] == texts[3] == greedy
    assert greedy not in (texts[1], texts[2], texts[4], texts[5])


def with_end_token(model: Path, folder: Path, token_id: int) -> Path:
    """The same model, but its end token is another one."""
    shutil.copytree(model, folder)
    token = json.loads((folder / "vocabulary.json").read_text())[token_id]
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"eos_token": token}))
    return folder


def test_end_token_stops_unless_ignored(
    serve: Serve, library: list[str], flags: list[str], ctranslate2_model: Path, tmp_path: Path
) -> None:
    # whatever a trial stops at is known only from its text, so a one-byte token of it becomes the end token
    tokenizer = Tokenizer.from_file(str(ctranslate2_model / "tokenizer.json"))
    with serve(library, *flags) as server:
        trial = text(server, max_tokens=40)
    plain = next(character for character in trial if character.isascii() and character.isprintable())
    end = tokenizer.encode(plain).ids[0]
    model = with_end_token(ctranslate2_model, tmp_path / "model", end)
    with serve(library, "--model", model, *flags[2:]) as server:
        stopped = server.post(prompt=PROMPT, max_tokens=40, temperature=0).json()
        assert stopped["choices"][0]["finish_reason"] == "stop"
        assert stopped["choices"][0]["text"] == trial.split(plain)[0]
        assert stopped["usage"]["completion_tokens"] < 40
        ignored = server.post(prompt=PROMPT, max_tokens=40, **GREEDY).json()
        assert ignored["usage"]["completion_tokens"] == 40
        least = stopped["usage"]["completion_tokens"] + 2
        more = server.post(prompt=PROMPT, max_tokens=40, temperature=0, min_tokens=least).json()
        assert more["usage"]["completion_tokens"] >= least


def test_stop_string_ends_the_text_before_it(serve: Serve, library: list[str], flags: list[str]) -> None:
    with serve(library, *flags) as server:
        whole = text(server, max_tokens=60)
        stop = whole[20:23]
        answer = server.post(prompt=PROMPT, max_tokens=60, stop=[stop], **GREEDY).json()
        server.until(lambda: quiet(server), "request has left")
    choice = answer["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == (whole[: whole.index(stop)], "stop")
    assert answer["usage"]["completion_tokens"] < 60


def test_client_that_leaves_frees_its_place(serve: Serve, library: list[str], flags: list[str]) -> None:
    endless = {"prompt": PROMPT, "max_tokens": 1_000_000, **GREEDY}
    with serve(library, *flags, "--max-batch-size", "1") as server:
        with server.post({"stream": True}, stream=True, **endless) as gone:
            next(gone.iter_content(16))
        with pytest.raises(requests.ReadTimeout):
            requests.post(server.url + "/v1/completions", json=endless, timeout=0.3)
        assert text(server, max_tokens=3)
        assert server.metric("servegrid_requests_cancelled_total") == 2
        server.until(lambda: quiet(server), "all requests have left")


def test_full_queue_is_refused(serve: Serve, library: list[str], flags: list[str]) -> None:
    endless = {"prompt": PROMPT, "max_tokens": 1_000_000, "stream": True, **GREEDY}
    policy = ("--max-batch-size", "1", "--max-queued", "1")
    with serve(library, *flags, *policy) as server, server.post({"stream": True}, **endless) as running:
        arriving = running.iter_content(16)  # kept: it closes the connection when it is dropped
        next(arriving)
        with server.post({"stream": True}, **endless):
            refused = server.post(**endless)
            assert refused.status_code == 429
            assert refused.json()["error"]["type"] == "rate_limit_error"
            assert server.metric("servegrid_requests_waiting") == 1
            assert server.metric("servegrid_requests_refused_total") == 1


@pytest.mark.parametrize(
    ("body", "field", "allowed"),
    [
        ({}, "prompt", "a non-empty string"),
        ({"prompt": ""}, "prompt", "a non-empty string"),
        ({"prompt": []}, "prompt", "list of token ids"),
        ({"prompt": ["a", "b"]}, "prompt", "list of token ids"),
        ({"prompt": [5, 99999]}, "prompt", "token ids from 0 to"),
        ({"prompt": "a", "max_tokens": 0}, "max_tokens", "from 1 on"),
        ({"prompt": "a", "max_tokens": "9"}, "max_tokens", "from 1 on"),
        ({"prompt": "a", "max_tokens": True}, "max_tokens", "from 1 on"),
        ({"prompt": "a", "max_tokens": 5, "min_tokens": 6}, "min_tokens", "from 0 to 5"),
        ({"prompt": "a", "temperature": -0.1}, "temperature", "from 0"),
        ({"prompt": "a", "top_p": 0}, "top_p", "above 0"),
        ({"prompt": "a", "top_k": 1.5}, "top_k", "whole number"),
        ({"prompt": "a", "ignore_eos": 1}, "ignore_eos", "true or false"),
        ({"prompt": "a", "stream_options": {"usage": True}}, "stream_options", "include_usage"),
        ({"prompt": "a", "stop": ["", "b"]}, "stop", "non-empty"),
        ({"prompt": "a", "n": 2}, "n", "1"),
        ({"prompt": "a", "temperature": 1, "seed": 5}, "seed", "--seed"),
        ({"prompt": "a", "best_of": 3}, "best_of", "max_tokens"),
        ({"prompt": "a", "max_tokens": 256}, "max_tokens", "256 together"),
    ],
)
def test_what_is_wrong_is_named(one: Server, body: dict[str, Any], field: str, allowed: str) -> None:
    refused = one.post(**body)
    error = refused.json()["error"]
    assert refused.status_code == error["code"] == 400
    assert error["param"] == field
    assert error["message"].startswith(field)
    assert allowed in error["message"].split("allowed: ")[-1]


def test_longest_request_fits(one: Server) -> None:
    answer = one.post(prompt=[9] * 56, max_tokens=200, temperature=0, ignore_eos=True).json()
    assert answer["usage"]["completion_tokens"] == 200


def test_other_model_path_and_method_are_not_found(one: Server) -> None:
    assert one.post(prompt="a", model="other").status_code == 404
    assert one.post(prompt="a", model="tiny", max_tokens=1).status_code == 200
    assert one.get("/nowhere").json()["error"]["code"] == 404
    assert one.get("/v1/completions").json()["error"]["code"] == 405
    broken = requests.post(one.url + "/v1/completions", data=b"{", timeout=10)
    assert broken.status_code == 400 and "not JSON" in broken.json()["error"]["message"]


def test_says_what_it_is(one: Server) -> None:
    facts = one.get("/version").json()
    assert facts["engine"] == "ctranslate2" and facts["engine_version"].startswith("4.")
    assert facts["compute_type"] == "float32"
    assert facts["intra_threads"] == 1
    assert facts["batching"].startswith("static batches")
    assert facts["max_batch_size"] == 8
    assert one.get("/v1/models").json()["data"][0]["id"] == "tiny"
    families = {family.name: family for family in text_string_to_metric_families(one.get("/metrics").text)}
    assert families["servegrid_requests_running"].type == "gauge"
    assert families["servegrid_output_tokens"].type == "counter"
    assert families["servegrid_info"].samples[0].labels["engine"] == "ctranslate2"


def test_takes_all_cores_unless_told(serve: Serve, library: list[str], ctranslate2_model: Path) -> None:
    with serve(library, "--model", ctranslate2_model) as server:
        assert server.get("/version").json()["intra_threads"] == len(os.sched_getaffinity(0))


def test_key_is_asked_for(serve: Serve, library: list[str], flags: list[str]) -> None:
    with serve(library, *flags, SERVER_API_KEY="sesame") as server:
        assert server.post(prompt="a").status_code == 401
        assert server.post({"headers": {"Authorization": "Bearer sesam"}}, prompt="a").status_code == 401
        assert server.post({"headers": {"Authorization": "Bearer sesame"}}, prompt="a").status_code == 200
        assert server.get("/v1/models").status_code == 401


def test_is_not_ready_while_it_loads_and_stops_then_too(
    serve: Serve, library: list[str], ctranslate2_model: Path, tmp_path: Path
) -> None:
    # a pipe nobody writes to: the engine waits for its model for ever
    model = tmp_path / "slow"
    shutil.copytree(ctranslate2_model, model)
    (model / "model.bin").unlink()
    os.mkfifo(model / "model.bin")
    with serve(library, "--model", model, ready=503) as server:
        assert server.post(prompt="a").status_code == 503
        assert server.get("/health").json()["error"]["type"] == "unavailable_error"
        assert server.get("/metrics").status_code == server.get("/version").status_code == 200
        assert server.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_under_load(serve: Serve, library: list[str], flags: list[str], number: signal.Signals) -> None:
    endless = {"prompt": PROMPT, "max_tokens": 1_000_000, "stream": True, **GREEDY}
    with serve(library, *flags, "--max-batch-size", "1") as server:
        with server.post({"stream": True}, **endless) as running, server.post({"stream": True}, **endless):
            arriving = running.iter_content(4096)
            next(arriving)
            with ThreadPoolExecutor(1) as pool:
                rest = pool.submit(lambda: b"".join(arriving))
                assert server.end(number) == 0
            assert b"the server is stopping" in rest.result()
        log = server.log.read_text()
    assert "Traceback" not in log and "Warning" not in log, log
