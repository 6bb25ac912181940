"""The painter and the judge of an open-world build: how they are chosen, and loaded where the work is done.

This file knows models and services. It refuses to know what is painted and judged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from strokewise.critics.vlm_client import VlmClient
from strokewise.data.canvas_painters import CanvasPainter, KontextPainter
from strokewise.data.served_painter import KeptCanvases, ServedPainter
from strokewise.errors import ConfigError
from strokewise.io.services import Budget, Prices, QueryLimits, spent_in

KONTEXT, SERVED = "kontext", "served"
PAINTERS = (KONTEXT, SERVED)
FREE = Prices()


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
class JudgeChoice:
    """Who judges: a vision model at a service; ``url`` None is OPENAI_BASE_URL."""

    model: str
    url: str | None = None
    prices: Prices = FREE


@dataclass(frozen=True)
class Workshop:
    """What a build works with; it can be sent to other processes.

    Attributes:
        painter: who paints.
        judge: who judges.
        limits: of all spending on both, over all runs that share ``cache``.
        cache: folder of canvases, answers and what was spent.
        workers: that share the limits.
    """

    painter: PainterChoice
    judge: JudgeChoice
    limits: QueryLimits
    cache: Path
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse limits that cannot be kept."""
        prices = (self.painter.prices, self.judge.prices)
        if self.limits.cost is not None and prices == (FREE, FREE):
            raise ConfigError("a limit of cost needs prices: state those of the judge or the painter")

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
        judge = VlmClient(
            self.judge.model,
            self.judge.url,
            cache=self.cache / "answers",
            budget=budget,
            prices=self.judge.prices,
        )
        painter = KeptCanvases(self._loader(budget), self.painter.name, self.cache / "canvases")
        return Tools(painter, judge)

    def _loader(self, budget: Budget) -> Callable[[], CanvasPainter]:
        choice = self.painter
        if choice.kind == KONTEXT:
            return partial(KontextPainter.load, choice.model, choice.device, choice.size)
        painter = ServedPainter(choice.model, choice.size, choice.url, budget=budget, prices=choice.prices)
        return lambda: painter


@dataclass(frozen=True)
class Tools:
    """A painter, whose canvases are kept, and a judge; may be shared by threads."""

    painter: CanvasPainter
    judge: VlmClient
