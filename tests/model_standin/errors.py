"""How the stand-in says no."""

from __future__ import annotations

from model_standin.requests import Json

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class Refused(Exception):
    """A rule of the API's: its status and its words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def body(status: int, message: str, request_id: str) -> Json:
    return {"type": "error", "error": {"type": TYPES[status], "message": message}, "request_id": request_id}
