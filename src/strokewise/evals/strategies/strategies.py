"""Ways to spend computation on a prompt, behind one interface, so that they can be compared at stated costs.

    single-pass         one image right after the prompt
    best-of-n           n of them, a verifier picks
    think               a plan in words for the whole picture first, then one image
    process             rounds of plan, sketch, inspect and refine
    external-inspector  the process, but somebody else inspects
    external-planner    somebody else plans all strokes beforehand, blindly
    parm                n candidates judged while they are painted, then best-of-n among the promising ones

This file knows requests, the painter and who helps. It refuses to know files, and whether a picture is right.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, Protocol, Unpack

from PIL import Image

from strokewise.critics.verifiers import Verifier, scored
from strokewise.errors import ConfigError
from strokewise.evals.costs import NO_COST, Cost, cost_of
from strokewise.evals.strategies.external import Inspector, InspectorPolicy, Planner, PlannerPolicy
from strokewise.inference import Policy, Request, SinglePass, Think
from strokewise.inference.options import OptionChanges
from strokewise.inference.painter import Painter, raising
from strokewise.trajectory.events import ImagePreview
from strokewise.trajectory.files import decode_png
from strokewise.trajectory.values import Trajectory

BATCH = 8
# The paper's model paints 2.62 images a prompt, so three are the same budget of images.
CANDIDATES = 3
# PARM's verifier looks at every step of Show-o's 18; five looks find the first clear one nearly as early.
LOOKS = 5
PROMISING = 0.5


@dataclass(frozen=True)
class Outcome:
    """What a strategy made of a request.

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
    """A way to make a picture of a request."""

    def paint(self, requests: Sequence[Request]) -> list[Outcome]:
        """Return the outcome of each request, in order; they advance together and do not influence each
        other.

        Raises:
            StrokewiseError: as ``Painter.start``, or if a helper fails.
        """


@dataclass(frozen=True)
class Helpers:
    """Whom strategies may query; None where there is nobody."""

    verifier: Verifier | None = None
    inspector: Inspector | None = None
    planner: Planner | None = None


@dataclass(frozen=True)
class Played:
    """A session that was run to its end: what was painted, its cost, and the previews on the way."""

    trajectory: Trajectory
    cost: Cost
    previews: tuple[bytes, ...] = ()


def play(
    painter: Painter,
    requests: Sequence[Request],
    options: OptionChanges,
    policy: Policy | None = None,
    batch: int | None = None,
) -> list[Played]:
    """Paint requests under a policy, ``batch`` (default: all) at once, in the painter's trained wording.

    Raises:
        StrokewiseError: as ``Painter.open``, or if a helper fails.
    """
    start = perf_counter()
    batch = batch or max(1, len(requests))
    engine = painter.start(requests, batch=batch, policy=policy, **options)
    sessions = list(engine.sessions.values())
    previews: dict[str, list[bytes]] = {session.name: [] for session in sessions}
    for session, event in raising(engine.run()):
        if isinstance(event, ImagePreview):
            previews[session.name].append(event.png)
    share = (perf_counter() - start) / max(1, len(sessions))
    return [Played(s.trajectory(), cost_of(s.usage, share), tuple(previews[s.name])) for s in sessions]


@dataclass(frozen=True)
class Sequential:
    """One session a request, under a policy: single-pass, think, process, external inspector and planner.

    Without a policy the painter's default decides, as for the command ``paint``.
    """

    painter: Painter
    options: OptionChanges
    policy: Policy | None = None

    def paint(self, requests: Sequence[Request]) -> list[Outcome]:
        """See :class:`Strategy`."""
        played = play(self.painter, requests, self.options, self.policy)
        return [Outcome(one.trajectory, one.cost) for one in played]


