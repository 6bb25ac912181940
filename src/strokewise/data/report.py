"""A data set to look at: the figures of the paper's dataset table, and a page with pictures.

Knows records; it prints and writes, and decides nothing.
"""

import base64
import html
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from strokewise.data.records import Record
from strokewise.io.atomic import write_text
from strokewise.trajectory.files import encode_png

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;
  color:#222;background:#faf9f7}
article{background:#fff;border:1px solid #e4e0da;border-radius:12px;padding:1rem 1.25rem;margin:1rem 0}
h2{font-size:1.05rem;margin:.1rem 0 .6rem}h2 small{font-weight:400;color:#887}
.steps{display:flex;flex-wrap:wrap;gap:1rem}.step{width:13.5rem;font-size:.84rem}
img{width:100%;border-radius:8px;border:1px solid #e4e0da;image-rendering:auto}
.tag{font-weight:600;color:#7a5c2e}.refine{color:#a33c2f}.ok{color:#3b7a4b}p{margin:.3rem 0}
"""


@dataclass
class Figures:
    """Counts over a data set."""

    records: int = 0
    images: int = 0
    most_images: int = 0
    prompt_words: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)

    def add(self, record: Record) -> None:
        """Count one record."""
        images = len(record.trajectory.images)
        self.records += 1
        self.images += images
        self.most_images = max(self.most_images, images)
        self.prompt_words += len(record.trajectory.prompt.split())
        self.labels[record.label] += 1
        self.lengths[images] += 1
        if record.fault:
            self.faults[record.fault] += 1

    def rows(self) -> list[tuple[str, str]]:
        """The figures for a table."""
        lengths = ", ".join(f"{n}: {count:,}" for n, count in sorted(self.lengths.items()))
        return [
            ("records", f"{self.records:,}"),
            *((f"  {label}", f"{count:,}") for label, count in sorted(self.labels.items())),
            ("words in a prompt, average", f"{self.prompt_words / max(1, self.records):.1f}"),
            ("images, average", f"{self.images / max(1, self.records):.2f}"),
            ("images, most", str(self.most_images)),
            ("records by number of images", lengths),
            *((f"  fault: {name}", f"{count:,}") for name, count in self.faults.most_common()),
        ]


def write_page(records: Iterable[Record], path: Path, title: str) -> None:
    """A self-contained page of records."""
    body = "\n".join(_article(record) for record in records)
    head = f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    write_text(path, f"{head}<h1>{html.escape(title)}</h1>\n{body}\n")


def _article(record: Record) -> str:
    trajectory = record.trajectory
    label = html.escape(", ".join(filter(None, [record.label, record.fault])))
    steps = []
    for step in trajectory.steps:
        message, parts = step.message, []
        if step.image is not None:
            parts.append(_picture(encode_png(step.image)))
        for kind, text in (("refine", message.refine), ("ins", message.ins), ("des", message.des)):
            if text is not None:
                parts.append(f'<p><span class="tag {kind}">{kind}</span> {html.escape(text)}</p>')
        if message.inspect:
            ok = "ok" if step.verdict is None or step.verdict.accepted else "refine"
            parts.insert(
                0, f'<p class="{ok}"><span class="tag">inspect</span> {html.escape(message.inspect)}</p>'
            )
        steps.append(f'<div class="step">{"".join(parts)}</div>')
    source = "" if trajectory.source is None else _picture(encode_png(trajectory.source))
    return (
        f"<article><h2>{html.escape(trajectory.prompt)} <small>{label}</small></h2>"
        f'{source}<div class="steps">{"".join(steps)}</div></article>'
    )


def _picture(png: bytes) -> str:
    return f'<img alt="canvas" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
