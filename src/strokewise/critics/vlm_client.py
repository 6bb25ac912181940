"""Queries to a vision model behind an OpenAI-compatible API, answered in a given schema.

Retries and pauses are those of the ``openai`` client. What is added here: limits on what is spent, answers
that are validated and requested again with the fault named, a cache on disk so that no query is paid for
twice, and a guard against services that misbehave. This file knows schemas and money. It refuses to know what
is queried and what an answer means (``judges``, ``verifiers``).
"""

import base64
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from PIL import Image

from strokewise.critics.json_answers import Answer, parse_answer, unbounded_schema
from strokewise.critics.secrets import Secret
from strokewise.errors import ConfigError, ServiceError
from strokewise.io.atomic import write_text
from strokewise.trajectory.files import encode_png

if TYPE_CHECKING:
    import openai
    from pydantic import BaseModel

Item = TypeVar("Item")
Result = TypeVar("Result")
MAX_BYTES = 8 * 2**20  # of one answer: a thousand times what the longest needs
LONGEST_PAUSE = 60  # seconds that the openai client waits for
SHOWN = 300  # characters of what a service says, in errors
HINTS = {401: "check the key", 403: "check the key", 404: "check the model's name and the address"}
# What services name when it is the schema that they refuse.
_ABOUT_SCHEMA = re.compile(r"response_format|schema|structured|guided|grammar", re.IGNORECASE)
_UNPROCESSABLE = (400, 415, 422, 501)
_PLAIN_TASK = "Answer with one JSON object and nothing else. It must follow this JSON schema:\n"


