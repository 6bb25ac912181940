"""Questions to a vision model behind an OpenAI-compatible API, answered in a given schema.

Whatever goes wrong on the way is met here: busy or failing servers (waiting longer each time), cut
connections, answers that are not what was asked for (asked again, with the fault named). Every good answer is
kept on disk, so that the same question is never paid for twice. Knows schemas and money; what is asked, and
what an answer means, is settled in ``judges``.
"""

import base64
import hashlib
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from PIL import Image

from strokewise.errors import ConfigError, ServiceError
from strokewise.io.atomic import write_text
from strokewise.trajectory.files import encode_png

if TYPE_CHECKING:
    from pydantic import BaseModel

Answer = TypeVar("Answer", bound="BaseModel")
Item = TypeVar("Item")
Result = TypeVar("Result")
BUSY = (408, 409, 429)
SECRET = 8  # shorter keys are words for servers that need none


@dataclass(frozen=True)
class Limits:
    """What may be spent, and how patiently.

    Attributes:
        requests: sent in all, retries included; None: any number.
        tokens: of questions and answers in all. No request is sent once they are spent, so the total can pass
            them by what was under way. The server must tell what it used.
        concurrent: requests under way at once.
        attempts: times one request is sent while the server is busy, fails or cuts the connection.
        asks: times a question is asked until the answer is what was asked for.
        timeout: seconds without a word from the server until a request counts as failed.
        wait, longest_wait: seconds before the second attempt, doubled for each further one, and at most, also
            where the server asks for more.
    """

    requests: int | None = None
    tokens: int | None = None
    concurrent: int = 4
    attempts: int = 6
    asks: int = 3
    timeout: float = 120.0
    wait: float = 1.0
    longest_wait: float = 60.0

    def __post_init__(self) -> None:
        """Refuse what would never ask."""
        for name in ("concurrent", "attempts", "asks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")


