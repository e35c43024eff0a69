"""Triton's gRPC stream: each response is a message; the last one, which may be empty, is marked as final.

Messages are read with the classes of the official client (tritonclient), after the load.
"""

import json
from typing import Any, ClassVar

from servegrid.protocols._triton import MODEL, ROOM_FACTOR, Piece, enabled_switches, sampling_parameters, write_pieces
from servegrid.protocols.base import GenerationSettings, ParseResult, Protocol, Transport
from servegrid.protocols.events import Events
from servegrid.records.request import RequestRecord, RequestStatus

_QUEUE_FULL = "exceeds maximum queue size"


class TritonGrpc(Protocol):
    """`inference.GRPCInferenceService/ModelStreamInfer`, one request per call."""

    name = "triton-grpc"
    path = "/inference.GRPCInferenceService/ModelStreamInfer"
    transport: ClassVar[Transport] = "grpc"

    def fields(self, prompt: str, settings: GenerationSettings) -> dict[str, Any]:
        """Inputs by name."""
        return {
            "text_input": prompt,
            "stream": True,
            **enabled_switches(settings),
            "sampling_parameters": sampling_parameters(settings),
        }

    def encode(self, prompt: str, settings: GenerationSettings) -> bytes:
        """Request body: a serialized ModelInferRequest."""
        from tritonclient.grpc import service_pb2  # a second to import, for those alone who speak gRPC

        message = service_pb2.ModelInferRequest(model_name=MODEL)
        message.parameters["triton_enable_empty_final_response"].bool_param = True
        for name, value in self.fields(prompt, settings).items():
            message.inputs.add(name=name, datatype="BOOL" if value is True else "BYTES", shape=[1])
            message.raw_input_contents.append(_raw_tensor(value))
        return bytes(message.SerializeToString())

    def max_answer_bytes(self, max_tokens: int) -> int:
        """Default limit of an answer's size, with room for backends that repeat prompt and text."""
        return ROOM_FACTOR * super().max_answer_bytes(max_tokens)

    def parse(self, events: Events, record: RequestRecord) -> ParseResult:
        """Fill the record; an error ends the stream."""
        from google.protobuf.message import DecodeError
        from tritonclient.grpc import service_pb2

        result, pieces = ParseResult(), []
        for number, (t_s, data) in enumerate(zip(events.times_s, events.data, strict=True)):
            try:
                message = service_pb2.ModelStreamInferResponse.FromString(data)
                pieces += _response_pieces(t_s, message.infer_response)
            except (DecodeError, ValueError) as error:
                text = str(error) or type(error).__name__
                result.fault = ("malformed", f"message {number + 1} is no ModelStreamInferResponse: {text}")
                break
            if message.error_message:
                result.fault = _error_fault(message.error_message)
                break
            parameters = message.infer_response.parameters
            if "triton_final_response" in parameters and parameters["triton_final_response"].bool_param:
                result.finished = result.end_mark = True
        write_pieces(pieces, record, _prompt(events.request))
        return result


def _prompt(body: bytes) -> str:
    """Prompt in the message of a request; empty if it has none."""
    from google.protobuf.message import DecodeError
    from tritonclient.grpc import service_pb2

    try:
        message = service_pb2.ModelInferRequest.FromString(body)
        named = zip(message.inputs, message.raw_input_contents, strict=True)
        return next((_text_element(data) for tensor, data in named if tensor.name == "text_input"), "")
    except (DecodeError, ValueError):
        return ""


def _raw_tensor(value: Any) -> bytes:
    """Raw bytes of a tensor of one element: true, or a text (dicts as JSON) after its length, little-endian."""
    if value is True:
        return b"\x01"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    data = text.encode("utf-8", "replace")
    return len(data).to_bytes(4, "little") + data


def _error_fault(message: str) -> tuple[RequestStatus, str]:
    return ("rejected" if _QUEUE_FULL in message.lower() else "error"), message


def _response_pieces(t_s: float, response: Any) -> list[Piece]:
    """Pieces in a response: none if it only marks the end.

    Raises:
        ValueError: when an output is not as it should be.
    """
    raw = {output.name: data for output, data in zip(response.outputs, response.raw_output_contents, strict=True)}
    if not raw:
        return []
    if "text_output" not in raw:
        raise ValueError(f"no text_output among {', '.join(raw)}")
    new_tokens, prompt_tokens = (
        _integer_element(raw.get("num_output_tokens")),
        _integer_element(raw.get("num_input_tokens")),
    )
    finish = _text_element(raw["finish_reason"]) if "finish_reason" in raw else None
    return [Piece(t_s, _text_element(raw["text_output"]), new_tokens, prompt_tokens, finish)]


def _text_element(data: bytes) -> str:
    """Element of a text tensor that has one; invalid UTF-8 is replaced."""
    size = int.from_bytes(data[:4], "little")
    if len(data) != 4 + size:
        raise ValueError(f"a text of {size} bytes in {len(data)}")
    return data[4 : 4 + size].decode(errors="replace")


def _integer_element(data: bytes | None) -> int | None:
    return int.from_bytes(data[:4], "little") if data else None


PROTOCOL = TritonGrpc()
