"""Painting as seen in a terminal: pictures made of half blocks, and a live view of what happens.

Knows events, the tags of messages and rich. It refuses to know who paints and what the texts mean. Where the
output is no terminal it writes plain lines without control codes.
"""

from dataclasses import dataclass, field
from threading import Lock
from types import TracebackType

import numpy as np
from PIL import Image
from rich.color import Color
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.measure import Measurement
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.spinner import Spinner
from rich.style import Style
from rich.table import Table
from rich.text import Text

from strokewise.cli.output import console as command_console
from strokewise.trajectory.events import (
    Event,
    Failed,
    Finished,
    ImageFinished,
    ImagePreview,
    ImageStarted,
    TextDelta,
    TextFinished,
    TextStarted,
)
from strokewise.trajectory.files import decode_png
from strokewise.trajectory.values import TAG

UPPER = "▀"
SHADES = " .:-=+*#%@"  # from dark to light, for a console without colors
THUMBNAIL, PICTURE = 14, 48  # columns
LEAST_LINES = 12  # of a picture that is worth its room
SIDE_BY_SIDE = 90  # columns of console from which texts stand beside the picture
REFRESH = 8  # a second
LABELS = {"": "inspection", "refine": "refinement", "ins": "plan", "des": "scene"}
STYLES = {"inspection": "cyan", "refinement": "yellow", "plan": "green", "scene": "bright_black"}


# --- pictures ----------------------------------------------------------------------------------------------


class HalfBlocks:
    """A picture as text: each cell shows two pixels, one above the other."""

    def __init__(self, image: Image.Image, columns: int) -> None:
        """Show ``image``, ``columns`` cells wide, or less where there is less room."""
        self.image, self.columns = image, max(1, columns)
        self._drawn: dict[tuple[int, bool], list[list[Segment]]] = {}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw; a live view draws the same picture many times, so it is kept."""
        colored = console.color_system is not None and not console.no_color
        key = (max(1, min(self.columns, options.max_width)), colored)
        if key not in self._drawn:
            pixels = resampled(self.image, key[0])
            self._drawn[key] = [_colored(*pair) if colored else _shaded(*pair) for pair in pairs(pixels)]
        for line in self._drawn[key]:
            yield from line
            yield Segment.line()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the requested width, or the available one where that is less."""
        width = max(1, min(self.columns, options.max_width))
        return Measurement(width, width)


def resampled(image: Image.Image, columns: int) -> np.ndarray:
    """Return the pixels of a picture ``columns`` wide, as (height, width, 3); pixels are square, two to a
    cell.
    """
    height = max(1, round(image.height * columns / image.width))
    # Sharper than an average, and without the bright rims that Lanczos gives at so few pixels.
    smooth = image.convert("RGB").resize((columns, height), Image.Resampling.HAMMING)
    return np.asarray(smooth)


