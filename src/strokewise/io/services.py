"""Models behind an OpenAI-compatible API: keys, addresses, retries, limits, and what is spent, in one place.

Retries and pauses are those of the ``openai`` client. What is added here: limits on requests, tokens and
money that several services share and that hold when the work is resumed, a guard against services that
misbehave (``guarded_http``), and errors that show no key (``secrets``). This file knows requests and money.
It refuses to know what is requested (``critics.vlm_client``, ``data.served_painter``).
"""

import json
import math
import os
import re
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from strokewise.errors import ConfigError, InputError, ServiceError
from strokewise.io.outside import read_json
from strokewise.io.schema import checked
from strokewise.io.secrets import Secret

if TYPE_CHECKING:
    import openai

Response = TypeVar("Response")
LONGEST_PAUSE = 60  # seconds that the openai client waits for
NEWS = 1.0  # seconds after which the spending of other workers is read again
SHOWN = 300  # characters of what a service says, in errors
MILLION = 1_000_000
HINTS = {401: "check the key", 403: "check the key", 404: "check the model's name and the address"}
_UNPROCESSABLE = (400, 415, 422, 501)
# Codes by which image services refuse one prompt, and not their user.
_MODERATED = re.compile(r"moderation|content_policy|safety", re.IGNORECASE)


@dataclass(frozen=True)
class QueryLimits:
    """What may be spent, and how patiently.

    Attributes:
        requests: sent in all, retries included; None: any number.
        tokens: of queries and answers in all. No request is sent once they are spent, so the total can pass
            them by what was under way. The service must state what it used.
        cost: money in all, in the currency of the prices; as tokens, it can be passed by what was under way.
        concurrent: requests under way at once.
        attempts: times one request is sent while the service is busy, fails or cuts the connection.
        answers: times a query is sent until its answer is of the schema.
        timeout: seconds until a request counts as failed, its answer being read to the end.
    """

    requests: int | None = None
    tokens: int | None = None
    cost: float | None = None
    concurrent: int = 4
    attempts: int = 6
    answers: int = 3
    timeout: float = 120.0

    def __post_init__(self) -> None:
        """Refuse limits under which no query would ever be answered."""
        for name in ("concurrent", "attempts", "answers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("requests", "tokens", "cost"):
            if (limit := getattr(self, name)) is not None and limit < 0:
                raise ConfigError(f"the limit of {name} is {limit}; it must not be negative")
        if not 0 < self.timeout <= threading.TIMEOUT_MAX:
            raise ConfigError(f"timeout is {self.timeout}; it must be a positive number of seconds")


@dataclass(frozen=True)
class Prices:
    """What a service takes, in any currency.

    Attributes:
        input: for a million tokens of queries.
        output: for a million tokens of answers.
        picture: for a picture that it paints.
    """

    input: float = 0.0
    output: float = 0.0
    picture: float = 0.0

    @property
    def by_token(self) -> bool:
        """Whether tokens cost anything."""
        return self.input > 0 or self.output > 0


@dataclass(frozen=True)
class Spent:
    """What was spent."""

    requests: int = 0
    tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.requests + other.requests, self.tokens + other.tokens, self.cost + other.cost)


def spent_in(ledger: Path, but: Path | None = None) -> Spent:
    """Return all that the budgets of a ledger spent so far; nothing if there is no such folder.

    Args:
        ledger: the folder.
        but: a file of it that does not count.

    Raises:
        ConfigError: naming a file of it that is damaged.
    """
    files = [file for file in sorted(ledger.glob("*.json")) if file != but]
    return sum((checked(Spent, read_json(f, ConfigError), f, ConfigError) for f in files), Spent())