@dataclass(frozen=True)
class QueryLimits:
    """What may be spent, and how patiently.

    Attributes:
        requests: sent in all, retries included; None: any number.
        tokens: of queries and answers in all. No request is sent once they are spent, so the total can pass
            them by what was under way. The service must state what it used.
        concurrent: requests under way at once.
        attempts: times one request is sent while the service is busy, fails or cuts the connection.
        answers: times a query is sent until its answer is of the schema.
        timeout: seconds until a request counts as failed, its answer being read to the end.
    """

    requests: int | None = None
    tokens: int | None = None
    concurrent: int = 4
    attempts: int = 6
    answers: int = 3
    timeout: float = 120.0

    def __post_init__(self) -> None:
        """Refuse limits under which no query would ever be answered."""
        for name in ("concurrent", "attempts", "answers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("requests", "tokens"):
            if (limit := getattr(self, name)) is not None and limit < 0:
                raise ConfigError(f"the limit of {name} is {limit}; it must not be negative")
        if not 0 < self.timeout <= threading.TIMEOUT_MAX:
            raise ConfigError(f"timeout is {self.timeout}; it must be a positive number of seconds")


class VlmClient:
    """A vision model at a service; may be shared by threads.

    Attributes:
        model: its name at the service.
        requests, tokens: what was spent so far.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        cache: Path | None = None,
        limits: QueryLimits | None = None,
    ) -> None:
        """Query ``model``.

        Args:
            model: its name at the service.
            base_url: of the service; None: OPENAI_BASE_URL, or OpenAI itself.
            api_key: None: OPENAI_API_KEY. It is neither shown, logged nor stored, whatever the service says.
            cache: folder of answers; None: nothing is kept.
            limits: what may be spent.

        Raises:
            ConfigError: if there is no key, key or address cannot be, or the ``openai`` client is missing.
        """
        try:
            import openai

            from strokewise.critics.guarded_http import GuardedClient
        except ImportError as error:
            raise ConfigError("a judge needs: pip install 'strokewise[data]'") from error
        key = api_key or os.environ.get("OPENAI_API_KEY")
        if not key:
            raise ConfigError(
                "no key for the judge: set OPENAI_API_KEY (any text, if the service needs none)"
            )
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise ConfigError("the judge's key holds characters that no key has; set OPENAI_API_KEY anew")
        url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        if url is not None:
            check_url(url)
        self.model, self.cache, self.limits = model, cache, limits or QueryLimits()
        self.requests = self.tokens = 0
        self._secret = Secret(key)
        self._secret.watch_logs()
        guarded = GuardedClient(
            self.limits.timeout, MAX_BYTES, self.limits.concurrent, self._admit, _check_completion
        )
        self._client = openai.OpenAI(
            api_key=key,
            base_url=url,
            timeout=self.limits.timeout,
            max_retries=self.limits.attempts - 1,
            http_client=guarded,
        )
        self._lock = threading.Lock()
        self._under_way: dict[Path, threading.Lock] = {}
        self._takes_schemas = True

    def query(self, task: str, text: str, answer: type[Answer], images: Sequence[Image.Image] = ()) -> Answer:
        """The model's answer to one query.

        Args:
            task: what the model is to do, the same for all queries of a kind.
            text: what this one is about.
            answer: a pydantic model, all of whose fields are required.
            images: shown after the text, in order.

        Raises:
            ServiceError: if the service refuses or keeps failing, no answer fits, or the limits are reached.
        """
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": task},
            {"role": "user", "content": [{"type": "text", "text": text}, *map(_image_part, images)]},
        ]
        path = self._cache_path(messages, answer)
        if path is None:
            return self._answer(messages, answer)
        # The same query at the same time waits for the first one's answer.
        with self._under_way.setdefault(path, threading.Lock()):
            found = _load(path, answer)
            if found is None:
                found = self._answer(messages, answer)
                write_text(path, found.model_dump_json(), ServiceError)
            return found

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Results of a function that queries, in the order of the items, as many at once as may be."""
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

    def _answer(self, messages: list[dict[str, Any]], answer: type[Answer]) -> Answer:
        """An answer that fits the schema; requested again, with the fault named, while it does not."""
        problem = ""
        for _ in range(self.limits.answers):
            text = self._send(messages, answer)
            try:
                found = parse_answer(text, answer)
            except ValueError as error:
                problem = str(error)
            else:
                if self._secret.quoted_in(text) or self._secret.quoted_in(found.model_dump_json()):
                    raise ServiceError(
                        f"an answer of {self.model} quotes the key; it is neither used nor kept"
                    )
                return found
            again = f"That is not an answer of the schema: {problem[:500]}\nAnswer again."
            messages = [
                *messages,
                {"role": "assistant", "content": text},
                {"role": "user", "content": again},
            ]
        raise ServiceError(
            f"{self.model} gave {self.limits.answers} answers that are not of the schema"
            f" ({self._shown(problem)}); take a model that can answer in a JSON schema"
        )

    # --- one request -------------------------------------------------------------------------------------

    def _send(self, messages: list[dict[str, Any]], answer: "type[BaseModel]") -> str:
        """The text of an answer, retries included; without a schema where the service refuses schemas."""
        import openai

        create: Any = self._client.chat.completions.create
        options = {"response_format": _response_format(answer)} if self._takes_schemas else {}
        sent = messages if options else _with_schema_in_text(messages, answer)
        try:
            response = create(model=self.model, messages=sent, **options)
        except openai.APIStatusError as error:
            if not options or not _refuses_schema(error):
                raise self._refused(error) from None  # some services quote the key in what they say
            self._takes_schemas = False
            return self._send(messages, answer)
        except (openai.OpenAIError, ValueError) as error:
            raise self._failed(f"{type(error).__name__}: {self._shown(error.__cause__ or error)}") from None
        self._count_tokens(response.usage)
        text = response.choices[0].message.content or ""
        return str(text).encode("utf-8", "replace").decode("utf-8")

    def _admit(self) -> ServiceError | None:
        """Count a request that is about to be sent; an error if it would pass a limit."""
        with self._lock:
            for name in ("requests", "tokens"):
                limit, spent = getattr(self.limits, name), getattr(self, name)
                if limit is not None and spent >= limit:
                    return ServiceError(
                        f"the judge's limit of {limit:,} {name} is reached; answers so far are kept:"
                        " raise the limit and run it again"
                    )
            self.requests += 1
        return None

    def _count_tokens(self, usage: Any) -> None:
        """Add up what the service states.

        Raises:
            ServiceError: if tokens are limited and it states no number that could be.
        """
        spent = getattr(usage, "total_tokens", None)
        if type(spent) is int and spent >= 0:
            with self._lock:
                self.tokens += spent
        elif self.limits.tokens is not None:
            raise ServiceError(
                f"the service of {self.model} does not state how many tokens it used ({self._shown(spent)}),"
                " so their limit cannot be kept; limit requests instead"
            )

    def _refused(self, error: "openai.APIStatusError") -> ServiceError:
        """What to raise for a status that is not success."""
        from strokewise.critics.guarded_http import refusal_of

        if isinstance(refusal := refusal_of(error.response), ServiceError):
            return refusal
        reason = f"status {error.status_code}: {self._shown(_stated(error))}"
        if error.status_code >= 500 or error.status_code in (408, 409, 429):
            pause = error.response.headers.get("retry-after", "")
            if pause.isdecimal() and int(pause) > LONGEST_PAUSE:
                return ServiceError(
                    f"the judge {self.model} is busy ({reason}); it asks for a pause of {pause} seconds"
                )
            return self._failed(reason)
        hint = HINTS.get(error.status_code, "")
        if 300 <= error.status_code < 400:
            hint = "redirects are not followed; give the service's final address"
        return ServiceError(f"the judge {self.model} refused ({reason})" + (f"; {hint}" if hint else ""))

    def _failed(self, reason: str) -> ServiceError:
        return ServiceError(
            f"the judge {self.model} failed {self.limits.attempts} times, last with {reason}; answers so far"
            " are kept, so try again later"
        )

    def _shown(self, value: object) -> str:
        """The beginning of what is wrong, on one line, without the key."""
        line = " ".join(str(value).split())
        return self._secret.redact("".join(c for c in line if c.isprintable()))[:SHOWN]

    def _cache_path(self, messages: list[dict[str, Any]], answer: "type[BaseModel]") -> Path | None:
        """The file of a query: a digest of model, texts, pictures and schema."""
        if self.cache is None:
            return None
        query = json.dumps([self.model, messages, answer.model_json_schema()], sort_keys=True)
        digest = hashlib.sha256(query.encode()).hexdigest()
        return self.cache / digest[:2] / f"{digest}.json"


def check_url(url: str) -> None:
    """Refuse an address that no service can have; it is not quoted, since it could hold a password.

    Raises:
        ConfigError: saying what is wrong with it.
    """
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ConfigError(f"the judge's address cannot be: {str(error)[:80]}") from None
    problem = ""
    if not url.isascii() or not url.isprintable() or " " in url:
        problem = "it holds characters that no address has"
    elif parts.scheme not in ("http", "https") or not parts.hostname or not port_fits:
        problem = "it must be like https://host/v1 or http://localhost:8000/v1"
    elif parts.username is not None or parts.password is not None:
        problem = "it must not hold a user or password; the key is taken from OPENAI_API_KEY"
    elif parts.query or parts.fragment:
        problem = "it must end before any ? or #"
    if problem:
        raise ConfigError(f"the judge's address cannot be: {problem}")


def _check_completion(data: bytes) -> None:
    """ValueError unless a body is a chat completion with one text at least."""
    try:
        content = json.loads(data)["choices"][0]["message"].get("content")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        content = ...
    if not isinstance(content, str | None):
        raise ValueError("the service's response is not a chat completion")


def _refuses_schema(error: "openai.APIStatusError") -> bool:
    return error.status_code in _UNPROCESSABLE and bool(_ABOUT_SCHEMA.search(_stated(error)))


def _stated(error: "openai.APIStatusError") -> str:
    """What a service says of a refusal: the message in its JSON, or else the beginning of its body."""
    body = error.body
    message = body.get("message") if isinstance(body, dict) else body
    return str(message or error.response.text[:1000] or error.message)


def _load(path: Path, answer: type[Answer]) -> Answer | None:
    """The answer that is stored; None if there is none, or the file is damaged."""
    try:
        return answer.model_validate_json(path.read_bytes())
    except (OSError, ValueError):
        return None


def _image_part(image: Image.Image) -> dict[str, Any]:
    data = base64.b64encode(encode_png(image)).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}


def _response_format(answer: "type[BaseModel]") -> dict[str, Any]:
    stated = {"name": answer.__name__, "schema": unbounded_schema(answer), "strict": True}
    return {"type": "json_schema", "json_schema": stated}


def _with_schema_in_text(messages: list[dict[str, Any]], answer: "type[BaseModel]") -> list[dict[str, Any]]:
    """The messages for a service that takes no schema: the task states it."""
    task, *others = messages
    schema = json.dumps(unbounded_schema(answer))
    return [{**task, "content": f"{task['content']}\n\n{_PLAIN_TASK}{schema}"}, *others]
