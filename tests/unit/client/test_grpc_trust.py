"""Over gRPC the client trusts what the other kinds trust: a real server of the library, with the stand-ins' certificate."""

import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2

from servegrid import protocols
from servegrid.client.endpoint import Endpoint
from servegrid.client.exchange import Request
from servegrid.client.run import run
from servegrid.client.shape import ClosedLoop, Timeouts
from servegrid.protocols.base import GenerationSettings
from standins.scripted import CERTIFICATE

pytestmark = pytest.mark.slow

PROTOCOL = protocols.get("triton-grpc")


def answer(_requests: Iterator[bytes], _context: Any) -> Iterator[bytes]:
    """The final response of a stream, as of Triton: grpc_service.proto, ModelStreamInferResponse."""
    response = service_pb2.ModelStreamInferResponse()
    response.infer_response.outputs.add(name="text_output", datatype="BYTES", shape=[1])
    response.infer_response.raw_output_contents.append(struct.pack("<I", 3) + b"yes")
    response.infer_response.parameters["triton_final_response"].bool_param = True
    yield response.SerializeToString()


@contextmanager
def tls_server() -> Iterator[str]:
    pem = CERTIFICATE.read_bytes()
    service, method = PROTOCOL.path.strip("/").split("/")
    handlers = {method: grpc.stream_stream_rpc_method_handler(answer)}
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(pem, pem)]))
    server.start()
    try:
        yield f"https://127.0.0.1:{port}{PROTOCOL.path}"
    finally:
        server.stop(None).wait()


def outcome(url: str, ca_file: Path | None = None) -> tuple[str, str | None]:
    body = PROTOCOL.body("Hi", GenerationSettings(1))
    todo, timeouts = [Request("r", "p", body, 1)], Timeouts(connect_s=20, total_s=30)
    [record] = run(Endpoint(url, ca_file=ca_file), todo, ClosedLoop(1), PROTOCOL, timeouts=timeouts).records
    return record.status, record.error


def test_a_certificate_is_trusted_by_file_or_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with tls_server() as url:
        assert outcome(url) == ("error", "TLS: self signed certificate")
        assert outcome(url, CERTIFICATE) == ("ok", None)
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        assert outcome(url) == ("ok", None)