class Budget:
    """What services spend together, within limits; may be shared by threads."""

    def __init__(
        self,
        limits: QueryLimits | None = None,
        ledger: Path | None = None,
        before: Spent | None = None,
        workers: int = 1,
    ) -> None:
        """Spend within limits.

        Args:
            limits: of this and all earlier spending.
            ledger: folder in which this budget keeps a file of what it spends; None: nothing is kept.
            before: what was spent earlier (``spent_in``).
            workers: budgets that spend from these limits at the same time, each an equal share of the rest.
                What a worker spent before it was lost is in nobody's share, so with a ledger all spending
                is compared with the limits, too, once in ``NEWS`` seconds.
        """
        self.limits = limits or QueryLimits()
        self.spent = Spent()
        self._before, self._workers = before or Spent(), workers
        self._file = None if ledger is None else ledger / f"{uuid.uuid4().hex}.json"
        self._others, self._read = self._before, -NEWS
        self._lock = threading.Lock()

    def admit(self) -> ServiceError | None:
        """Count a request that is about to be sent; an error if it would pass a limit."""
        with self._lock:
            self._look_at_others()
            for name in ("requests", "tokens", "cost"):
                limit = getattr(self.limits, name)
                if limit is None:
                    continue
                share = (limit - getattr(self._before, name)) / self._workers
                share = min(share, limit - getattr(self._others, name))
                if getattr(self.spent, name) >= (math.floor(share) if name == "requests" else share):
                    return ServiceError(
                        f"the limit of {limit:,} {name} is reached; answers so far are kept:"
                        " raise the limit and run it again"
                    )
            self._add(Spent(requests=1))
        return None

    def charge(self, tokens: int, cost: float) -> None:
        """Count what an answer cost."""
        with self._lock:
            self._add(Spent(0, tokens, cost))

    def _look_at_others(self) -> None:
        """Read what all others have spent by now."""
        if self._workers > 1 and self._file is not None and time.monotonic() >= self._read + NEWS:
            self._others, self._read = spent_in(self._file.parent, self._file), time.monotonic()

    def _add(self, more: Spent) -> None:
        self.spent += more
        if self._file is not None:
            try:
                # Not forced to the disk: it would take longer than some services, and serves a limit alone.
                self._file.parent.mkdir(parents=True, exist_ok=True)
                partial = self._file.with_suffix(".partial")
                partial.write_text(json.dumps(asdict(self.spent)))
                os.replace(partial, self._file)
            except OSError as error:
                raise ServiceError(f"{self._file} cannot be written: {error}") from error


