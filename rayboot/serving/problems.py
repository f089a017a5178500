"""Errors as `application/problem+json` (RFC 9457), with the stage and the reason of a reject."""

import json
from typing import Any

from starlette.responses import Response

from rayboot.errors import (
    BusyError,
    DegenerateInputError,
    FaceRejectedError,
    RaybootError,
    RequestError,
)

__all__ = ["PROBLEM_SCHEMA", "PROBLEM_TYPE", "Problem", "describe_error"]

PROBLEM_TYPE = "application/problem+json"

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "stage", "reason"],
    "properties": {
        "type": {"type": "string", "description": "urn:rayboot:problem:REASON"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence that says what to do."},
        "stage": {
            "type": "string",
            "description": "Step that refused the request: request, read, landmarks, select, "
            "reconstruct or service.",
        },
        "reason": {"type": "string", "description": "Short identifier, such as no-face."},
    },
}
"""JSON schema of the body of every error."""

_TITLES = {
    400: "The request is not valid",
    401: "A token is required",
    403: "The request is refused",
    404: "There is no such page",
    405: "The page does not take this method",
    411: "The request must state its length",
    413: "The photo is too large",
    415: "The file is no photo",
    422: "The photo cannot be reconstructed",
    429: "Too many requests",
    500: "The service failed",
    503: "The service is busy",
    504: "The request took too long",
}

_STATUS = {
    ("read", "undecodable"): 415,
    ("read", "too-large"): 413,
    ("read", "empty"): 400,
    ("select", "no-such-face"): 400,
}
"""Statuses of rejects that are not 422."""

_PHOTO_WITHOUT_LANDMARKS = "no-face"


class Problem(Exception):  # noqa: N818 - the term of RFC 9457
    """An error that is the response to a request.

    Args:
        status: HTTP status.
        stage: step that refused the request.
        reason: short identifier.
        detail: one sentence for people.
        retry_after_s: seconds after which the same request may succeed.
    """

    def __init__(
        self, status: int, stage: str, reason: str, detail: str, retry_after_s: int | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.stage, self.reason, self.detail = status, stage, reason, detail
        self.retry_after_s = retry_after_s

    def response(self) -> Response:
        """Returns the response."""
        headers = {"Cache-Control": "no-store"}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        body = {
            "type": f"urn:rayboot:problem:{self.reason}",
            "title": _TITLES.get(self.status, "The request failed"),
            "status": self.status,
            "detail": self.detail,
            "stage": self.stage,
            "reason": self.reason,
        }
        return Response(json.dumps(body), self.status, headers, PROBLEM_TYPE)


def describe_error(error: RaybootError) -> Problem:
    """Returns the response to an error of a reconstruction."""
    if isinstance(error, FaceRejectedError):
        status = _STATUS.get((error.stage, error.reason), 422)
        detail = error.message
        if error.reason == _PHOTO_WITHOUT_LANDMARKS:
            # The detector's own sentence advises about landmark files, which nobody can post.
            detail = "no face was found in the photo; use one that shows a face from the front"
        return Problem(status, error.stage, error.reason, detail)
    if isinstance(error, DegenerateInputError):
        return Problem(
            422, "reconstruct", "no-shape", "the network predicts no shape for this face"
        )
    if isinstance(error, RequestError):
        return Problem(400, "request", "invalid", str(error))
    if isinstance(error, BusyError):
        return Problem(503, "service", "busy", str(error), retry_after_s=1)
    return Problem(500, "service", "failed", "the service failed; its log says why")