def pairs(pixels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Return rows of pixels two by two; an odd last one is alone."""
    rows = list(pixels)
    return [(rows[i], rows[i + 1] if i + 1 < len(rows) else None) for i in range(0, len(rows), 2)]


def _colored(upper: np.ndarray, lower: np.ndarray | None) -> list[Segment]:
    """Return a line of half blocks; neighbors of the same colors share a segment."""
    rows = [upper] if lower is None else [upper, lower]
    cells = [tuple(tuple(map(int, row[x])) for row in rows) for x in range(len(upper))]
    found: list[Segment] = []
    start = 0
    for x in range(1, len(cells) + 1):
        if x == len(cells) or cells[x] != cells[start]:
            colors = [Color.from_rgb(*rgb) for rgb in cells[start]]
            style = Style(color=colors[0], bgcolor=colors[1] if len(colors) > 1 else None)
            found.append(Segment(UPPER * (x - start), style))
            start = x
    return found


def _shaded(upper: np.ndarray, lower: np.ndarray | None) -> list[Segment]:
    """Return a line of characters as dense as the pixels are light."""
    both = (upper if lower is None else (upper.astype(int) + lower) // 2) @ np.array([0.299, 0.587, 0.114])
    return [Segment("".join(SHADES[min(9, int(light * len(SHADES) / 256))] for light in both))]


# --- texts -------------------------------------------------------------------------------------------------


def labeled(text: str) -> list[tuple[str, str]]:
    """Return a message, finished or not, as labels and texts, without a tag that has only begun."""
    found, label, at = [], LABELS[""], 0
    for match in TAG.finditer(text):
        found.append((label, text[at : match.start()]))
        tag = match[0].strip("</>")
        label, at = LABELS["" if match[0].startswith("</") else tag], match.end()
    found.append((label, _without_partial_tag(text[at:])))
    return [(label, part) for label, words in found if (part := printable(words).strip())]


def _without_partial_tag(text: str) -> str:
    at = text.rfind("<")
    begins = [f"<{slash}{tag}>" for tag in LABELS if tag for slash in ("", "/")]
    return text[:at] if at >= 0 and any(tag.startswith(text[at:]) for tag in begins) else text


def printable(text: str) -> str:
    """Return a text that cannot steer the terminal: control characters show as �."""
    return "".join(c if c.isprintable() or c == "\n" else " " if c == "\t" else "�" for c in text)


# --- what has happened -------------------------------------------------------------------------------------


@dataclass
class StepView:
    """A step as far as it is known."""

    number: int
    text: str = ""
    writing: bool = False
    stage: str = ""
    picture: HalfBlocks | None = None
    painted: bool = False
    size: tuple[int, int] = (0, 0)
    flow_step: int = 0
    num_steps: int = 0
    seconds: float = 0.0

    def line(self) -> str:
        """Return what was done, in a line."""
        parts = dict(labeled(self.text))
        text = parts.get("refinement") or parts.get("plan") or parts.get("inspection") or "painted"
        return " ".join(text.split())


@dataclass
class Story:
    """The state of a painting after some events; they may begin anywhere in the stream."""

    prompt: str
    steps: dict[int, StepView] = field(default_factory=dict)
    reason: str = ""
    failure: str = ""

    def add(self, event: Event) -> None:
        """Update the state by an event."""
        if isinstance(event, Finished):
            self.reason = event.reason or "end"
            return
        if isinstance(event, Failed):
            self.failure = event.message
            return
        step = self.steps.setdefault(event.step, StepView(event.step))
        if isinstance(event, TextStarted):
            step.text, step.writing = "", True
        elif isinstance(event, TextDelta):
            step.text, step.writing = step.text + event.text, True
        elif isinstance(event, TextFinished):
            step.text, step.writing = event.text, False
            step.seconds += event.seconds
        elif isinstance(event, ImageStarted):
            step.stage, step.num_steps = event.stage, event.num_steps
            step.size = (event.width, event.height)
        elif isinstance(event, ImagePreview):
            step.flow_step, step.num_steps = event.flow_step, event.num_steps
            _show(step, event.png)
        elif isinstance(event, ImageFinished):
            step.stage, step.painted = event.stage, True
            step.seconds += event.seconds
            _show(step, event.png)

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return bool(self.reason or self.failure)

    @property
    def latest(self) -> HalfBlocks | None:
        """The newest picture: the canvas under way, or the one now inspected."""
        shown = [step.picture for _, step in sorted(self.steps.items()) if step.picture is not None]
        return shown[-1] if shown else None


def _show(step: StepView, png: bytes) -> None:
    image = decode_png(png, f"the picture of step {step.number}").convert("RGB")
    step.picture, step.size = HalfBlocks(image, PICTURE), image.size


# --- how it is shown ---------------------------------------------------------------------------------------


def render_story(story: Story, width: int, height: int, moving: bool = True) -> Group:
    """Return the whole view for a console of a size; ``moving`` with a spinner while something is under
    way.
    """
    steps = [step for _, step in sorted(story.steps.items())]
    past, now = (steps, None) if story.over or not steps else (steps[:-1], steps[-1])
    room = height - _lines(story.prompt, width) - 3
    kept = past if story.over else past[-max(1, room // 4) :]  # what is over may scroll, a live view may not
    shown: list[RenderableType] = [Text(printable(story.prompt), "bold"), Text()]
    if len(kept) < len(past):
        shown.append(Text(f"… {len(past) - len(kept)} before", "dim"))
    shown += [_past_line(step, width) for step in kept]
    room -= len(kept) + (len(kept) < len(past))
    small = [step for step in past if step.painted]
    if small and (len(small) > 1 if story.over else room >= 2 * LEAST_LINES):
        shown += [Text(), thumbnails(small, width)]
        room -= THUMBNAIL // 2 + 2
    shown += [Text(), _stage(story, now, width, max(LEAST_LINES if story.over else 3, room), moving)]
    if story.failure:
        shown.append(Text(f"✗ {printable(story.failure)}", "red"))
    elif story.reason:
        seconds = sum(step.seconds for step in steps)
        shown.append(Text(f"■ ended: {printable(story.reason)} · {seconds:.1f} s", "dim"))
    return Group(*shown)


def thumbnails(steps: list[StepView], width: int) -> Table:
    """Return small pictures side by side with their numbers; the newest ones where not all have room."""
    room = max(1, width // (THUMBNAIL + 2))
    table = Table.grid(padding=(0, 2, 0, 0))
    row = [step for step in steps if step.picture is not None][-room:]
    table.add_row(*(HalfBlocks(step.picture.image, THUMBNAIL) for step in row if step.picture))
    table.add_row(*(Text(f"{step.number + 1} {step.stage}", "dim") for step in row))
    return table


def fitting(image: Image.Image, width: int, height: int) -> int:
    """Return the columns at which a picture fits into so many columns and lines."""
    return max(1, min(PICTURE, width, round(2 * height * image.width / image.height)))


def _stage(story: Story, now: StepView | None, width: int, height: int, moving: bool) -> RenderableType:
    """Return the newest picture, and beside or above it the texts under way."""
    beside = width >= SIDE_BY_SIDE
    latest, texts = story.latest, _texts(now, moving)
    picture: RenderableType = Text()
    if latest is not None:
        room = width // 2 if beside else width
        picture = HalfBlocks(latest.image, fitting(latest.image, room, height))
    if latest is None or now is None:
        return Group(picture, texts)
    if not beside:
        lines = sum(_lines(f"{label}  {words}", width) + 1 for label, words in labeled(now.text)) + 2
        return Group(texts, HalfBlocks(latest.image, fitting(latest.image, width, max(3, height - lines))))
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_row(picture, texts)
    return table


def _texts(now: StepView | None, moving: bool) -> RenderableType:
    if now is None:
        return Text()
    shown: list[RenderableType] = []
    for label, words in labeled(now.text):
        shown.append(Text.assemble((f"{label}  ", f"bold {STYLES[label]}"), words))
    doing = _doing(now)
    shown.append(Spinner("dots", Text(doing, "dim"), style="dim") if moving else Text(doing, "dim"))
    if now.stage and not now.painted and now.num_steps:
        bar = Table.grid()  # a bar alone does not end its line
        bar.add_row(ProgressBar(now.num_steps, now.flow_step, width=30))
        shown.append(bar)
    return Group(*shown)


def _doing(now: StepView) -> str:
    if now.painted:
        return f"step {now.number + 1}: painted"
    if not now.stage:
        return f"step {now.number + 1}: writing"
    flow = f", flow step {now.flow_step} of {now.num_steps}" if now.num_steps else ""
    return f"step {now.number + 1}: painting the {'refinement' if now.stage == 'refine' else now.stage}{flow}"


def _past_line(step: StepView, width: int) -> Text:
    sign = "↻" if step.stage == "refine" else "●" if step.painted else "○"
    seconds = f"  {step.seconds:.1f} s"
    line = Text.assemble((f"{sign} {step.number + 1}  ", STYLES["plan"]), step.line())
    line.truncate(max(1, width - len(seconds)), overflow="ellipsis")
    line.append(seconds, "dim")
    line.truncate(width)
    return line


def _lines(text: str, width: int) -> int:
    """Return about how many lines a text takes."""
    return -(-max(1, len(text)) // max(1, width))


def plain_lines(story: Story, event: Event) -> list[str]:
    """Return what an event adds for a reader of plain lines; the story holds it already."""
    at = f"step {event.step + 1}"
    if isinstance(event, TextFinished):
        return [f"{at} {label}: {' '.join(words.split())}" for label, words in labeled(event.text)]
    if isinstance(event, ImageFinished):
        width, height = story.steps[event.step].size
        return [f"{at} {printable(event.stage)} painted: {width}x{height}, {event.seconds:.1f} s"]
    if isinstance(event, Finished):
        return [f"ended: {printable(event.reason)}"]
    return [f"failed: {printable(event.message)}"] if isinstance(event, Failed) else []


class LiveView:
    """Shows a painting while it is painted: a context manager whose ``show`` takes the events."""

    def __init__(self, prompt: str, console: Console | None = None) -> None:
        """Show on a console; default: standard output."""
        self.story = Story(prompt)
        self.console = console or command_console()
        self._live: Live | None = None
        self._lock = Lock()  # rich renders in another thread

    def __enter__(self) -> "LiveView":
        """Begin to show."""
        if self.console.is_terminal:
            self._live = Live(
                get_renderable=self._render, console=self.console, refresh_per_second=REFRESH, transient=True
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last state on the screen, uncut."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            self.console.print(render_story(self.story, *self.console.size, moving=False))

    def show(self, event: Event) -> None:
        """Show what an event adds."""
        with self._lock:
            first = not self.story.steps
            self.story.add(event)
        if self._live is None:
            # With the first event: what cannot be printed before one would end the command.
            prompt = [f"prompt: {' '.join(printable(self.story.prompt).split())}"] if first else []
            for line in prompt + plain_lines(self.story, event):
                self._print(line)

    def _render(self) -> RenderableType:
        with self._lock:
            return render_story(self.story, *self.console.size)

    def _print(self, line: str) -> None:
        """Print a line as it is: not wrapped, not colored."""
        self.console.print(Text(line), soft_wrap=True)