class Asker:
    """A model to ask; may be shared by threads."""

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        cache: Path | None = None,
        limits: Limits | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Ask ``model``.

        Args:
            model: its name at the service.
            base_url: of the service; None: OPENAI_BASE_URL, or OpenAI itself.
            api_key: None: OPENAI_API_KEY. It is neither logged nor stored.
            cache: folder of answers; None: nothing is kept.
            limits: what may be spent.
            sleep: waits so many seconds.

        Raises:
            ConfigError: if there is no key, or the client is not installed.
        """
        try:
            import openai
        except ImportError as error:
            raise ConfigError("asking a judge needs: pip install 'strokewise[data]'") from error
        key = api_key or os.environ.get("OPENAI_API_KEY")
        if not key:
            raise ConfigError("no key for the judge: set OPENAI_API_KEY (any text, if the server needs none)")
        self.model, self.cache, self.limits, self.sleep = model, cache, limits or Limits(), sleep
        self.requests = self.tokens = 0
        self._key = key
        self._client = openai.OpenAI(
            api_key=key, base_url=base_url, timeout=self.limits.timeout, max_retries=0
        )
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(self.limits.concurrent)
        self._doors: dict[Path, threading.Lock] = {}

    def ask(self, task: str, text: str, answer: type[Answer], images: Sequence[Image.Image] = ()) -> Answer:
        """One question.

        Args:
            task: what the model is to do, the same for all questions of a kind.
            text: what this one is about.
            answer: a pydantic model, all of whose fields are required.
            images: shown after the text, in order.

        Raises:
            ServiceError: if the service refuses or keeps failing, no answer fits, or the limits are reached.
        """
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": task},
            {"role": "user", "content": [{"type": "text", "text": text}, *map(_shown, images)]},
        ]
        place = self._place(messages, answer)
        if place is None:
            return self._answer(messages, answer)
        with self._doors.setdefault(
            place, threading.Lock()
        ):  # the same question at once waits for its answer
            found = _kept(place, answer)
            if found is None:
                found = self._answer(messages, answer)
                _keep(place, found)
            return found

    def _answer(self, messages: list[dict[str, Any]], answer: type[Answer]) -> Answer:
        """An answer that fits the schema; asked for again, with the fault named, while it does not."""
        problem = ""
        for _ in range(self.limits.asks):
            told = self._send(messages, answer)
            try:
                return answer.model_validate_json(told)
            except ValueError as error:
                problem = str(error)
                again = f"That is not an answer of the schema asked for: {problem[:500]}\nAnswer again."
                messages = [
                    *messages,
                    {"role": "assistant", "content": told},
                    {"role": "user", "content": again},
                ]
        raise ServiceError(
            f"{self.model} gave {self.limits.asks} answers that are not what was asked for"
            f" ({' '.join(problem.split())[:200]}); take a model that can answer in a JSON schema"
        )

    def ahead(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Results in the order of the items, as many under way at once as may be."""
        waiting, count = iter(items), self.limits.concurrent
        with ThreadPoolExecutor(count) as pool:
            futures = [pool.submit(function, item) for item in islice(waiting, count)]
            try:
                while futures:
                    yield futures.pop(0).result()
                    futures += [pool.submit(function, item) for item in islice(waiting, 1)]
            finally:
                for future in futures:
                    future.cancel()

    # --- one request -------------------------------------------------------------------------------------

    def _send(self, messages: list[dict[str, Any]], answer: "type[BaseModel]") -> str:
        """The text of an answer; waits and tries again while that can help."""
        import openai

        create: Any = self._client.chat.completions.create
        reason, after = "", None
        for attempt in range(self.limits.attempts):
            if attempt:
                self.sleep(self._pause(attempt, after))
            try:
                with self._slots:
                    self._spend()
                    response = create(model=self.model, messages=messages, response_format=_schema(answer))
                return self._text(response)
            except openai.APIStatusError as error:
                reason = f"status {error.status_code}: {self._brief(error)}"
                if error.status_code < 500 and error.status_code not in BUSY:
                    raise ServiceError(
                        f"the judge {self.model} refused ({reason}); check its name, the key and the address"
                    ) from None  # some servers quote the key in what they say
                after = error.response.headers.get("retry-after")
            except (openai.APIError, ValueError) as error:
                reason, after = f"{type(error).__name__}: {self._brief(error)}", None
        raise ServiceError(
            f"the judge {self.model} failed {self.limits.attempts} times, last with {reason}; answers so far"
            " are kept, so try again later"
        )

    def _text(self, response: Any) -> str:
        """What was said; counts what it cost.

        Raises:
            ValueError: if the server's response is not one of this API.
            ServiceError: if tokens are limited and the server does not tell how many it used.
        """
        try:
            told, usage = response.choices[0].message.content, response.usage
        except (AttributeError, IndexError, TypeError) as error:
            raise ValueError("the server's response is not a chat completion") from error
        spent = getattr(usage, "total_tokens", None)
        if isinstance(spent, int):
            with self._lock:
                self.tokens += spent
        elif self.limits.tokens is not None:
            raise ServiceError(
                f"the server of {self.model} does not tell how many tokens it used, so their limit cannot be"
                " kept; limit requests instead"
            )
        return told or ""

    def _brief(self, error: Exception) -> str:
        """The beginning of what is wrong, without the key."""
        told = " ".join(str(error).split())
        secret = len(self._key) >= SECRET
        return (told.replace(self._key, "[key]") if secret else told)[:200]

    def _spend(self) -> None:
        """Count a request that is about to be sent."""
        limits = self.limits
        with self._lock:
            for name in ("requests", "tokens"):
                limit, spent = getattr(limits, name), getattr(self, name)
                if limit is not None and spent >= limit:
                    raise ServiceError(
                        f"the judge's limit of {limit:,} {name} is reached; answers so far are kept:"
                        " raise the limit and go on"
                    )
            self.requests += 1

    def _pause(self, attempt: int, after: str | None) -> float:
        """Seconds before the next attempt: what the server asks for, or ever more with some chance."""
        if (stated := _seconds(after)) is not None:
            return min(stated, self.limits.longest_wait)
        longest = min(self.limits.wait * 2.0 ** (attempt - 1), self.limits.longest_wait)
        return longest * random.uniform(0.5, 1.0)

    # --- answers on disk ---------------------------------------------------------------------------------

    def _place(self, messages: list[dict[str, Any]], answer: "type[BaseModel]") -> Path | None:
        """The file of a question: a digest of model, texts, pictures and schema."""
        if self.cache is None:
            return None
        question = json.dumps([self.model, messages, answer.model_json_schema()], sort_keys=True)
        digest = hashlib.sha256(question.encode()).hexdigest()
        return self.cache / digest[:2] / f"{digest}.json"


def _seconds(after: str | None) -> float | None:
    """What a Retry-After header says, as seconds or as a date; None if it says neither."""
    try:
        return max(0.0, float(after or ""))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(after or "").timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def _kept(place: Path, answer: type[Answer]) -> Answer | None:
    """The answer that is stored; None if there is none, or the file is damaged."""
    try:
        return answer.model_validate_json(place.read_bytes())
    except (OSError, ValueError):
        return None


def _keep(place: Path, found: "BaseModel") -> None:
    write_text(place, found.model_dump_json(), ServiceError)


def _shown(image: Image.Image) -> dict[str, Any]:
    data = base64.b64encode(encode_png(image)).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def _schema(answer: "type[BaseModel]") -> dict[str, Any]:
    stated = {"name": answer.__name__, "schema": answer.model_json_schema(), "strict": True}
    return {"type": "json_schema", "json_schema": stated}
