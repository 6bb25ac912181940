"""Ways to spend computation on a prompt, behind one interface, so that they can be compared at stated costs.

    single-pass         one image right after the prompt
    best-of-n           n of them, a verifier picks
    think               a plan in words for the whole picture first, then one image
    process             rounds of plan, sketch, inspect and refine
    external-inspector  the process, but somebody else inspects
    external-planner    somebody else plans all strokes beforehand, blindly
    parm                n candidates judged while they are painted, then best-of-n among the promising ones

This file knows prompts, the painter and who helps. It refuses to know files, and whether a picture is right.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from PIL import Image

from strokewise.critics.verifiers import Verifier, scored
from strokewise.errors import ConfigError
from strokewise.evals.costs import Cost, Watched, watch
from strokewise.evals.strategies.external import Inspector, Planner, inspected, planned
from strokewise.inference import Process, Request
from strokewise.inference.painter import Painter
from strokewise.trajectory.files import decode_png
from strokewise.trajectory.values import Trajectory

BATCH = 8
# The paper's model paints 2.62 images a prompt, so three are the same budget of images.
CANDIDATES = 3
# PARM's verifier looks at every step of Show-o's 18; five looks find the first clear one nearly as early.
LOOKS = 5
PROMISING = 0.5


@dataclass(frozen=True)
class Task:
    """One picture that is asked for."""

    prompt: str
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What a strategy made of a task.

    Attributes:
        trajectory: what was painted, without candidates that were not chosen; its last canvas is the result.
        cost: of everything, candidates included.
        notes: what the strategy decided, as plain values.
    """

    trajectory: Trajectory
    cost: Cost
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def image(self) -> Image.Image | None:
        """The result; None if nothing was painted."""
        images = self.trajectory.images
        return images[-1] if images else None


class Strategy(Protocol):
    """A way to make a picture of a prompt."""

    def paint(self, tasks: Sequence[Task]) -> list[Outcome]:
        """The outcome of each task, in order; tasks advance together and do not influence each other.

        Raises:
            StrokewiseError: as ``Painter.start``, or if a helper fails.
        """


@dataclass(frozen=True)
class Helpers:
    """Whom strategies may ask; None where there is nobody."""

    verifier: Verifier | None = None
    inspector: Inspector | None = None
    planner: Planner | None = None


@dataclass(frozen=True)
class Whole:
    """Single-pass or the process: what the painter does by itself."""

    painter: Painter
    options: dict[str, Any]

    def paint(self, tasks: Sequence[Task]) -> list[Outcome]:
        """See :class:`Strategy`."""
        return [Outcome(one.trajectory, one.cost) for one in _watched(self.painter, tasks, self.options)]


@dataclass(frozen=True)
class Think:
    """One message before one image.

    A model of a tagged protocol format is instructed to paint the whole prompt in one stroke and describes
    the scene; others write what they like.
    """

    painter: Painter
    options: dict[str, Any]

    def paint(self, tasks: Sequence[Task]) -> list[Outcome]:
        """See :class:`Strategy`."""
        painter, protocol_format = self.painter, self.painter.protocol_format
        if not protocol_format.tagged:
            protocol_format = replace(protocol_format, trigger="always", stops=())
        requests = [
            Request(task.prompt, task.seed, instruct=(task.prompt,) if protocol_format.tagged else ())
            for task in tasks
        ]
        options = painter.defaults.changed(self.options | {"max_images": 1})
        process = Process(
            painter.generator, painter.tokenizer, requests, options, protocol_format, painter.name
        )
        return [
            Outcome(replace(one.trajectory, stop="think"), one.cost)
            for one in watch(painter, process, one_image=True)
        ]


@dataclass(frozen=True)
class BestOfN:
    """Candidates of a single pass each; the verifier's highest score wins, the first one of equals."""

    painter: Painter
    options: dict[str, Any]
    verifier: Verifier
    candidates: int = CANDIDATES

    def paint(self, tasks: Sequence[Task]) -> list[Outcome]:
        """See :class:`Strategy`."""
        groups = _candidates(self.painter, tasks, self.options, self.candidates)
        return [self._best(task, group) for task, group in zip(tasks, groups, strict=True)]

    def _best(self, task: Task, group: Sequence[Watched]) -> Outcome:
        scores = [scored(self.verifier, task.prompt, one.trajectory.images[-1]) for one in group]
        chosen = scores.index(max(scores))
        return _chosen(group, chosen, len(scores), {"scores": scores})


