"""A trajectory as a page to look at: one file of HTML with its pictures inside, which fetches nothing.

Knows trajectories, HTML and how to compare two pictures. It refuses to know what the texts mean, where
verdicts come from and who opens the page; everything written by a model or a person is escaped.
"""

import base64
import html
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from strokewise.errors import RecordError
from strokewise.io.atomic import write_text
from strokewise.trajectory.files import encode_png
from strokewise.trajectory.values import Step, Trajectory, Verdict

HERO, CANVAS, SMALL = 1024, 640, 192  # pixels of the longer side a picture is stored with, at most
LEAST_CHANGE = 24  # of 255 in any channel; below it two canvases differ only by the noise of their decoding
FADED = 80  # opacity of what did not change: grey on either a light or a dark page
OUTLINE = (226, 106, 44, 255)
STOPS = {
    "end": "The model found the picture complete and ended.",
    "rounds": "The allowed number of rounds was reached.",
    "images": "The allowed number of canvases was reached.",
    "tokens": "A message grew longer than allowed.",
    "context": "The sequence filled what the model can attend to.",
    "interrupted": "It was interrupted.",
    "single-pass": "It was painted in a single pass.",
    "excerpt": "What came after is left out.",
}
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
:root{color-scheme:light dark;--paper:#f6f3ee;--card:#fffdfa;--edge:#e3dcd1;--ink:#2a2520;--soft:#6f665b;
--good:#1f6f43;--good-bg:#e2f1e7;--plan:#8a5300;--plan-bg:#fbecd0;--bad:#a3301f;--bad-bg:#fae3de}
@media(prefers-color-scheme:dark){:root{--paper:#171513;--card:#211e1b;--edge:#38332d;--ink:#ece6dd;
--soft:#a59a8c;--good:#8fd6a9;--good-bg:#1d3527;--plan:#f0c074;--plan-bg:#3c2e14;--bad:#f3a497;--bad-bg:#43211b}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:62rem;margin:0 auto;padding:2rem 1rem 3rem}
header{text-align:center;margin-bottom:2.5rem}
h1{font:600 clamp(1.35rem,4.5vw,2.1rem)/1.3 Georgia,"Iowan Old Style","DejaVu Serif",serif;max-width:46rem;
margin:0 auto 1.5rem;text-wrap:balance;overflow-wrap:anywhere}
h2{font-size:1.05rem;margin:0;display:flex;gap:.6rem;align-items:baseline;flex-wrap:wrap}
h2 small{font-weight:400;color:var(--soft);font-size:.85rem;margin-left:auto}
img{display:block;max-width:100%;height:auto;border-radius:10px;image-rendering:auto}
.hero{margin:0 auto;box-shadow:0 1px 3px #0002,0 12px 32px #0002}
.strip{display:flex;gap:.5rem;justify-content:center;flex-wrap:wrap;margin-top:1.25rem}
.strip a{color:var(--soft);text-decoration:none;font-size:.78rem;border-radius:8px}
.strip img{width:4.25rem;border-radius:7px;border:2px solid var(--edge)}
.strip a:hover img,.strip a:focus-visible img{border-color:var(--ink)}
.strip .flawed img{border-style:dashed;border-color:var(--bad)}
.round{background:var(--card);border:1px solid var(--edge);border-radius:16px;padding:1.1rem 1.25rem 1.25rem;
margin:0 0 1.25rem;scroll-margin-top:1rem}
.body{display:grid;grid-template-columns:minmax(0,22rem) minmax(0,1fr);gap:1.5rem;margin-top:.9rem}
.body>figure>img{width:100%}
figure{margin:0}figcaption{color:var(--soft);font-size:.82rem;margin-top:.3rem}
p{margin:0 0 .7rem;overflow-wrap:anywhere;white-space:pre-line}
.label{display:block;font-size:.74rem;letter-spacing:.05em;text-transform:uppercase;font-weight:400;color:var(--soft)}
.ins{font-weight:600}.des{color:var(--soft)}.empty{color:var(--soft);font-style:italic}
.correction{border-left:3px solid var(--plan);padding-left:.75rem}
.verdict{border-top:1px solid var(--edge);padding-top:.8rem;margin-top:1rem}
.mark{display:inline-block;border-radius:99px;padding:.08rem .65rem;margin:0 .4rem .4rem 0;font-size:.84rem;
font-weight:600;border:1px solid currentColor}
.accepted{color:var(--good);background:var(--good-bg)}.plan{color:var(--plan);background:var(--plan-bg)}
.sketch{color:var(--bad);background:var(--bad-bg)}.unjudged{color:var(--soft)}
.changed{display:flex;gap:.9rem;align-items:flex-end}.changed img{width:9rem;border:1px solid var(--edge)}
footer{color:var(--soft);text-align:center;margin-top:2rem;font-size:.92rem}
@media(max-width:44rem){main{padding-top:1.25rem}.body{grid-template-columns:1fr;gap:1rem}}
@media print{.round{break-inside:avoid}.strip{display:none}}
"""


# --- what is shown -----------------------------------------------------------------------------------------


@dataclass
class Round:
    """A canvas on the page: the step that painted it, the picture before it, and what was then said of it."""

    name: str
    step: Step
    before: Image.Image | None = None
    inspections: list[Step] = field(default_factory=list)

    @property
    def flawed(self) -> bool:
        """Whether a fault was found in it."""
        return any(step.verdict is not None and not step.verdict.accepted for step in self.inspections)


def rounds(trajectory: Trajectory) -> list[Round]:
    """The canvases and unpainted plans with their inspections; nothing said is lost, in whatever order."""
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
    """What changed, in its color and outlined, with all else faded to grey; and the changed share of it all.

    A margin is kept around each change, a pixel for each 128 of the picture, so that small ones are seen. The
    outline, as wide, shows where something was taken away.
    """
    new = after.convert("RGB")
    old = before.convert("RGB").resize(new.size, Image.Resampling.BICUBIC)
    apart = np.abs(np.asarray(new, np.int16) - np.asarray(old, np.int16)).max(axis=2) >= LEAST_CHANGE
    margin = 2 * -(-max(new.size) // 128) + 1
    kept = Image.fromarray(apart.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(margin))
    around = kept.filter(ImageFilter.MaxFilter(margin))
    grey = new.convert("L").convert("RGBA")
    grey.putalpha(FADED)
    grey.paste(OUTLINE, mask=around)
    return Image.composite(new.convert("RGBA"), grey, kept), float(apart.mean())


def marks(verdict: Verdict | None) -> list[tuple[str, str]]:
    """A verdict as (class, words) of marks; readable without color."""
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
    """The page of a trajectory."""
    shown = rounds(trajectory)
    title = html.escape(trajectory.prompt.strip() or "Untitled")
    cards = "\n".join(_card(number, one) for number, one in enumerate(shown, 1))
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<header>\n<h1>{title}</h1>\n{_hero(trajectory)}{_strip(trajectory, shown)}</header>\n"
        f"{cards}\n{_footer(trajectory)}</main>\n</body>\n</html>\n"
    )


def _hero(trajectory: Trajectory) -> str:
    """The final picture, as large as it bears."""
    if not trajectory.images:
        return '<p class="empty">Nothing was painted.</p>\n'
    final = trajectory.images[-1]
    width = max(1, min(3 * final.width, 640))
    return _picture(
        final, HERO, f"The final picture: {trajectory.prompt}", f'class="hero" style="width:{width}px"'
    )


def _strip(trajectory: Trajectory, shown: list[Round]) -> str:
    """Small pictures of the way to the final one, each a link to its round."""
    links = []
    if trajectory.source is not None:
        links.append(f"<span>{_picture(trajectory.source, SMALL, 'The picture given')}given</span>")
    for number, one in enumerate(shown, 1):
        if one.step.image is not None:
            kind = ' class="flawed"' if one.flawed else ""
            sign = "✗ " if one.flawed else ""
            small = _picture(one.step.image, SMALL, f"Go to {one.name}")
            links.append(f'<a href="#round-{number}"{kind}>{small}{sign}{number}</a>')
    return f'<nav class="strip" aria-label="Canvases">{"".join(links)}</nav>\n' if len(links) > 1 else ""


def _card(number: int, one: Round) -> str:
    step, message = one.step, one.step.message
    facts = [] if step.seconds is None else [f"{step.seconds:.1f} s"]
    facts += [] if step.seed is None else [f"seed {step.seed}"]
    told = f"<small>{' · '.join(facts)}</small>" if facts else ""
    canvas = '<p class="empty">Planned, but not painted.</p>'
    if step.image is not None:
        canvas = _picture(
            step.image, CANVAS, f"Canvas of {one.name}: {message.des or message.ins or 'no plan'}"
        )
    texts = "".join(
        [
            _told("correction", "Correction", message.refine),
            _told("ins", "Stroke", message.ins),
            _told("des", "Scene after it", message.des),
            _changed(one),
            *_verdicts(one),
        ]
    )
    return (
        f'<section class="round" id="round-{number}">\n<h2>{one.name}{told}</h2>\n'
        f'<div class="body">\n<figure>{canvas}</figure>\n<div>\n{texts}</div>\n</div>\n</section>'
    )


def _told(kind: str, label: str, text: str | None) -> str:
    if text is None:
        return ""
    words = html.escape(text) or '<span class="empty">(empty)</span>'
    return f'<p class="{kind}"><span class="label">{label}</span>{words}</p>\n'


def _changed(one: Round) -> str:
    """What this canvas changed in the picture before."""
    if one.before is None or one.step.image is None:
        return ""
    picture, share = changes(one.before, one.step.image)
    if share == 0:
        return '<p class="empty">Nothing visible changed.</p>\n'
    percent = f"{share:.0%}" if share >= 0.01 else "less than 1%"
    caption = f"{percent} of the picture changed; the rest is grey."
    small = _picture(picture, CANVAS // 2, f"What changed: {percent} of the picture")
    return f'<figure class="changed">{small}<figcaption>{caption}</figcaption></figure>\n'


def _verdicts(one: Round) -> Iterator[str]:
    for step in one.inspections:
        signs = "".join(f'<span class="mark {kind}">{words}</span>' for kind, words in marks(step.verdict))
        text = _told("inspection", "Inspection", step.message.inspect or None)
        yield f'<div class="verdict">{signs}{text}</div>\n'
    if not one.inspections and one.step.image is not None:
        yield '<div class="verdict"><span class="mark unjudged">– not inspected</span></div>\n'


def _footer(trajectory: Trajectory) -> str:
    why = STOPS.get(trajectory.stop, f"It ended with: {trajectory.stop or 'no reason given'}.")
    seconds = [step.seconds for step in trajectory.steps if step.seconds is not None]
    count = len(trajectory.images)
    facts = [
        f"{count} canvas{'' if count == 1 else 'es'}",
        f"{sum(seconds):.1f} s" if seconds else "",
        f"model {trajectory.model}" if trajectory.model else "",
        "" if trajectory.seed is None else f"seed {trajectory.seed}",
    ]
    told = html.escape(" · ".join(filter(None, facts)))
    return f"<footer><p>{html.escape(why)}</p><p>{told}</p></footer>\n"


def _picture(image: Image.Image, most: int, alt: str, more: str = "") -> str:
    """An image inside the page, scaled down where it is larger than it is shown."""
    shown = image if image.mode == "RGBA" else image.convert("RGB")
    if max(shown.size) > most:
        shown = shown.copy()
        shown.thumbnail((most, most), Image.Resampling.LANCZOS)
    data = base64.b64encode(encode_png(shown)).decode("ascii")
    size = f'width="{shown.width}" height="{shown.height}"'
    told = html.escape(alt)
    return f'<img {more} {size} alt="{told}" src="data:image/png;base64,{data}">'