class Service:
    """One model at a service; may be shared by threads.

    Attributes:
        client: the ``openai`` client; calls go through :meth:`call`.
    """

    def __init__(
        self,
        role: str,
        model: str,
        base_url: str | None,
        api_key: str | None,
        budget: Budget,
        prices: Prices | None,
        check: Callable[[bytes], None],
        max_bytes: int,
    ) -> None:
        """Send requests to ``model``.

        Args:
            role: what it does here, for errors, such as "judge".
            model: its name at the service.
            base_url: of the service; None: OPENAI_BASE_URL, or OpenAI itself.
            api_key: None: OPENAI_API_KEY, and before it for a painter PAINTER_API_KEY, for a writer
                WRITER_API_KEY. It is neither shown, logged nor stored.
            budget: what it spends from, and its limits.
            prices: what it takes; None: nothing.
            check: called with the body of each successful answer; a ValueError makes it a failed request.
            max_bytes: of one answer.

        Raises:
            ConfigError: if there is no key, key or address cannot be, or the ``openai`` client is missing.
        """
        try:
            import openai

            from strokewise.io.guarded_http import GuardedClient
        except ImportError as error:
            raise ConfigError(f"a {role} needs: pip install 'strokewise[data]'") from error
        key = _key(role, api_key)
        url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        if url is not None:
            check_url(url, role)
        self.role, self.model, self.budget, self.prices = role, model, budget, prices or Prices()
        self._limits = limits = budget.limits
        self.secret = Secret(key)
        self.secret.watch_logs()
        guarded = GuardedClient(limits.timeout, max_bytes, limits.concurrent, budget.admit, check)
        self.client = openai.OpenAI(
            api_key=key,
            base_url=url,
            timeout=limits.timeout,
            max_retries=limits.attempts - 1,
            http_client=guarded,
        )

    def call(
        self, request: Callable[[], Response], optional: re.Pattern[str] | None = None
    ) -> Response | None:
        """Return the response to a request, retries included.

        Args:
            request: makes it with ``client``.
            optional: what a service says when it refuses a part that can be left out.

        Returns:
            The response; None if the service refuses such a part.

        Raises:
            InputError: if the service refuses what this one request shows or says.
            ServiceError: if it refuses, keeps failing, or the limits are reached.
        """
        import openai

        try:
            return request()
        except openai.APIStatusError as error:  # some services quote the key in what they say
            said = _stated(error)
            if error.status_code in _UNPROCESSABLE and optional is not None and optional.search(said):
                return None
            if error.status_code == 400 and _MODERATED.search(str(error.code)):
                raise InputError(f"the {self.role} refuses this one: {self.shown(said)}") from None
            raise self._refused(error) from None
        except (openai.OpenAIError, ValueError) as error:
            raise self._failed(f"{type(error).__name__}: {self.shown(error.__cause__ or error)}") from None

    def charge(self, usage: Any, pictures: int = 0) -> None:
        """Count what an answer cost, of the tokens that the service states.

        Args:
            usage: as the service states it.
            pictures: that it holds; services of pictures need not state tokens.

        Raises:
            ServiceError: if tokens are limited or cost money, and it states no numbers that could be.
        """
        total: Any = getattr(usage, "total_tokens", None)
        # Chat and images name them differently.
        asked: Any = getattr(usage, "prompt_tokens", getattr(usage, "input_tokens", None))
        answered: Any = getattr(usage, "completion_tokens", getattr(usage, "output_tokens", None))
        wanted = [total, asked, answered] if self.prices.by_token else [total]
        stated = all(type(one) is int and one >= 0 for one in wanted)
        if not stated and (self.prices.by_token or (self._limits.tokens is not None and not pictures)):
            raise ServiceError(
                f"the service of {self.model} does not state how many tokens it used ({self.shown(total)}),"
                " so their limit cannot be kept; limit requests instead"
            )
        cost = self.prices.picture * pictures
        if self.prices.by_token:
            cost += (self.prices.input * asked + self.prices.output * answered) / MILLION
        self.budget.charge(total if stated else 0, cost)

    def shown(self, value: object) -> str:
        """Return the beginning of what is wrong, on one line, without the key."""
        line = " ".join(str(value).split())
        return self.secret.redact("".join(c for c in line if c.isprintable()))[:SHOWN]

    def _refused(self, error: "openai.APIStatusError") -> ServiceError:
        """Return what to raise for a status that is not success."""
        from strokewise.io.guarded_http import refusal_of

        if isinstance(refusal := refusal_of(error.response), ServiceError):
            return refusal
        reason = f"status {error.status_code}: {self.shown(_stated(error))}"
        if error.status_code >= 500 or error.status_code in (408, 409, 429):
            pause = error.response.headers.get("retry-after", "")
            if pause.isdecimal() and int(pause) > LONGEST_PAUSE:
                return ServiceError(
                    f"the {self.role} {self.model} is busy ({reason}); it asks for a pause of {pause} seconds"
                )
            return self._failed(reason)
        hint = HINTS.get(error.status_code, "")
        if 300 <= error.status_code < 400:
            hint = "redirects are not followed; give the service's final address"
        return ServiceError(
            f"the {self.role} {self.model} refused ({reason})" + (f"; {hint}" if hint else "")
        )

    def _failed(self, reason: str) -> ServiceError:
        return ServiceError(
            f"the {self.role} {self.model} failed {self._limits.attempts} times, last with {reason}; answers"
            " so far are kept, so try again later"
        )


def _key(role: str, given: str | None) -> str:
    """Return the key of a service; all but judges can have their own."""
    names = [f"{role.upper()}_API_KEY"] * (role != "judge") + ["OPENAI_API_KEY"]
    key = given or next(filter(None, map(os.environ.get, names)), None)
    if not key:
        raise ConfigError(
            f"no key for the {role}: set {' or '.join(names)} (any text, if the service needs none)"
        )
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigError(f"the {role}'s key holds characters that no key has; set {' or '.join(names)} anew")
    return key


def check_url(url: str, role: str) -> None:
    """Refuse an address that no service can have; it is not quoted, since it could hold a password.

    Raises:
        ConfigError: saying what is wrong with it.
    """
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ConfigError(f"the {role}'s address cannot be: {str(error)[:80]}") from None
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
        raise ConfigError(f"the {role}'s address cannot be: {problem}")


def _stated(error: "openai.APIStatusError") -> str:
    """Return what a service says of a refusal: the message in its JSON, or else the beginning of its body."""
    body = error.body
    message = body.get("message") if isinstance(body, dict) else body
    return str(message or error.response.text[:1000] or error.message)
