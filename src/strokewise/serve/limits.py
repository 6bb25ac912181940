"""Who sends a request, and how much one server accepts. Values only."""

from dataclasses import dataclass

MAX_NODES = 1_000  # of a session
TEXT = 8_000  # characters of a message's part
LISTED = 50  # sessions in a list, where the request does not say how many


@dataclass(frozen=True)
class Limits:
    """What one server accepts.

    Attributes:
        prompt: characters of a prompt or an instruction.
        steps: flow steps of a canvas.
        max_rounds, max_images, max_tokens: as in ``PaintingOptions``.
        previews: of a canvas.
        queue: sessions that wait.
        sessions: kept for one key.
        body: bytes of a request.
    """

    prompt: int = 2_000
    steps: int = 100
    max_rounds: int = 16
    max_images: int = 32
    max_tokens: int = 2_048
    previews: int = 20
    queue: int = 64
    sessions: int = 500
    body: int = 32 << 20


@dataclass(frozen=True)
class Caller:
    """Who sends a request: the holder of a key, and the client on whose account a session waits."""

    owner: str
    client: str
