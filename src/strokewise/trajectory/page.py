"""A trajectory as a page to look at: one file of HTML with its pictures inside, which fetches nothing.

Knows trajectories and how to compare two pictures; the HTML is ``templates/trajectory.html``. It refuses to
know what the texts mean, where verdicts come from and who opens the page.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from strokewise.errors import RecordError
from strokewise.io.atomic import write_text
from strokewise.io.pages import embedded, render_template
from strokewise.trajectory.values import Step, StopReason, Trajectory, Verdict

HERO, CANVAS, SMALL = 1024, 640, 192  # pixels of the longer side a picture is stored with, at most
LEAST_CHANGE = 24  # of 255 in any channel; below it two canvases differ only by the noise of their decoding
FADED = 80  # opacity of what did not change: gray on either a light or a dark page
OUTLINE = (226, 106, 44, 255)
STOPS = {
    StopReason.END: "The model found the picture complete and ended.",
    StopReason.ROUNDS: "The allowed number of rounds was reached.",
    StopReason.IMAGES: "The allowed number of canvases was reached.",
    StopReason.TOKENS: "A message grew longer than allowed.",
    StopReason.CONTEXT: "The sequence filled what the model can attend to.",
    StopReason.PROTOCOL: "The model broke the protocol.",
    StopReason.SINGLE_PASS: "It was painted in a single pass.",
    StopReason.THINK: "It was painted after one message.",
    StopReason.EXCERPT: "What came after is left out.",
    StopReason.INTERRUPTED: "It was interrupted.",
    StopReason.CANCELLED: "It was cancelled.",
    StopReason.FAILED: "It failed.",
}


# --- what is shown -----------------------------------------------------------------------------------------


@dataclass
class Round:
    """A canvas on the page: the step that painted it, the picture before it, and its inspections."""

    name: str
    step: Step
    before: Image.Image | None = None
    inspections: list[Step] = field(default_factory=list)

    @property
    def flawed(self) -> bool:
        """Whether a fault was found in it."""
        return any(step.verdict is not None and not step.verdict.accepted for step in self.inspections)


def rounds(trajectory: Trajectory) -> list[Round]:
    """Return the canvases and unpainted plans with their inspections; no text is lost, in whatever order."""
    found: list[Round] = []
    before, sketches = trajectory.source, 0
    for step in trajectory.steps:
        judges = bool(step.message.inspect) or step.verdict is not None
        if found and judges:
            found[-1].inspections.append(step)
        if step.image is None and not step.message.paints and found:
            continue
        refines = step.message.refine is not None and bool(found)
        sketches += not refines
        found.append(Round(f"Round {sketches}" + (", refined" if refines else ""), step, before))
        before = step.image or before
        if judges and len(found) == 1:
            found[0].inspections.append(step)
    return found


def changes(before: Image.Image, after: Image.Image) -> tuple[Image.Image, float]:
    """Show what changed, in color and outlined, all else faded to gray; with the changed share of it all.

    A margin is kept around each change, a pixel for each 128 of the picture, so that small ones are seen. The
    outline, as wide, shows where something was taken away.
    """
    new = after.convert("RGB")
    old = before.convert("RGB").resize(new.size, Image.Resampling.BICUBIC)
    apart = np.abs(np.asarray(new, np.int16) - np.asarray(old, np.int16)).max(axis=2) >= LEAST_CHANGE
    margin = 2 * -(-max(new.size) // 128) + 1
    kept = Image.fromarray(apart.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(margin))
    around = kept.filter(ImageFilter.MaxFilter(margin))
    gray = new.convert("L").convert("RGBA")
    gray.putalpha(FADED)
    gray.paste(OUTLINE, mask=around)
    return Image.composite(new.convert("RGBA"), gray, kept), float(apart.mean())


def marks(verdict: Verdict | None) -> list[tuple[str, str]]:
    """Return a verdict as (class, words) of marks; readable without color."""
    if verdict is None or (verdict.plan is None and verdict.sketch is None):
        return [("unjudged", "– not judged")]
    if verdict.accepted:
        return [("accepted", "✓ accepted")]
    found = []
    if verdict.plan is False:
        found.append(("plan", "✎ plan at fault"))
    if verdict.sketch is False:
        found.append(("sketch", "✗ sketch at fault"))
    return found


# --- the page ----------------------------------------------------------------------------------------------


def write_page(trajectory: Trajectory, path: Path) -> None:
    """Write the page of a trajectory to a file.

    Raises:
        RecordError: if it cannot be written there.
    """
    write_text(path, page(trajectory), RecordError)


def page(trajectory: Trajectory) -> str:
    """Return the page of a trajectory."""
    shown = rounds(trajectory)
    final = trajectory.images[-1] if trajectory.images else None
    return render_template(
        "trajectory.html",
        title=trajectory.prompt.strip() or "Untitled",
        prompt=trajectory.prompt,
        original=trajectory.original_prompt,
        hero=None if final is None else embedded(final, HERO),
        hero_width=0 if final is None else max(1, min(3 * final.width, 640)),
        strip=list(_strip(trajectory, shown)),
        rounds=[_card(one) for one in shown],
        why=STOPS[trajectory.stop],
        facts=_facts(trajectory),
    )


def _strip(trajectory: Trajectory, shown: list[Round]) -> Iterator[dict[str, Any]]:
    """Yield small pictures of the way to the final one, each but the source with the number of its round."""
    if trajectory.source is not None:
        yield {"number": 0, "image": embedded(trajectory.source, SMALL)}
    for number, one in enumerate(shown, 1):
        if one.step.image is not None:
            small = embedded(one.step.image, SMALL)
            yield {"number": number, "image": small, "name": one.name, "flawed": one.flawed}


def _card(one: Round) -> dict[str, Any]:
    """Return a round as its template shows it."""
    step = one.step
    facts = ["" if step.seconds is None else f"{step.seconds:.1f} s"]
    facts += ["" if step.seed is None else f"seed {step.seed}"]
    picture, share = None, 0.0
    if one.before is not None and step.image is not None:
        picture, share = changes(one.before, step.image)
    return {
        "name": one.name,
        "message": step.message,
        "facts": " · ".join(filter(None, facts)),
        "canvas": None if step.image is None else embedded(step.image, CANVAS),
        "changed": embedded(picture, CANVAS // 2) if picture and share else None,
        "share": f"{share:.0%}" if share >= 0.01 else "less than 1%",
        "same": picture is not None and not share,
        "inspections": [(marks(judged.verdict), judged.message.inspect) for judged in one.inspections],
    }


def _facts(trajectory: Trajectory) -> str:
    """Return canvases, time, model and seed in a line."""
    seconds = [step.seconds for step in trajectory.steps if step.seconds is not None]
    count = len(trajectory.images)
    facts = [
        f"{count} canvas{'' if count == 1 else 'es'}",
        f"{sum(seconds):.1f} s" if seconds else "",
        f"model {trajectory.model}" if trajectory.model else "",
        "" if trajectory.seed is None else f"seed {trajectory.seed}",
    ]
    return " · ".join(filter(None, facts))
