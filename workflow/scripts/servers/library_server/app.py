"""HTTP interface: OpenAI's completions, health, versions and metrics."""

import asyncio
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from tokenizers import Tokenizer

from library_server.completion import CompletionRequest, parse_completion
from library_server.continuous import AnyScheduler
from library_server.errors import ApiError
from library_server.generation import Generation
from library_server.metrics import CONTENT_TYPE, Metrics
from library_server.options import Options
from library_server.response import DONE_EVENT, CompletionResponse, event


class Service:
    """State of the server and its endpoints; `scheduler` is None until the model is loaded."""

    def __init__(self, options: Options, tokenizer: Tokenizer, versions: Mapping[str, Any]):
        self._options = options
        self.tokenizer = tokenizer
        self.info: dict[str, Any] = dict(versions)
        self.metrics = Metrics()
        self.scheduler: AnyScheduler | None = None

    def app(self) -> Starlette:
        """ASGI application with all endpoints."""
        routes = [
            Route("/health", self.health),
            Route("/version", self.version),
            Route("/metrics", self.show_metrics),
            Route("/v1/models", self.models),
            Route("/v1/completions", self.completions, methods=["POST"]),
        ]
        return Starlette(routes=routes, exception_handlers={ApiError: _refuse, HTTPException: _refuse_http})

    async def health(self, request: Request) -> Response:
        """Respond 200 when a completion would be accepted, 503 while the model loads."""
        self._loaded_scheduler()
        return JSONResponse({"status": "ok"})

    async def version(self, request: Request) -> Response:
        """Respond with engine, versions, settings in use and batching policy."""
        return JSONResponse(self.info)

    async def show_metrics(self, request: Request) -> Response:
        """Respond with all metrics in Prometheus' text format."""
        labels = {key: str(self.info.get(key, "")) for key in ("engine", "engine_version", "compute_type")}
        return PlainTextResponse(self.metrics.text(labels), media_type=CONTENT_TYPE)

    async def models(self, request: Request) -> Response:
        """Respond with the list of the one model."""
        self._authorize(request)
        model = {"id": self._options.served_model_name, "object": "model", "created": 0, "owned_by": "local"}
        return JSONResponse({"object": "list", "data": [model | {"max_model_len": self._options.max_model_len}]})

    async def completions(self, request: Request) -> Response:
        """Start a completion, the response to POST /v1/completions."""
        self._authorize(request)
        scheduler = self._loaded_scheduler()
        try:
            body = await request.json()
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ApiError(400, f"the body is not JSON: {error}") from None
        completion = parse_completion(body, self.tokenizer, self._options)
        response = CompletionResponse(completion, self.tokenizer, self._options.served_model_name)
        scheduler.submit(completion.generation)
        return (_StreamReply if completion.stream else _JsonReply)(self, scheduler, completion, response)

    def _loaded_scheduler(self) -> AnyScheduler:
        if self.scheduler is None:
            raise ApiError(503, "the model is being loaded", kind="unavailable_error")
        return self.scheduler

    def _authorize(self, request: Request) -> None:
        key = self._options.api_key
        given_key = request.headers.get("authorization", "").removeprefix("Bearer ")
        if key and not hmac.compare_digest(given_key.encode(), key.encode()):
            raise ApiError(401, "wrong or missing API key", kind="authentication_error")


class _Reply(Response):
    """Response that is sent while it is generated, and cancelled when its client goes away."""

    def __init__(
        self, service: Service, scheduler: AnyScheduler, completion: CompletionRequest, response: CompletionResponse
    ):
        self._metrics = service.metrics
        self._scheduler = scheduler
        self._completion = completion
        self._generation: Generation = completion.generation
        self._response = response
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watch = asyncio.create_task(self._watch(receive))
        try:
            await self._reply(scope, receive, send)
        finally:
            watch.cancel()
            self._scheduler.cancel(self._generation)

    async def _reply(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError

    async def _watch(self, receive: Receive) -> None:
        """Cancel the request when its client goes away before the end."""
        while (await receive())["type"] != "http.disconnect":
            pass
        if not self._generation.ended:
            self._metrics.requests_cancelled_total += 1
            self._scheduler.cancel(self._generation)
            self._generation.fail("the client is gone")

    async def _next_part(self, render: Callable[[str], bytes]) -> bytes | None:
        """Wait for tokens and return their rendered texts; None after the last. ApiError when the engine failed."""
        if self._response.finish_reason is not None:
            return None
        tokens, parts = await self._generation.tokens(), []
        if not tokens:
            raise ApiError(500, str(self._generation.error), kind="server_error")
        for number, token_id in enumerate(tokens, 1):
            last = self._generation.finish_reason if number == len(tokens) else None
            parts.append(render(self._response.add(token_id, last)))
            if self._response.finish_reason is not None:
                break
        return b"".join(parts)


class _StreamReply(_Reply):
    """Streamed response: one server-sent event per token; tokens that arrive together are sent together."""

    async def _reply(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            while (part := await self._next_part(self._response.token_event)) is not None:
                await send({"type": "http.response.body", "body": part, "more_body": True})
            end = self._response.end_events()
        except ApiError as error:
            end = event(error.body()) + DONE_EVENT
        await send({"type": "http.response.body", "body": end, "more_body": False})


class _JsonReply(_Reply):
    """Response of one JSON object at the end."""

    async def _reply(self, scope: Scope, receive: Receive, send: Send) -> None:
        text = b""
        try:
            while (part := await self._next_part(str.encode)) is not None:
                text += part
            http_response = JSONResponse(self._response.as_json(text.decode()))
        except ApiError as error:
            http_response = JSONResponse(error.body(), error.status)
        await http_response(scope, receive, send)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body(), error.status)


async def _refuse_http(request: Request, error: Exception) -> Response:
    """Response to unknown paths and methods, in the same form as every refusal."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}"
    return JSONResponse(ApiError(error.status_code, message).body(), error.status_code, error.headers)
