"""What can go wrong for a client, as errors that know their HTTP status and code."""

from collections.abc import Mapping

from pydantic import BaseModel

from strokewise.errors import PromptError, StrokewiseError

LONGEST = 1_000  # characters of a message


class RequestError(StrokewiseError):
    """An error that a client can act on.

    Attributes:
        status: of the HTTP response.
        code: a word for programs.
        param: the field of the request it is about, if any.
        headers: of the response.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Say what is wrong and what to do."""
        super().__init__(message)
        self.status, self.code, self.param, self.headers = status, code, param, dict(headers or {})

    def body(self) -> dict[str, dict[str, str | None]]:
        """Return the JSON of the response, in the shape that clients of OpenAI's API read."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        message = str(self)[:LONGEST]
        return {"error": {"message": message, "type": kind, "code": self.code, "param": self.param}}


def not_found(what: str) -> RequestError:
    """Return the problem that there is no such thing, or it is somebody else's."""
    return RequestError(404, "not_found", f"there is no {what}; it may have been deleted")


def conflict(message: str) -> RequestError:
    """Return the problem that something is not possible as things stand."""
    return RequestError(409, "conflict", message)


def busy(message: str, seconds: float) -> RequestError:
    """Return the problem that something is not possible now; again after some seconds."""
    return RequestError(429, "queue_full", message, headers={"Retry-After": str(max(1, round(seconds)))})


def stopping() -> RequestError:
    """Return the server is about to stop."""
    return RequestError(
        503, "stopping", "the server is stopping; try again soon", headers={"Retry-After": "10"}
    )


def of(error: StrokewiseError, param: str | None = None) -> RequestError:
    """Return any error of ours as a problem."""
    if isinstance(error, RequestError):
        return error
    return RequestError(422, "prompt" if isinstance(error, PromptError) else "invalid", str(error), param)


class ErrorDetail(BaseModel):
    """What is wrong, what to do, and a word for programs."""

    message: str
    type: str
    code: str
    param: str | None


class ErrorBody(BaseModel):
    """The JSON of every error."""

    error: ErrorDetail
