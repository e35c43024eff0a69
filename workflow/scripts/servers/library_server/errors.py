"""Errors of refused requests, in OpenAI's form."""

from typing import Any


class ApiError(Exception):
    """Refusal of a request: HTTP status, message, the field it is about (None: none), and OpenAI's type of error."""

    def __init__(self, status: int, message: str, param: str | None = None, kind: str = "invalid_request_error"):
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.kind = kind

    def body(self) -> dict[str, Any]:
        """JSON body of the error response."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.status}}


def invalid(field: str, value: object, allowed: str) -> ApiError:
    """Error with status 400 for a field whose value is not allowed."""
    return ApiError(400, f"{field}: {value!r} is not allowed; allowed: {allowed}", field)
