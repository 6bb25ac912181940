"""What every route needs: the parts of the server, the caller, and pictures in JSON."""

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request
from PIL import Image

from strokewise.errors import InputError
from strokewise.io.outside import decode_picture
from strokewise.serve.limits import Caller, Limits
from strokewise.serve.manager import Manager
from strokewise.serve.metrics import Metrics
from strokewise.serve.problems import RequestError
from strokewise.serve.security import Keys


@dataclass(frozen=True)
class Parts:
    """The parts of a running server."""

    manager: Manager
    keys: Keys
    metrics: Metrics
    limits: Limits


def parts_of(request: Request) -> Parts:
    """Return the parts of the server that received a request."""
    return cast(Parts, request.app.state.parts)


def caller_of(request: Request) -> Caller:
    """Return who sent a request; the guard has let nobody else through."""
    return cast(Caller, request.state.caller)


Server = Annotated[Parts, Depends(parts_of)]
By = Annotated[Caller, Depends(caller_of)]


def picture(text: str | None, param: str) -> Image.Image | None:
    """Return the picture of base64 text or of a data URL; a RequestError if it is none."""
    if text is None:
        return None
    data = text.partition(",")[2] if text.startswith("data:") else text
    try:
        return decode_picture(base64.b64decode(data, validate=True), param)
    except (binascii.Error, ValueError) as error:
        raise RequestError(422, "invalid", f"{param} is not base64", param) from error
    except InputError as error:
        raise RequestError(422, "invalid", str(error), param) from error
