"""Protocol formats: how a family of models writes its messages and what they call for. One frozen value each.

Knows words, tags and the kind of token a model would continue with. It refuses to know tokens' ids and
images. The facts about derivatives of BAGEL are read off their released inference code; where one of them
does more than a loop of message and canvas can express, the comment above it says so.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from strokewise.critics.verdicts import read_verdict
from strokewise.errors import ProtocolError
from strokewise.trajectory.values import Message, Verdict
from strokewise.world.language import seen_text

Following = Literal["text", "image", "end"]
Decision = Literal["draw", "end", "protocol"]
Trigger = Literal["token", "marker", "always"]
VerdictReader = Callable[[Message], Verdict | None]


def no_verdict(message: Message) -> Verdict | None:
    """The reader of formats whose inspections nobody can read as values."""
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
    """

    name: str
    trigger: Trigger
    markers: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    tagged: bool = False
    system: str = ""
    read_verdict: VerdictReader = no_verdict
    say_seen: Callable[[str], str] | None = None

    def with_system(self, system: str) -> "ProtocolFormat":
        """The same protocol_format with a system prompt."""
        return replace(self, system=system)

    def always_draws(self) -> "ProtocolFormat":
        """The same format, but every message is followed by a canvas."""
        return replace(self, trigger="always", stops=())

    def message(self, text: str) -> Message:
        """The message of a text; a family without our tags says everything in one part.

        Raises:
            ProtocolError: if the text breaks the grammar of a tagged protocol_format.
        """
        return Message.parse(text) if self.tagged else Message(text)

    def readable(self, text: str) -> Message:
        """The message of any text: what breaks the grammar stands whole in the first part, tags and all."""
        try:
            return self.message(text)
        except ProtocolError:
            return Message(text)

    def decide(self, text: str, following: Following) -> Decision:
        """What a finished message calls for.

        Args:
            text: the message.
            following: what the model would continue with; only ``token`` formats use it.
        """
        if any(stop in text for stop in self.stops):
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
        """How a message begins whose instruction is supplied; the model describes the scene after it."""
        return f"<ins>{instruction}</ins> <des>"

    def tail(self) -> str:
        """How such a message ends."""
        return "</des>"


# The paper's protocol, on which our models are trained.
STROKEWISE = ProtocolFormat(
    "strokewise",
    "token",
    tagged=True,
    read_verdict=read_verdict,
    say_seen=seen_text,
)
# BAGEL itself with its thinking mode: one thought, then one canvas (strategy ``think``). The system prompt is
# part of the model's training, so it stands here word for word, its blank before the line break included.
BAGEL_THINK = ProtocolFormat(
    "bagel-think",
    "always",
    system="You should first think about the planning process in the mind and then generate the image. \n"
    "The planning process is enclosed within <think> </think> tags, i.e."
    " <think> planning process here </think> image here",
)
# Draws where the text holds this plain string (it is no token); three rounds in its released loop.
THINKMORPH = ProtocolFormat("thinkmorph", "marker", markers=("<image_start>",))
# Every thought is drawn until the answer is given; its released loop has no bound.
BAGEL_ZEBRA_COT = ProtocolFormat("bagel-zebra-cot", "always", stops=("Final Answer:", "<answer>"))
# Its released loop queries a second opinion up to three times, has the suggestion rewritten, and forgets all
# but the last canvas; here one opinion is enough, as written, and nothing is forgotten.
UNICOT = ProtocolFormat(
    "unicot", "always", stops=("Everything is good", "Everything is well", "No editing", "no editing")
)
# The image token decides, helped in its release by a small router network that is not read here.
UMM_REFLECTION = ProtocolFormat("umm-reflection", "token")

PROTOCOL_FORMATS = {
    protocol_format.name: protocol_format
    for protocol_format in (STROKEWISE, BAGEL_THINK, THINKMORPH, BAGEL_ZEBRA_COT, UNICOT, UMM_REFLECTION)
}
