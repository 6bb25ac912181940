"""A report as files: Markdown, and one page with its pictures inside that fetches nothing.

Knows tables, figures and their form; what is reported is decided in ``tables``. Everything that models or
people wrote is escaped.
"""

from pathlib import Path
from typing import Any

from strokewise.evals.report.tables import Failure, ReportContent
from strokewise.io.atomic import write_text
from strokewise.io.markdown import markdown_table, plain
from strokewise.io.pages import embedded, render_template

THUMBNAIL = 160


def write_report(report: ReportContent, out: Path, title: str) -> list[Path]:
    """Write ``report.md``, ``report.html`` and the chart; files of these names are always whole ones.

    Args:
        report: what to write.
        out: folder; made if it is not there.
        title: of the page.

    Raises:
        InputError: if they cannot be written.
        RecordError: if a failure's folder is damaged.
    """
    files = {"report.md": markdown(report, title), "report.html": report_page(report, title)}
    if report.chart:
        files["chart.svg"] = report.chart
    for name, text in files.items():
        write_text(out / name, text)
    return [out / name for name in files]


def markdown(report: ReportContent, title: str) -> str:
    """Return the tables as Markdown; pictures of failures are in the page only."""
    parts = [f"# {plain(title)}"]
    for table in report.tables:
        rows = markdown_table(table.head, table.lines)
        parts.append(f"## {plain(table.title)}\n\n{rows}" + (f"\n\n{table.note}" if table.note else ""))
    if report.chart:
        parts.append("## Accuracy over cost\n\n![Accuracy over cost](chart.svg)")
    if report.failures:
        listed = "\n".join(f"- {plain(name)}: {count:,}" for name, count, _ in report.failures)
        parts.append(f"## Failures\n\n{listed}")
    return "\n\n".join(parts) + "\n"


def report_page(report: ReportContent, title: str) -> str:
    """Return the page; its pictures are inside, and it fetches nothing (``templates/report.html``)."""
    failures = [(name, count, [_shown(failure) for failure in some]) for name, count, some in report.failures]
    return render_template(
        "report.html", title=title, tables=report.tables, chart=report.chart, failures=failures
    )


def _shown(failure: Failure) -> dict[str, Any]:
    """Return a failure as its template shows it.

    Raises:
        RecordError: if its folder is damaged.
    """
    run, entry = failure.run, failure.entry
    return {
        "prompt": run.prompts[entry.prompt].text,
        "images": [embedded(image, THUMBNAIL) for image in run.trajectory(entry).images],
        "reason": failure.reason,
        "run": run.name,
        "seed": entry.seed,
    }
