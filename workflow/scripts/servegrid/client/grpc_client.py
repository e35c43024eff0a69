"""The client of protocols over gRPC: Python threads and the grpcio library. A message of the answer is kept as it came, unread.

Each thread of work has a channel, and thereby a connection, of its own, opened by its first request; each request is one call. A stamp is
taken when the library hands a message to the thread that waits for it, which is when a script could have seen it: it holds the
library's own delay and that of Python's lock among the threads. Calls wait on one thread each (`SingleThreadedUnaryStream`), so that no
second thread hands messages on. Closed loops and planned arrivals.
"""

import re
from threading import Timer
from time import monotonic
from typing import Any

import grpc
from grpc.experimental import ChannelOptions

from servegrid.client import thread_crew
from servegrid.client.endpoint import Endpoint
from servegrid.client.exchange import Exchange
from servegrid.client.stream_client import Job, JobResult, Start, Watch, start_now
from servegrid.records.request import RequestStatus
from servegrid.util.tls_trust import trusted_paths

OPTIONS = [
    (ChannelOptions.SingleThreadedUnaryStream, 1),
    ("grpc.use_local_subchannel_pool", 1),  # else all channels share one connection
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
]
_HANDSHAKE_FAULT = re.compile(r"handshake failed(?:.*CERTIFICATE_VERIFY_FAILED|[^:]*): ([^:]+)", re.IGNORECASE)
REJECTED = (grpc.StatusCode.RESOURCE_EXHAUSTED,)


def run_job(job: Job, watch: Watch, start: Start = start_now) -> JobResult:
    """Run the job with one channel per thread of work; see `thread_crew.run_job`."""
    return thread_crew.run_job(job, watch, start, _ChannelSender)


class _ChannelSender(thread_crew.RequestSender):
    """Sends requests over one channel. A streaming call with one request is the same on the wire whether the method takes one or a stream of them."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._channel = _channel(job.endpoint, job.address, job.timeouts.connect_s)
        self._call = self._channel.unary_stream(job.endpoint.parts.path)
        self._headers = [(name.lower(), value) for name, value in job.endpoint.headers.items()]

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def send(self, exchange: Exchange) -> None:
        """Make one call and log the messages of its answer."""
        timeouts = self._job.timeouts
        metadata = [*self._headers, ("x-request-id", exchange.id)]
        exchange.sent_s = monotonic()
        call = self._call(exchange.request.body, timeout=timeouts.total_s, metadata=metadata)
        alarm = Timer(timeouts.first_byte_s, _cancel_if_silent, (call, exchange)) if timeouts.first_byte_s else None
        if alarm:
            alarm.daemon = True
            alarm.start()
        try:
            self._read(exchange, call)
        except grpc.RpcError as error:
            exchange.fault = self._fault(error, exchange)
        exchange.end_s = monotonic()
        if alarm:
            alarm.cancel()

    def _read(self, exchange: Exchange, call: Any) -> None:
        log, bytes_left = exchange.log, self._job.answer_limit_bytes(exchange.request)
        for message in call:
            log += [monotonic(), message]
            bytes_left -= len(message)
            if bytes_left < 0:
                exchange.fault = ("malformed", "the answer is larger than its limit")
                call.cancel()
                return

    def _fault(self, error: Any, exchange: Exchange) -> tuple[RequestStatus, str]:
        code, details = error.code(), (error.details() or "").strip()
        timeouts = self._job.timeouts
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return "timeout", f"no end of the answer within {timeouts.total_s:g} s"
        if code == grpc.StatusCode.CANCELLED and timeouts.first_byte_s and not exchange.log:
            return "timeout", f"nothing came for {timeouts.first_byte_s:g} s"
        if code == grpc.StatusCode.UNAVAILABLE and details.startswith("failed to connect"):
            exchange.sent_s = None
            if handshake := _HANDSHAKE_FAULT.search(details):
                return "error", f"TLS: {handshake[1].strip()}"
            return "disconnected", f"no connection: {details.rpartition(': ')[2].lower()}"
        if code == grpc.StatusCode.UNAVAILABLE:
            where = "within the answer" if exchange.log else "before the answer"
            return "disconnected", f"{details[:200]} {where}"
        return ("rejected" if code in REJECTED else "error"), f"gRPC {code.name}: {details}"


def _cancel_if_silent(call: Any, exchange: Exchange) -> None:
    if not exchange.log:
        call.cancel()


def _channel(endpoint: Endpoint, address: tuple[str, int], connect_s: float) -> Any:
    """Channel to the address that was looked up.

    Raises:
        ValueError: for https without checking the certificate, which gRPC does not offer.
    """
    host, port = address
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    options = [
        *OPTIONS,
        ("grpc.min_reconnect_backoff_ms", int(connect_s * 1000)),
    ]  # which is the limit of a connection too
    if endpoint.parts.scheme == "http":
        return grpc.insecure_channel(target, options)
    if not endpoint.verify:
        raise ValueError("gRPC over TLS always checks the server's certificate")
    ca_file, _folder = trusted_paths(endpoint.ca_file)
    roots = ca_file.read_bytes() if ca_file else None
    tls_options = [*options, ("grpc.ssl_target_name_override", endpoint.host)]
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(roots), tls_options)
