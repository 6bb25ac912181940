"""Queries to a vision model behind an OpenAI-compatible API, answered in a given schema.

Answers are validated and requested again with the fault named, and kept in a cache on disk, so that no query
is paid for twice. This file knows schemas. It refuses to know how requests are sent and limited
(``io.services``), what is queried and what an answer means (``judges``, ``verifiers``).
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from PIL import Image

from strokewise.critics.json_answers import Answer, parse_answer, unbounded_schema
from strokewise.errors import ServiceError
from strokewise.io.atomic import write_text
from strokewise.io.services import Budget, Prices, QueryLimits, Service
from strokewise.trajectory.files import encode_png

if TYPE_CHECKING:
    from pydantic import BaseModel

Item = TypeVar("Item")
Result = TypeVar("Result")
MAX_BYTES = 8 * 2**20  # of one answer: a thousand times what the longest needs
# What services name when it is the schema that they refuse.
_ABOUT_SCHEMA = re.compile(r"response_format|schema|structured|guided|grammar", re.IGNORECASE)
_QUOTED = 2_000  # bytes of what is no answer that an error begins with, before it is redacted and cut
_PLAIN_TASK = "Answer with one JSON object and nothing else. It must follow this JSON schema:\n"


class VlmClient:
    """A vision model at a service; may be shared by threads.

    Attributes:
        model: its name at the service.
        budget: what it spends from, and has spent.
        limits: of the budget.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        cache: Path | None = None,
        limits: QueryLimits | None = None,
        budget: Budget | None = None,
        prices: Prices | None = None,
    ) -> None:
        """Query ``model``.

        Args:
            model: its name at the service.
            base_url: of the service; None: OPENAI_BASE_URL, or OpenAI itself.
            api_key: None: OPENAI_API_KEY. It is neither shown, logged nor stored, whatever the service says.
            cache: folder of answers; None: nothing is kept.
            limits: what may be spent; None: the budget's.
            budget: shared with other services; None: one of its own.
            prices: of the service; None: nothing.

        Raises:
            ConfigError: if there is no key, key or address cannot be, or the ``openai`` client is missing.
        """
        self.model, self.cache, self.budget = model, cache, budget or Budget(limits)
        self.limits = self.budget.limits
        self._service = Service(
            "judge", model, base_url, api_key, self.budget, prices, _check_completion, MAX_BYTES
        )
        self._under_way: dict[Path, threading.Lock] = {}
        self._takes_schemas = True

    @property
    def requests(self) -> int:
        """Requests sent so far, by all services of the budget."""
        return self.budget.spent.requests

    @property
    def tokens(self) -> int:
        """Tokens used so far, by all services of the budget."""
        return self.budget.spent.tokens

    def query(self, task: str, text: str, answer: type[Answer], images: Sequence[Image.Image] = ()) -> Answer:
        """Return the model's answer to one query.

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
        """Yield results of a function that queries, in the order of the items, as many at once as may be."""
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
        """Return an answer that fits the schema; requested again, with the fault named, while it does not."""
        problem = ""
        for _ in range(self.limits.answers):
            text = self._send(messages, answer)
            try:
                found = parse_answer(text, answer)
            except ValueError as error:
                problem = str(error)
            else:
                if self._service.secret.quoted_in(text) or self._service.secret.quoted_in(
                    found.model_dump_json()
                ):
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
            f" ({self._service.shown(problem)}); take a model that can answer in a JSON schema"
        )

    def _send(self, messages: list[dict[str, Any]], answer: "type[BaseModel]") -> str:
        """Return the text of an answer, retries included; without a schema where the service refuses
        schemas.
        """
        create: Any = self._service.client.chat.completions.create
        options = {"response_format": _response_format(answer)} if self._takes_schemas else {}
        sent = messages if options else _with_schema_in_text(messages, answer)
        response = self._service.call(
            partial(create, model=self.model, messages=sent, **options), _ABOUT_SCHEMA if options else None
        )
        if response is None:
            self._takes_schemas = False
            return self._send(messages, answer)
        self._service.charge(response.usage)
        text = _said(response.choices[0].message)
        return text.encode("utf-8", "replace").decode("utf-8")

    def _cache_path(self, messages: list[dict[str, Any]], answer: "type[BaseModel]") -> Path | None:
        """Return the file of a query: a digest of model, texts, pictures and schema."""
        if self.cache is None:
            return None
        query = json.dumps([self.model, messages, answer.model_json_schema()], sort_keys=True)
        digest = hashlib.sha256(query.encode()).hexdigest()
        return self.cache / digest[:2] / f"{digest}.json"


def _check_completion(data: bytes) -> None:
    """Raise ValueError unless a body is a chat completion with one text at least."""
    try:
        content = json.loads(data)["choices"][0]["message"].get("content")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        content = ...
    in_parts = isinstance(content, list) and all(isinstance(part, dict) for part in content)
    if not in_parts and not isinstance(content, str | None):
        said = data[:_QUOTED].decode("utf-8", "replace")
        raise ValueError(f"the service's response is not a chat completion: {said}")


def _said(message: Any) -> str:
    """Return the text of an answer, also where a service gives it in parts; or its refusal to answer."""
    if not isinstance(message.content, list):
        return message.content or getattr(message, "refusal", None) or ""
    parts = [part for part in message.content if isinstance(part, dict) and part.get("type") == "text"]
    return "".join(str(part.get("text", "")) for part in parts)


def _load(path: Path, answer: type[Answer]) -> Answer | None:
    """Return the answer that is stored; None if there is none, or the file is damaged."""
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
    """Return the messages for a service that takes no schema: the task states it."""
    task, *others = messages
    schema = json.dumps(unbounded_schema(answer))
    return [{**task, "content": f"{task['content']}\n\n{_PLAIN_TASK}{schema}"}, *others]
