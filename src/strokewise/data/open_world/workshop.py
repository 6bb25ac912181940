"""Painter, judge and writer of an open-world build: how they are chosen, and loaded where the work is done.

This file knows models and services. It refuses to know what is painted, judged and written.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from strokewise.critics.vlm_client import VlmClient
from strokewise.data.canvas_painters import CanvasPainter, KontextPainter
from strokewise.data.served_painter import KeptCanvases, ServedPainter
from strokewise.errors import ConfigError
from strokewise.io.services import Budget, Prices, QueryLimits, spent_in

KONTEXT, SERVED = "kontext", "served"
PAINTERS = (KONTEXT, SERVED)
FREE = Prices()
TEMPERATURE = 1.0  # of the writer: what it writes is checked, and should differ


@dataclass(frozen=True)
class PainterChoice:
    """Who paints.

    Attributes:
        kind: ``kontext`` in this process, or ``served`` by an API.
        model: hub id or folder; or the name at the service.
        size: side of the canvases in pixels.
        url: of the service; None: OPENAI_BASE_URL.
        device: where kontext computes.
        prices: of the service.
    """

    kind: str
    model: str
    size: int
    url: str | None = None
    device: str = "cuda"
    prices: Prices = FREE

    def __post_init__(self) -> None:
        """Refuse what is not known."""
        if self.kind not in PAINTERS:
            raise ConfigError(f"painter is {self.kind!r}; in the open world it is {' or '.join(PAINTERS)}")

    @property
    def name(self) -> str:
        """What decides the canvases, for recipes and the names of kept ones."""
        return f"{self.kind} {self.model} {self.size}"


@dataclass(frozen=True)
class ModelChoice:
    """Who judges or writes: a model at a service; ``url`` None is OPENAI_BASE_URL."""

    model: str
    url: str | None = None
    prices: Prices = FREE


@dataclass(frozen=True)
class Workshop:
    """What a build works with; it can be sent to other processes.

    Attributes:
        painter: who paints.
        judge: who judges.
        limits: of all spending on all of them, over all runs that share ``cache``.
        cache: folder of canvases, answers and what was spent.
        workers: that share the limits.
        writer: who words prompts and steps; None: templates.
    """

    painter: PainterChoice
    judge: ModelChoice
    limits: QueryLimits
    cache: Path
    workers: int = 1
    writer: ModelChoice | None = None

    def __post_init__(self) -> None:
        """Refuse limits that cannot be kept."""
        prices = [one.prices for one in (self.painter, self.judge, self.writer) if one is not None]
        if self.limits.cost is not None and all(one == FREE for one in prices):
            raise ConfigError("a limit of cost needs prices: state those of judge, painter or writer")

    @property
    def ledger(self) -> Path:
        """Folder that holds what was spent."""
        return self.cache / "spent"

    def open(self) -> "Tools":
        """Connect to the services; a painter that is not served is loaded when it first paints.

        Raises:
            ConfigError: if a key is missing, or an address cannot be.
        """
        budget = Budget(self.limits, self.ledger, spent_in(self.ledger), self.workers)
        judge = self._client(self.judge, budget)
        writer = None
        if self.writer is not None:
            writer = self._client(self.writer, budget, role="writer", temperature=TEMPERATURE)
        painter = KeptCanvases(self._loader(budget), self.painter.name, self.cache / "canvases")
        return Tools(painter, judge, writer)

    def _client(self, choice: ModelChoice, budget: Budget, **more: Any) -> VlmClient:
        answers = self.cache / "answers"
        return VlmClient(choice.model, choice.url, cache=answers, budget=budget, prices=choice.prices, **more)

    def _loader(self, budget: Budget) -> Callable[[], CanvasPainter]:
        choice = self.painter
        if choice.kind == KONTEXT:
            return partial(KontextPainter.load, choice.model, choice.device, choice.size)
        painter = ServedPainter(choice.model, choice.size, choice.url, budget=budget, prices=choice.prices)
        return lambda: painter


@dataclass(frozen=True)
class Tools:
    """A painter, whose canvases are kept, a judge, and a writer if there is one; for threads to share."""

    painter: CanvasPainter
    judge: VlmClient
    writer: VlmClient | None = None
