"""A report as files: Markdown, and one page with its pictures inside that fetches nothing.

Knows tables, figures and their form; what is told is settled in ``report``. Everything that models or people
wrote is escaped.
"""

import base64
import html
import io
from pathlib import Path

from PIL import Image

from strokewise.evals.report.tables import Failure, Report
from strokewise.evals.text_table import TextTable
from strokewise.io.atomic import write_text

THUMBNAIL = 160
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
STYLE = """
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif}
body{max-width:70rem;margin:0 auto;padding:1.5rem 1rem 3rem}
h1,h2,h3{line-height:1.25}table{border-collapse:collapse;margin:.5rem 0 1.5rem;font-size:.92rem}
.wide{overflow-x:auto}th,td{text-align:right;padding:.3rem .7rem;border-bottom:1px solid #8885}
th:first-child,td:first-child{text-align:left}svg{max-width:44rem;width:100%;height:auto}
.gallery{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(10rem,1fr))}
figure{margin:0}figure img{width:100%;border-radius:8px}figcaption{font-size:.82rem;overflow-wrap:anywhere}
.strip img{width:2.6rem;border-radius:4px;margin-right:.2rem}small,.note{opacity:.75}
"""


def write_report(report: Report, out: Path, title: str) -> list[Path]:
    """Write ``report.md``, ``report.html`` and the chart; files of these names are always whole ones.

    Args:
        report: what to tell.
        out: folder; made if it is not there.
        title: of the page.

    Raises:
        InputError: if they cannot be written.
        RecordError: if a failure's folder is damaged.
    """
    files = {"report.md": markdown(report, title), "report.html": page(report, title)}
    if report.chart:
        files["chart.svg"] = report.chart
    for name, text in files.items():
        write_text(out / name, text)
    return [out / name for name in files]


def markdown(report: Report, title: str) -> str:
    """The tables as Markdown; pictures of failures are in the page only."""
    parts = [f"# {_plain(title)}"]
    for table in report.tables:
        lines = [table.head, ["---"] * len(table.head), *table.lines]
        rows = "\n".join("| " + " | ".join(map(_plain, line)) + " |" for line in lines)
        parts.append(f"## {_plain(table.title)}\n\n{rows}" + (f"\n\n{table.note}" if table.note else ""))
    if report.chart:
        parts.append("## Accuracy over cost\n\n![Accuracy over cost](chart.svg)")
    if report.failures:
        told = "\n".join(f"- {_plain(name)}: {count:,}" for name, count, _ in report.failures)
        parts.append(f"## Failures\n\n{told}")
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """A text in a cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def page(report: Report, title: str) -> str:
    """The page; its pictures are inside, and it fetches nothing."""
    body = [_table(table) for table in report.tables]
    if report.chart:
        body.insert(1, f"<h2>Accuracy over cost</h2>\n{report.chart}")
    if report.failures:
        body.append("<h2>Failures</h2>")
    for name, count, some in report.failures:
        figures = "\n".join(map(_figure, some))
        body.append(
            f"<h3>{html.escape(name)} <small>{count:,}</small></h3><div class=gallery>{figures}</div>"
        )
    named = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{named}</title>\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n<style>{STYLE}</style>\n</head>\n'
        f"<body>\n<h1>{named}</h1>\n" + "\n".join(body) + "\n</body>\n</html>\n"
    )


def _table(table: TextTable) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.head)
    lines = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in line)}</tr>\n" for line in table.lines
    )
    note = f'<p class="note">{html.escape(table.note)}</p>' if table.note else ""
    shown = f"<table><thead><tr>{head}</tr></thead>\n<tbody>{lines}</tbody></table>"
    return f'<h2>{html.escape(table.title)}</h2>\n<div class="wide">{shown}</div>{note}'


def _figure(failure: Failure) -> str:
    run, entry = failure.run, failure.entry
    prompt = html.escape(run.prompts[entry.prompt].text)
    images = run.trajectory(entry).images
    shown = _picture(images[-1], THUMBNAIL, prompt) if images else "<p>nothing painted</p>"
    strip = "".join(_picture(image, THUMBNAIL // 3, "canvas") for image in images) if len(images) > 1 else ""
    facts = f"{html.escape(failure.reason)}<br>{html.escape(run.name)}, seed {entry.seed}"
    told = f"{prompt}<br><small>{facts}</small>"
    return f'<figure>{shown}<div class="strip">{strip}</div><figcaption>{told}</figcaption></figure>'


def _picture(image: Image.Image, most: int, alt: str) -> str:
    small = image.convert("RGB")
    small.thumbnail((most, most), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return (
        f'<img alt="{alt}" width="{small.width}" height="{small.height}" src="data:image/png;base64,{data}">'
    )
