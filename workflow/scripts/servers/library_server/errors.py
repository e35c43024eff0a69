"""What a client is told when its request is refused, in OpenAI's form."""

from typing import Any


class ApiError(Exception):
    """A refusal: HTTP status, what is wrong, the field it is about (None: none), and OpenAI's type of error."""

    def __init__(self, status: int, message: str, param: str | None = None, kind: str = "invalid_request_error"):
        super().__init__(message)
        self.status = status
        self.message = message
        self.param = param
        self.kind = kind

    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.status}}


def invalid(field: str, value: object, allowed: str) -> ApiError:
    """A field's value is not among what is allowed: status 400."""
    return ApiError(400, f"{field}: {value!r} is not allowed; allowed: {allowed}", field)
