"""Queries to a vision model behind an OpenAI-compatible API: answered in a given schema, or by probabilities.

Answers are validated and requested again with the fault named, and kept in a cache on disk, so that no query
is paid for twice. This file knows schemas and tokens. It refuses to know how requests are sent and limited
(``io.services``), what is queried and what an answer means (``judges``, ``verifiers``, ``soft_tifa``).
"""

import base64
import hashlib
import json
import math
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
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
_ABOUT_CHANCES = re.compile(r"log_?prob", re.IGNORECASE)
TOP_TOKENS = 20  # the most of which OpenAI's API states the probabilities
_CHANCES_ADVICE = (
    "take a service and a model that state log-probabilities (logprobs and top_logprobs of chat completions)"
)
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
        role: str = "judge",
        temperature: float | None = None,
    ) -> None:
        """Query ``model``.

        Args:
            model: its name at the service.
            base_url: of the service; None: OPENAI_BASE_URL, or OpenAI itself.
            api_key: None: OPENAI_API_KEY, for a writer WRITER_API_KEY before it. It is neither shown, logged
                nor stored, whatever the service says.
            cache: folder of answers; None: nothing is kept.
            limits: what may be spent; None: the budget's.
            budget: shared with other services; None: one of its own.
            prices: of the service; None: nothing.
            role: what it does, for errors and keys: judge or writer.
            temperature: of answers in a schema; None: the service's own.

        Raises:
            ConfigError: if there is no key, key or address cannot be, or the ``openai`` client is missing.
        """
        self.model, self.cache, self.budget = model, cache, budget or Budget(limits)
        self.limits = self.budget.limits
        self._service = Service(
            role, model, base_url, api_key, self.budget, prices, _check_completion, MAX_BYTES
        )
        self._options = {} if temperature is None else {"temperature": temperature}
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
        query = [*messages, self._options] if self._options else messages
        return self._kept(query, answer, partial(self._answer, messages, answer))

    def chances(
        self, questions: Sequence[str], images: Sequence[Image.Image] = (), tokens: int = TOP_TOKENS
    ) -> list[dict[str, float]]:
        """Return for each question how the model would begin its answer.

        Args:
            questions: each is a query of its own, without any other instruction.
            images: shown before each question, in order.
            tokens: how many beginnings are stated, the likeliest; few services state more than 20.

        Returns:
            For each question the probabilities, 0..1, by the text of the first token, the likeliest first.

        Raises:
            ServiceError: if the service refuses or keeps failing, states no log-probabilities, or the limits
                are reached.
        """
        parts = [*map(_image_part, images)]
        return [self._chances([*parts, {"type": "text", "text": text}], tokens) for text in questions]

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

    def _kept(self, query: list[dict[str, Any]], answer: type[Answer], ask: Callable[[], Answer]) -> Answer:
        """Return the stored answer to a query, or that of ``ask``, which is then stored."""
        path = self._cache_path(query, answer)
        if path is None:
            return ask()
        # The same query at the same time waits for the first one's answer.
        with self._under_way.setdefault(path, threading.Lock()):
            found = _load(path, answer)
            if found is None:
                found = ask()
                write_text(path, found.model_dump_json(), ServiceError)
            return found

    def _chances(self, parts: list[dict[str, Any]], tokens: int) -> dict[str, float]:
        """Return the probabilities of the first token of the answer to one question."""
        messages: list[dict[str, Any]] = [{"role": "user", "content": parts}]
        query = [*messages, {"top_logprobs": tokens}]
        found: Any = self._kept(query, _token_chances(), partial(self._send_for_chances, messages, tokens))
        chances: dict[str, float] = {}
        for one in sorted(found.tokens, key=lambda one: -one.logprob):
            chances[one.token] = chances.get(one.token, 0.0) + math.exp(min(one.logprob, 0.0))
        return chances

    def _send_for_chances(self, messages: list[dict[str, Any]], tokens: int) -> Any:
        """Return what a service states of the first token.

        Of temperature 1, because some services state probabilities as they sample by them.
        """
        create: Any = self._service.client.chat.completions.create
        wanted = {"logprobs": True, "top_logprobs": tokens, "max_tokens": 1, "temperature": 1, "top_p": 1}
        try:
            response: Any = self._service.call(partial(create, model=self.model, messages=messages, **wanted))
        except ServiceError as error:
            if _ABOUT_CHANCES.search(str(error)):
                raise ServiceError(f"{error}; {_CHANCES_ADVICE}") from None
            raise
        self._service.charge(response.usage)
        try:
            stated = response.choices[0].to_dict(mode="json", warnings=False)["logprobs"]["content"][0]
            found = _token_chances().model_validate({"tokens": stated["top_logprobs"]})
        except (LookupError, TypeError, ValueError):
            raise ServiceError(
                f"the service of {self.model} states no log-probabilities; {_CHANCES_ADVICE}"
            ) from None
        self._refuse_key(found.model_dump_json())
        return found

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
                self._refuse_key(text, found.model_dump_json())
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
        schema = {"response_format": _response_format(answer)} if self._takes_schemas else {}
        sent = messages if schema else _with_schema_in_text(messages, answer)
        request = partial(create, model=self.model, messages=sent, **self._options, **schema)
        response = self._service.call(request, _ABOUT_SCHEMA if schema else None)
        if response is None:
            self._takes_schemas = False
            return self._send(messages, answer)
        self._service.charge(response.usage)
        text = _said(response.choices[0].message)
        return text.encode("utf-8", "replace").decode("utf-8")

    def _refuse_key(self, *texts: str) -> None:
        if any(map(self._service.secret.quoted_in, texts)):
            raise ServiceError(f"an answer of {self.model} quotes the key; it is neither used nor kept")

    def _cache_path(self, query: list[dict[str, Any]], answer: "type[BaseModel]") -> Path | None:
        """Return the file of a query: a digest of model, texts, pictures and schema."""
        if self.cache is None:
            return None
        text = json.dumps([self.model, query, answer.model_json_schema()], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
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


@cache
def _token_chances() -> "type[BaseModel]":
    """Return the schema of first tokens; made when it is first needed, because pydantic takes its time."""
    from pydantic import BaseModel, ConfigDict, Field, create_model

    class Stated(BaseModel):
        model_config = ConfigDict(strict=True, extra="ignore")

    # Rounding puts some logarithms of 1 a little above 0.
    logprob: Any = (float, Field(le=0.01))
    token = create_model("Token", __base__=Stated, token=(str, ...), logprob=logprob)
    tokens: Any = (list[token], Field(min_length=1))  # type: ignore[valid-type]
    return create_model("FirstTokens", __base__=Stated, tokens=tokens)


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
