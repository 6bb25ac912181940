"""How well a model writes: right prompt, texts and canvases given, is the next message right?

Of multi-turn records the message after each canvas (nothing is wrong; what is still to come, and the next
plan), of alignment and conflict records the last one (often something is wrong).

python benchmarks/language.py MODEL [--n 64] [--show]
"""

import argparse
import random
from collections import Counter
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

import machine
from strokewise import Painter
from strokewise.critics.oracle import judge_plan
from strokewise.data.build import MAKERS
from strokewise.data.canvas_painters import SpritePainter
from strokewise.data.multi_turn import MultiTurnMix
from strokewise.errors import StrokewiseError
from strokewise.inference.writing import WriteOptions, Written
from strokewise.recipes.nano.stages import NANO_SCENES
from strokewise.sequence import Segment
from strokewise.trajectory.values import Message, Trajectory
from strokewise.world.language import parse_description, parse_inspection, parse_instruction, parse_prompt

BATCH = 16


@dataclass(frozen=True)
class Case:
    """A trajectory up to a canvas, and the right message after it."""

    subset: str
    trajectory: Trajectory
    at: int

    @property
    def wanted(self) -> Message:
        """The right message."""
        return self.trajectory.steps[self.at].message


def cases(n: int) -> list[Case]:
    """Some of each subset."""
    found = []
    for subset, (make, mix) in MAKERS.items():
        chosen = MultiTurnMix(NANO_SCENES, edit_share=0.0) if subset == "multi-turn" else mix(NANO_SCENES)
        for number in range(n):
            draw = random.Random(f"language/{subset}/{number}")
            trajectory = make(draw, chosen, SpritePainter()).trajectory
            last = len(trajectory.steps) - 1
            found.append(Case(subset, trajectory, draw.randint(1, last) if subset == "multi-turn" else last))
    return found


def written(painter: Painter, chosen: list[Case]) -> list[str]:
    """The message that the model writes in each case."""
    generator, encode = painter.generator, painter.tokenizer.encode
    texts: list[str] = []
    for at in range(0, len(chosen), BATCH):
        contexts = []
        for case in chosen[at : at + BATCH]:
            segments = [Segment.text(tuple(encode(case.trajectory.prompt)))]
            for step in case.trajectory.steps[: case.at]:
                assert step.image is not None
                segments.append(Segment.text(tuple(encode(step.message.text()))))
                segments += generator.image_segments(step.image)
            contexts.append(generator.context())
            generator.append(contexts[-1:], [segments])
        *_, last = generator.write(contexts, WriteOptions(max_tokens=256))
        assert isinstance(last, Written)
        texts += [painter.tokenizer.decode(list(ids)) for ids in last.ids]
    return texts


def judged(case: Case, text: str) -> dict[str, bool]:
    """What of a message is right; what the right one does not have is not asked."""
    wanted, found = case.wanted, {}
    try:
        message = Message.parse(text)
        right = parse_inspection(wanted.inspect)
        said = parse_inspection(message.inspect)
        found["still to come"] = (said.pending, said.pending_background) == (
            right.pending,
            right.pending_background,
        )
        fault = "fault told" if not right.accepted else "no fault told"
        found[fault] = said.accepted == right.accepted
        if not right.accepted:
            found["the fault told"] = (set(said.plan or ()), set(said.sketch or ())) == (
                set(right.plan or ()),
                set(right.sketch or ()),
            )
        if wanted.refine is not None:
            found["correction"] = message.refine == wanted.refine
        if wanted.ins is not None and wanted.refine is None:
            thing = parse_instruction(message.ins or "").thing
            found["next thing"] = thing == parse_instruction(wanted.ins).thing
            plan = parse_description(message.des or "")
            found["its place"] = not judge_plan(parse_prompt(case.trajectory.prompt), plan).plan
    except StrokewiseError:
        found["readable"] = False
    else:
        found["readable"] = True
    return found


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--n", type=int, default=64, help="records of each subset")
    parser.add_argument("--show", action="store_true", help="print what is not right")
    options = parser.parse_args()
    painter, chosen = Painter.load(options.model), cases(options.n)
    console = Console(width=200)
    console.print(machine.describe("cpu"))
    right: Counter[tuple[str, str]] = Counter()
    asked: Counter[tuple[str, str]] = Counter()
    for case, text in zip(chosen, written(painter, chosen), strict=True):
        found = judged(case, text)
        asked.update((case.subset, what) for what in found)
        right.update((case.subset, what) for what, ok in found.items() if ok)
        if options.show and not all(found.values()):
            wrong = ", ".join(what for what, ok in found.items() if not ok)
            console.print(
                f"[{case.trajectory.prompt}]\n  not right: {wrong}\n  wanted:  {case.wanted.text()}\n"
                f"  written: {text}",
                markup=False,
            )
    table = Table("subset", "what", "right")
    for key in sorted(asked):
        table.add_row(*key, f"{right[key]} of {asked[key]}")
    console.print(table)


if __name__ == "__main__":
    main()
