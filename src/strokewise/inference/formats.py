"""Protocol formats: how a family of models writes its messages and what they call for. One frozen value each.

Knows words, tags and the kind of token a model would continue with. It refuses to know tokens' ids and
images. The facts about derivatives of BAGEL are read off their released inference code, system prompts
included, for those are part of what the models were trained on; docs/derivatives.md says what
is not the same.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from strokewise.critics.conclusions import Conclusion, PlanState, conclude, plan_state
from strokewise.critics.verdicts import read_verdict
from strokewise.errors import ProtocolError
from strokewise.inference.histories import History, first_canvas_bare, last_canvas_only, views_while_writing
from strokewise.trajectory.values import Message, Verdict
from strokewise.world.language import listed_text, seen_text

Following = Literal["text", "image", "end"]
Decision = Literal["draw", "end", "protocol"]
Trigger = Literal["token", "marker", "always"]
# What the models were trained to read; each with its source and license.
_RELEASED = Path(__file__).with_name("released_prompts.json")
SYSTEM_PROMPTS = {name: one["text"] for name, one in json.loads(_RELEASED.read_text("utf-8")).items()}

VerdictReader = Callable[[Message], Verdict | None]


def no_verdict(message: Message) -> Verdict | None:
    """Read nothing: in some formats nobody can read inspections as values."""
    return None


@dataclass(frozen=True)
class ProtocolFormat:
    """How the texts of a family of models are to be read.

    Attributes:
        name: of the family.
        trigger: what opens an image after a message: ``token`` (the model's own next token is
            ``<|vision_start|>``; ``<|endoftext|>`` ends the sequence), ``marker`` (the message holds one of
            ``markers``), ``always`` (every message that holds none of ``stops``).
        markers: words that call for an image.
        stops: words that end the trajectory, whatever else is said.
        tagged: whether messages follow our grammar, ``<refine> <ins> <des>``.
        system: read before everything else and never left out by guidance; empty for none.
        read_verdict: what an inspection says of the canvas before, as values.
        say_seen: how an inspection begins that states what the canvas shows, given a description of it.
        listed: a planned description in the words in which a look would describe a canvas that shows it.
        conclude: what follows by rules from the prompt, the planned description and a description of what is
            seen, if anything does. None: the family's texts cannot be compared by rules.
        plan_state: how a planned description stands to the prompt. None: by no rules.
        fault_words: words, with the space before them, that an inspection uses only where it finds a fault.
        bare_first: whether the first canvas comes right after the prompt, without a message.
        begin: how an inspection begins, given the number of canvases before it, whatever the model would say.
        turns: what is read before each text of an inspection, which has as many; empty: nothing.
        history: what is read anew before each message and canvas; None: nothing, all stays as it was read.
    """

    name: str
    trigger: Trigger
    markers: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    tagged: bool = False
    system: str = ""
    read_verdict: VerdictReader = no_verdict
    say_seen: Callable[[str], str] | None = None
    listed: Callable[[str], str] = str
    conclude: Callable[[str, str, str], Conclusion | None] | None = None
    plan_state: Callable[[str, str], PlanState] | None = None
    fault_words: tuple[str, ...] = ()
    bare_first: bool = False
    begin: Callable[[int], str] | None = None
    turns: tuple[str, ...] = ("",)
    history: History | None = None

    def with_system(self, system: str) -> "ProtocolFormat":
        """Return the same protocol_format with a system prompt."""
        return replace(self, system=system)

    def always_draws(self) -> "ProtocolFormat":
        """Return the same format, but every message is followed by a canvas."""
        return replace(self, trigger="always", stops=())

    def message(self, text: str) -> Message:
        """Return the message of a text; a family without our tags says everything in one part.

        Raises:
            ProtocolError: if the text breaks the grammar of a tagged protocol_format.
        """
        return Message.parse(text) if self.tagged else Message(text)

    def readable(self, text: str) -> Message:
        """Return the message of any text; what breaks the grammar stands whole in the first part."""
        try:
            return self.message(text)
        except ProtocolError:
            return Message(text)

    def as_seen(self, planned: str) -> str:
        """Return what a look would write of a canvas that shows a planned description, and nothing else."""
        return Message(des=self.listed(planned)).text()

    def stopped(self, text: str) -> bool:
        """Return whether a text ends the trajectory by its words."""
        return any(stop in text for stop in self.stops)

    def decide(self, text: str, following: Following) -> Decision:
        """Return what a finished message calls for.

        Args:
            text: the message.
            following: what the model would continue with; only ``token`` formats use it.
        """
        if self.stopped(text):
            return "end"
        if self.trigger == "always":
            return "draw"
        if self.trigger == "marker":
            return "draw" if any(marker in text for marker in self.markers) else "end"
        try:
            announced = self.message(text).paints
        except ProtocolError:
            return "protocol"
        if following == "image":
            return "draw"
        # A second text never follows a message, and a canvas that was announced must come.
        return "end" if following == "end" and not announced else "protocol"

    def head(self, instruction: str) -> str:
        """Return how a message with this instruction begins; the model describes the scene after it."""
        return f"<ins>{instruction}</ins> <des>"

    def tail(self) -> str:
        """Return how such a message ends."""
        return "</des>"


# The paper's protocol, on which our models are trained.
STROKEWISE = ProtocolFormat(
    "strokewise",
    "token",
    tagged=True,
    read_verdict=read_verdict,
    say_seen=seen_text,
    listed=listed_text,
    conclude=conclude,
    plan_state=plan_state,
    fault_words=(" does", " not"),
)
# BAGEL itself with its thinking mode: one thought, then one canvas (strategy ``think``).
BAGEL_THINK = ProtocolFormat(
    "bagel-think",
    "always",
    system=SYSTEM_PROMPTS["bagel-think"],
)
# Draws where the text holds this plain string (it is no token).
THINKMORPH = ProtocolFormat(
    "thinkmorph",
    "marker",
    markers=("<image_start>",),
    system=SYSTEM_PROMPTS["thinkmorph"],
)
# Every thought is drawn until the answer is given.
BAGEL_ZEBRA_COT = ProtocolFormat(
    "bagel-zebra-cot",
    "always",
    stops=("Final Answer:", "<answer>"),
    system=SYSTEM_PROMPTS["bagel-zebra-cot"],
    history=views_while_writing,
)
# An evaluation, a suggestion, and the suggestion rewritten; a suggestion of no edit is the end.
UNICOT = ProtocolFormat(
    "unicot",
    "always",
    stops=("Everything is good", "Everything is well", "No editing", "no editing"),
    system=SYSTEM_PROMPTS["unicot"],
    turns=("", "", SYSTEM_PROMPTS["unicot-rewrite"]),
    history=last_canvas_only,
)


def _controller_turn(canvases: int) -> str:
    """Return how UMM-Reflection's loop begins each of its turns, which are numbered from 0."""
    return f"<think>\n[CURRENT_ROUND] Round#{canvases - 1}\n[SCORE] "


# A canvas, then turns of one form: score, action, thought, instruction.
UMM_REFLECTION = ProtocolFormat(
    "umm-reflection",
    "marker",
    markers=("[ACTION] edit",),
    stops=("[ACTION] done", "[EDIT] None"),
    system=SYSTEM_PROMPTS["umm-reflection"],
    bare_first=True,
    begin=_controller_turn,
    history=first_canvas_bare,
)

PROTOCOL_FORMATS = {
    protocol_format.name: protocol_format
    for protocol_format in (STROKEWISE, BAGEL_THINK, THINKMORPH, BAGEL_ZEBRA_COT, UNICOT, UMM_REFLECTION)
}
