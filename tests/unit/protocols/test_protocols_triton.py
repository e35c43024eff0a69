"""Triton's two protocols on answers as tritonserver 2.51.0 sends them; tests/engines/test_triton.py has them from the server itself."""

import json
from typing import Any

import pytest
from tritonclient.grpc import service_pb2

from servegrid import protocols
from servegrid.client.endpoint import Endpoint
from servegrid.client.exchange import Request
from servegrid.client.kinds import check_supported
from servegrid.client.run import run
from servegrid.client.shape import ClosedLoop, OpenLoop, Shape
from servegrid.host.ports import free_port
from servegrid.protocols.base import GenerationSettings, ParseResult
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord

pytestmark = pytest.mark.slow

SETTINGS = GenerationSettings(4, "any", extra={"top_k": 1, "return_finish_reason": None})
SAMPLING = {"max_tokens": 4, "temperature": 0.0, "ignore_eos": True, "min_tokens": 4, "top_k": 1}
GREEK = "Ω".encode()


def parsed(name: str, data: list[bytes]) -> tuple[ParseResult, RequestRecord]:
    record = RequestRecord("r", "p", 4, "ok", sent_s=10.0)
    return protocols.get(name).parse(Events([11.0 + at for at in range(len(data))], data), record), record


def event(text: str, tokens: Any = 1, finish: str = "None") -> bytes:
    head = {"finish_reason": finish, "model_name": "vllm_model", "model_version": "1", "num_input_tokens": 2}
    return json.dumps(head | {"num_output_tokens": tokens, "text_output": text}).encode()


def message(
    text: bytes | None = None, tokens: int = 1, finish: str = "None", final: bool = False, error: str = ""
) -> bytes:
    answer = service_pb2.ModelStreamInferResponse(error_message=error)
    answer.infer_response.parameters["triton_final_response"].bool_param = final
    texts = {"text_output": text, "finish_reason": finish.encode()} if text is not None else {}
    for name, value in texts.items():
        answer.infer_response.outputs.add(name=name, datatype="BYTES", shape=[1])
        answer.infer_response.raw_output_contents.append(len(value).to_bytes(4, "little") + value)
    for name, number in {"num_input_tokens": 2, "num_output_tokens": tokens}.items() if texts else ():
        answer.infer_response.outputs.add(name=name, datatype="UINT32", shape=[1])
        answer.infer_response.raw_output_contents.append(number.to_bytes(4, "little"))
    return bytes(answer.SerializeToString())


def test_the_body_of_generate_stream() -> None:
    body = json.loads(protocols.get("triton-generate").body("Ω?", SETTINGS))
    assert body == {
        "text_input": "Ω?",
        "stream": True,
        "return_num_input_tokens": True,
        "return_num_output_tokens": True,
        "parameters": SAMPLING,
    }


def test_the_message_of_a_request() -> None:
    sent = service_pb2.ModelInferRequest.FromString(protocols.get("triton-grpc").body("Ω?", SETTINGS))
    raw = {tensor.name: data for tensor, data in zip(sent.inputs, sent.raw_input_contents, strict=True)}
    assert sent.model_name == "vllm_model" and sent.parameters["triton_enable_empty_final_response"].bool_param
    assert raw["text_input"] == b"\x03\x00\x00\x00" + GREEK + b"?" and raw["stream"] == b"\x01"
    assert json.loads(raw["sampling_parameters"][4:]) == SAMPLING and "return_finish_reason" not in raw
    assert {tensor.name: tensor.datatype for tensor in sent.inputs}["return_num_output_tokens"] == "BOOL"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("triton-generate", [event("a"), event("", 1), event("bc", [2], "length")]),
        ("triton-grpc", [message(b"a"), message(b""), message(b"bc", 2, "length", final=True)]),
        ("triton-grpc", [message(b"a"), message(b""), message(b"bc", 2, "length"), message(final=True)]),
    ],
)
def test_an_answer(name: str, data: list[bytes]) -> None:
    result, record = parsed(name, data)
    assert result.finished and result.fault is None
    assert (record.text, record.output_tokens, record.prompt_tokens, record.finish_reason) == ("abc", 4, 2, "length")
    assert (record.chunk_tokens, record.chunk_offsets_s) == ([1, 2, 4], [1.0, 2.0, 3.0])


def test_a_stream_without_its_final_response_is_not_finished() -> None:
    result, record = parsed("triton-grpc", [message(b"a")])
    assert not result.finished and record.text == "a"


@pytest.mark.parametrize(
    ("name", "last", "status", "error"),
    [
        ("triton-generate", b'{"error":"Error generating stream: x"}', "error", "Error generating stream: x"),
        ("triton-generate", b'{"model_name":"vllm_model"}', "malformed", "an event has no text_output"),
        ("triton-grpc", message(error="Request for unknown model"), "error", "Request for unknown model"),
        ("triton-grpc", message(error="Exceeds maximum queue size"), "rejected", "Exceeds maximum queue size"),
        ("triton-grpc", b"\xff\xff", "malformed", "message 2 is no ModelStreamInferResponse"),
        ("triton-grpc", message(b"a")[:-1], "malformed", "message 2 is no ModelStreamInferResponse"),
    ],
)
def test_faults(name: str, last: bytes, status: str, error: str) -> None:
    result, record = parsed(name, [message(b"a") if name == "triton-grpc" else event("a"), last])
    assert result.fault is not None and result.fault[0] == status and result.fault[1].startswith(error)
    assert record.text == "a"


def test_other_clients_speak_no_grpc() -> None:
    check_supported("stream", ClosedLoop(1), workers=2, transport="grpc")
    with pytest.raises(ValueError, match="client parallel speaks HTTP alone"):
        check_supported("parallel", ClosedLoop(1), transport="grpc")


@pytest.mark.parametrize("shape", [ClosedLoop(2), OpenLoop([0.0, 0.01])])
def test_refused_connections_are_recorded(shape: Shape) -> None:
    protocol = protocols.get("triton-grpc")
    requests = [Request(f"r{n}", "p", protocol.body("?", SETTINGS), 4) for n in range(2)]
    result = run(Endpoint(f"http://127.0.0.1:{free_port()}{protocol.path}"), requests, shape, protocol)
    assert [record.status for record in result.records] == ["disconnected"] * 2
    assert {record.error for record in result.records} == {"no connection: connection refused"}
    assert {record.sent_s for record in result.records} == {None}