@dataclass(frozen=True)
class Parm:
    """Test-time scaling as in PARM (arXiv 2501.13926; its ``selector.py``).

    Each candidate is looked at while it is painted. At the first look at which it is clear its potential is
    judged, once. Among the promising ones the best score wins; if none is, the highest potential. As in its
    released code no candidate is given up early, so all of them cost the same.
    """

    painter: Painter
    options: dict[str, Any]
    verifier: Verifier
    candidates: int = CANDIDATES
    looks: int = LOOKS

    def paint(self, tasks: Sequence[Task]) -> list[Outcome]:
        """See :class:`Strategy`."""
        steps = self.painter.defaults.changed(self.options).steps
        options = self.options | {"previews": max(0, min(self.looks, steps - 1))}
        groups = _candidates(self.painter, tasks, options, self.candidates)
        return [self._best(task, group) for task, group in zip(tasks, groups, strict=True)]

    def _best(self, task: Task, group: Sequence[Watched]) -> Outcome:
        judged = [self._potential(task.prompt, one) for one in group]
        potentials, questions = [p for p, _ in judged], sum(q for _, q in judged)
        promising = [i for i, potential in enumerate(potentials) if potential >= PROMISING]
        scores = {i: scored(self.verifier, task.prompt, group[i].trajectory.images[-1]) for i in promising}
        ranks: Any = scores if scores else dict(enumerate(potentials))
        chosen = max(ranks, key=lambda i: (ranks[i], -i))
        notes = {"potentials": potentials, "scores": [scores.get(i) for i in range(len(group))]}
        return _chosen(group, chosen, questions + len(scores), notes)

    def _potential(self, prompt: str, one: Watched) -> tuple[float, int]:
        """The potential at the first clear look, 0 if none is clear, and the questions it took."""
        for look, png in enumerate(one.previews, 1):
            image = decode_png(png, "a preview").convert("RGB")
            if self.verifier.clear(image):
                return self.verifier.potential(prompt, image), look + 1
        return 0.0, len(one.previews)


@dataclass(frozen=True)
class ExternalInspector:
    """The process with another's inspections in place of the model's own."""

    painter: Painter
    options: dict[str, Any]
    inspector: Inspector

    def paint(self, tasks: Sequence[Task]) -> list[Outcome]:
        """See :class:`Strategy`."""
        process = _process(self.painter, tasks, self.options)
        return [Outcome(*one) for one in inspected(self.painter, process, self.inspector)]


@dataclass(frozen=True)
class ExternalPlanner:
    """The model paints another's strokes, without a say and without corrections."""

    painter: Painter
    options: dict[str, Any]
    planner: Planner

    def paint(self, tasks: Sequence[Task]) -> list[Outcome]:
        """See :class:`Strategy`."""
        process = _process(self.painter, tasks, self.options)
        return [Outcome(*one) for one in planned(self.painter, process, self.planner)]


NEEDS = {
    "single-pass": None,
    "best-of-n": "verifier",
    "think": None,
    "process": None,
    "external-inspector": "inspector",
    "external-planner": "planner",
    "parm": "verifier",
}


def make_strategy(
    name: str,
    painter: Painter,
    helpers: Helpers | None = None,
    candidates: int = CANDIDATES,
    **options: Any,
) -> Strategy:
    """A strategy by its name in NEEDS.

    Args:
        name: see the list above.
        painter: who paints. Prompts are not checked against its vocabulary.
        helpers: whom the strategy may ask.
        candidates: of best-of-n and parm.
        options: of painting, see ``PaintingOptions``.

    Raises:
        ConfigError: if there is no such strategy or option, or the helper it needs is missing.
    """
    if name not in NEEDS:
        raise ConfigError(f"unknown strategy {name!r}; known are {', '.join(NEEDS)}")
    if candidates < 1:
        raise ConfigError(f"candidates is {candidates}; there must be at least 1")
    need = NEEDS[name]
    helper: Any = getattr(helpers or Helpers(), need) if need else None
    if need and helper is None:
        raise ConfigError(f"{name} needs a {need}: --world sprite has its own, else give --judge MODEL")
    painter.defaults.changed(options)
    once = options | {"single_pass": True}
    if name == "best-of-n":
        return BestOfN(painter, once, helper, candidates)
    if name == "parm":
        return Parm(painter, once, helper, candidates)
    if name == "external-inspector":
        return ExternalInspector(painter, options, helper)
    if name == "external-planner":
        return ExternalPlanner(painter, options, helper)
    if name == "think":
        return Think(painter, options)
    return Whole(painter, once if name == "single-pass" else options)


def candidate_seed(seed: int, number: int) -> int:
    """The seed of a candidate; the first one is what a single pass would paint."""
    if number == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed}/candidate/{number}".encode()).digest()[:4], "big")


def _process(painter: Painter, tasks: Sequence[Task], options: dict[str, Any]) -> Process:
    return painter.start([Request(task.prompt, task.seed) for task in tasks], check=False, **options)


def _watched(painter: Painter, tasks: Sequence[Task], options: dict[str, Any]) -> list[Watched]:
    return watch(painter, _process(painter, tasks, options))


def _candidates(
    painter: Painter, tasks: Sequence[Task], options: dict[str, Any], count: int
) -> list[list[Watched]]:
    """The candidates of each task, painted ``BATCH`` at once."""
    every = [Task(task.prompt, candidate_seed(task.seed, k)) for task in tasks for k in range(count)]
    painted: list[Watched] = []
    for at in range(0, len(every), BATCH):
        painted += _watched(painter, every[at : at + BATCH], options)
    return [painted[at : at + count] for at in range(0, len(painted), count)]


def _chosen(group: Sequence[Watched], chosen: int, questions: int, notes: dict[str, Any]) -> Outcome:
    cost = sum((one.cost for one in group), Cost(questions=questions))
    rounded = {key: [None if v is None else round(v, 4) for v in values] for key, values in notes.items()}
    return Outcome(group[chosen].trajectory, cost, {"chosen": chosen, **rounded})