@dataclass(frozen=True)
class BestOfN:
    """Candidates of a single pass each; the verifier's highest score wins, the first one of equals."""

    painter: Painter
    options: OptionChanges
    verifier: Verifier
    candidates: int = CANDIDATES

    def paint(self, requests: Sequence[Request]) -> list[Outcome]:
        """See :class:`Strategy`."""
        groups = _candidates(self.painter, requests, self.options, self.candidates)
        return [self._best(one.prompt, group) for one, group in zip(requests, groups, strict=True)]

    def _best(self, prompt: str, group: Sequence[Played]) -> Outcome:
        scores = [scored(self.verifier, prompt, one.trajectory.images[-1]) for one in group]
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
    options: OptionChanges
    verifier: Verifier
    candidates: int = CANDIDATES
    looks: int = LOOKS

    def paint(self, requests: Sequence[Request]) -> list[Outcome]:
        """See :class:`Strategy`."""
        steps = self.painter.defaults.changed(self.options).steps
        options: OptionChanges = {**self.options, "previews": max(0, min(self.looks, steps - 1))}
        groups = _candidates(self.painter, requests, options, self.candidates)
        return [self._best(one.prompt, group) for one, group in zip(requests, groups, strict=True)]

    def _best(self, prompt: str, group: Sequence[Played]) -> Outcome:
        judged = [self._potential(prompt, one) for one in group]
        potentials, questions = [p for p, _ in judged], sum(q for _, q in judged)
        promising = [i for i, potential in enumerate(potentials) if potential >= PROMISING]
        scores = {i: scored(self.verifier, prompt, group[i].trajectory.images[-1]) for i in promising}
        ranks: Any = scores if scores else dict(enumerate(potentials))
        chosen = max(ranks, key=lambda i: (ranks[i], -i))
        notes = {"potentials": potentials, "scores": [scores.get(i) for i in range(len(group))]}
        return _chosen(group, chosen, questions + len(scores), notes)

    def _potential(self, prompt: str, one: Played) -> tuple[float, int]:
        """Return the potential at the first clear look, 0 if none is clear, and the questions it took."""
        for look, png in enumerate(one.previews, 1):
            image = decode_png(png, "a preview").convert("RGB")
            if self.verifier.clear(image):
                return self.verifier.potential(prompt, image), look + 1
        return 0.0, len(one.previews)


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
    **options: Unpack[OptionChanges],
) -> Strategy:
    """Return a strategy by its name in NEEDS.

    Args:
        name: see the list above.
        painter: who paints. Prompts are not checked against its vocabulary.
        helpers: whom the strategy may query.
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
    if name == "best-of-n":
        return BestOfN(painter, options, helper, candidates)
    if name == "parm":
        return Parm(painter, options, helper, candidates)
    policies: dict[str, Policy | None] = {
        "single-pass": SinglePass(),
        "think": Think(),
        "process": None,
        "external-inspector": InspectorPolicy(helper),
        "external-planner": PlannerPolicy(helper),
    }
    if name == "think" and not painter.protocol_format.tagged:
        painter = painter.with_format(painter.protocol_format.always_draws())
    return Sequential(painter, options, policies[name])


def candidate_seed(seed: int, number: int) -> int:
    """Return the seed of a candidate; the first one is what a single pass would paint."""
    if number == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed}/candidate/{number}".encode()).digest()[:4], "big")


def _candidates(
    painter: Painter, requests: Sequence[Request], options: OptionChanges, count: int
) -> list[list[Played]]:
    """Return the candidates of each request, a single pass each, ``BATCH`` at once."""
    every = [replace(one, seed=candidate_seed(one.seed, k)) for one in requests for k in range(count)]
    played = play(painter, every, options, SinglePass(), BATCH)
    return [played[at : at + count] for at in range(0, len(played), count)]


def _chosen(group: Sequence[Played], chosen: int, questions: int, notes: dict[str, Any]) -> Outcome:
    cost = sum((one.cost for one in group), replace(NO_COST, questions=questions))
    rounded = {key: [None if v is None else round(v, 4) for v in values] for key, values in notes.items()}
    return Outcome(group[chosen].trajectory, cost, {"chosen": chosen, **rounded})
