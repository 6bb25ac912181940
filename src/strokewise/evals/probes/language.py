"""How well a model writes: given the right prompt, texts and canvases, is the next message right?

Of multi-turn records the message after a random canvas is requested (nothing is wrong; what is pending, and
the next plan), of conflict and alignment records the last one (often something is wrong). Messages are read
by the sprite world's language; what the right message does not contain is not scored.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from strokewise.critics.oracle import judge_plan
from strokewise.data.build import MAKERS
from strokewise.data.canvas_painters import SpritePainter
from strokewise.data.multi_turn import MultiTurnMix
from strokewise.errors import StrokewiseError
from strokewise.evals.intervals import NamedShare
from strokewise.inference.painter import Painter
from strokewise.inference.writing import WriteOptions, Written
from strokewise.recipes.nano.stages import NANO_SCENES
from strokewise.sequence import Segment
from strokewise.trajectory.values import Message, Trajectory
from strokewise.world.language import (
    Inspection,
    parse_description,
    parse_inspection,
    parse_instruction,
    parse_prompt,
)

BATCH = 16
MAX_TOKENS = 256
# Cases of one seed; the seeds' ranges of case numbers do not overlap.
CASES_PER_SEED = 1_000_000


@dataclass(frozen=True)
class LanguageCase:
    """A trajectory up to a canvas, and the right message after it.

    Attributes:
        subset: the training subset that it is like.
        trajectory: the whole record.
        at: index of the step whose message is requested.
    """

    subset: str
    trajectory: Trajectory
    at: int

    @property
    def wanted(self) -> Message:
        """The right message."""
        return self.trajectory.steps[self.at].message


@dataclass(frozen=True)
class LanguageScore:
    """How one message was scored.

    Attributes:
        case: what was requested.
        text: the message as written.
        right: whether each scored part is right, by name.
    """

    case: LanguageCase
    text: str
    right: dict[str, bool]


def sample_cases(count: int, seed: int = 0) -> list[LanguageCase]:
    """Return ``count`` cases of each subset; the same for the same arguments."""
    return [_case(subset, seed * CASES_PER_SEED + number) for subset in MAKERS for number in range(count)]


def write_messages(painter: Painter, cases: Sequence[LanguageCase]) -> Iterator[str]:
    """Yield the message that a model writes in each case, decoded greedily."""
    generator = painter.generator
    for at in range(0, len(cases), BATCH):
        contexts = []
        for case in cases[at : at + BATCH]:
            contexts.append(generator.context())
            generator.append(contexts[-1:], [list(_segments(painter, case))])
        *_, last = generator.write(contexts, WriteOptions(max_tokens=MAX_TOKENS))
        assert isinstance(last, Written)
        yield from (painter.tokenizer.decode(list(ids)) for ids in last.ids)


def score_message(case: LanguageCase, text: str) -> LanguageScore:
    """Compare a message with the right one, part by part."""
    right: dict[str, bool] = {}
    try:
        message = Message.parse(text)
        _score_inspection(case, parse_inspection(message.inspect), right)
        wanted = case.wanted
        if wanted.refine is not None:
            right["correction"] = message.refine == wanted.refine
        elif wanted.ins is not None:
            thing = parse_instruction(message.ins or "").thing
            right["next thing"] = thing == parse_instruction(wanted.ins).thing
            plan = parse_description(message.des or "")
            right["place of the next thing"] = not judge_plan(parse_prompt(case.trajectory.prompt), plan).plan
        right["readable"] = True
    except StrokewiseError:
        right["readable"] = False
    return LanguageScore(case, text, right)


def probe_language(painter: Painter, count: int = 64, seed: int = 0) -> Iterator[LanguageScore]:
    """Let a model write the next message of some cases, and score it.

    Args:
        painter: the model.
        count: cases of each subset.
        seed: random seed of the cases.
    """
    cases = sample_cases(count, seed)
    return map(score_message, cases, write_messages(painter, cases))


def summarize(scores: Iterable[LanguageScore], seed: int = 0) -> list[NamedShare]:
    """Return the share of right messages for each subset and part."""
    groups: dict[str, list[list[bool]]] = {}
    for score in scores:
        for part, right in score.right.items():
            groups.setdefault(f"{score.case.subset}: {part}", []).append([right])
    return [NamedShare.of(name, groups[name], seed) for name in sorted(groups)]


def _case(subset: str, number: int) -> LanguageCase:
    make, mix = MAKERS[subset]
    rng = random.Random(f"language/{subset}/{number}")
    chosen = MultiTurnMix(NANO_SCENES, edit_share=0.0) if subset == "multi-turn" else mix(NANO_SCENES)
    trajectory = make(rng, chosen, SpritePainter()).trajectory
    last = len(trajectory.steps) - 1
    return LanguageCase(subset, trajectory, rng.randint(1, last) if subset == "multi-turn" else last)


def _segments(painter: Painter, case: LanguageCase) -> Iterator[Segment]:
    """Yield all that the model reads before it writes: prompt, messages and canvases."""
    yield Segment.text(tuple(painter.tokenizer.encode(case.trajectory.prompt)))
    for step in case.trajectory.steps[: case.at]:
        assert step.image is not None, "every step before the requested message ends in a canvas"
        yield Segment.text(tuple(painter.tokenizer.encode(step.message.text())))
        yield from painter.generator.image_segments(step.image)


def _score_inspection(case: LanguageCase, found: Inspection, right: dict[str, bool]) -> None:
    """Compare an inspection with the right one: what is pending, whether there is a fault, and which."""
    wanted = parse_inspection(case.wanted.inspect)
    pending = (wanted.pending, wanted.pending_background)
    right["pending things"] = (found.pending, found.pending_background) == pending
    if wanted.accepted:
        right["no false alarm"] = found.accepted
        return
    right["fault found"] = not found.accepted
    same = [
        set(a or ()) == set(b or ()) for a, b in ((found.plan, wanted.plan), (found.sketch, wanted.sketch))
    ]
    right["fault named"] = all(same)
