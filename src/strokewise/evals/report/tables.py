"""What a report of runs contains: tables, a chart, and failures by task and fault.

It reports what is stored in the runs' folders and judges no picture; what was not scored is named as such.
How it looks is decided in ``files``.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from strokewise.evals.benchmarks import compbench, free, geneval2, wise
from strokewise.evals.benchmarks.geneval.score import (
    benchmark_name,
    prompt_set,
    stored_verdicts,
    summary_of,
)
from strokewise.evals.benchmarks.geneval.summary import GenEvalSummary
from strokewise.evals.benchmarks.process import metrics as process
from strokewise.evals.benchmarks.process.run import stored_metrics
from strokewise.evals.costs import mean_cost
from strokewise.evals.intervals import shares_table
from strokewise.evals.report.chart import Point, scatter
from strokewise.evals.run_store import Run, RunEntry
from strokewise.evals.text_table import TextTable
from strokewise.world.language.geneval import GENEVAL_TAGS

COSTS = ("flow_steps", "passes", "text_tokens", "images", "questions", "seconds")
SHOWN = 4  # failures of one tag and fault
UNKNOWN_FAULT = "kind of fault not stored (score the run again)"


@dataclass(frozen=True)
class Failure:
    """A wrong picture."""

    run: Run
    entry: RunEntry
    tag: str
    fault: str
    reason: str


@dataclass
class ReportContent:
    """All that is reported.

    Attributes:
        tables: in order.
        chart: SVG; empty where no run is scored.
        failures: by tag and fault, each with how many there are and some of them.
    """

    tables: list[TextTable] = field(default_factory=list)
    chart: str = ""
    failures: list[tuple[str, int, list[Failure]]] = field(default_factory=list)


def collect(runs: Sequence[Run], seed: int = 0) -> ReportContent:
    """Return everything about some runs.

    Args:
        runs: in the order of the tables.
        seed: of the bootstrap intervals.

    Raises:
        RecordError: if a stored file is damaged.
    """
    summaries = [summary_of(run, seed) for run in runs]
    report = ReportContent()
    for sprite in (True, False):
        chosen = [
            (run, one) for run, one in zip(runs, summaries, strict=True) if run.sprite is sprite and one
        ]
        if chosen:
            report.tables.append(_geneval(benchmark_name(sprite), chosen))
    report.tables.append(_costs(runs, summaries))
    report.tables += _process(runs)
    report.tables += [table for mode in wise.TASKS for table in _wise(runs, mode)]
    report.tables += _judged(runs, seed)
    report.tables += _free(runs, seed)
    points = list(_points(runs, summaries))
    if points:
        report.chart = scatter(points, "network passes a picture", "share of right pictures")
    report.failures = _failures(runs)
    return report


# --- tables -----------------------------------------------------------------------------------------------


def _names(runs: Sequence[Run]) -> list[str]:
    """Return names of runs; of those with the same one, the folder too."""
    names = [run.name for run in runs]
    return [n if names.count(n) == 1 else f"{n} ({r.folder.name})" for n, r in zip(names, runs, strict=True)]


def _geneval(name: str, chosen: Sequence[tuple[Run, GenEvalSummary]]) -> TextTable:
    lines = []
    for label, (run, summary) in zip(_names([run for run, _ in chosen]), chosen, strict=True):
        cells = [str(summary.tags[tag].score) if tag in summary.tags else "–" for tag in GENEVAL_TAGS]
        overall = str(summary.overall) + ("" if summary.complete else f" of {len(summary.tags)} tasks")
        pictures = sum(one.pictures for one in summary.tags.values())
        lines.append([label, prompt_set(run), *cells, overall, f"{pictures:,} of {run.expected:,}"])
    note = "Scores with 95 % intervals from resampling prompts."
    if name != "GenEval":
        note += " Scored by the sprite world's recognizer: not comparable with published GenEval figures."
    head = ["run", "prompts", *(tag.replace("_", " ") for tag in GENEVAL_TAGS), "overall", "pictures"]
    return TextTable(name, head, lines, note)


def _costs(runs: Sequence[Run], summaries: Sequence[GenEvalSummary | None]) -> TextTable:
    lines = []
    for label, run, summary in zip(_names(runs), runs, summaries, strict=True):
        entries = run.entries()
        means = mean_cost([entry.cost for entry in entries])
        overall = f"{summary.overall.value:.3f}" if summary else "not scored"
        lines.append([label, overall, f"{len(entries):,}", *(f"{means[name]:,.2f}" for name in COSTS)])
    head = ["run", "overall", "pictures", *(name.replace("_", " ") for name in COSTS)]
    return TextTable(
        "Strategies and their cost", head, lines, "Means of one picture, unchosen candidates included."
    )


def _process(runs: Sequence[Run]) -> Iterator[TextTable]:
    """Yield the process figures of all runs beside each other, then growth and complexity of each."""
    found = [(run, metrics) for run in runs if (metrics := stored_metrics(run)) is not None]
    if not found:
        return
    labels = _names([run for run, _ in found])
    columns = [dict(process.rows(metrics)) for _, metrics in found]
    names = list(dict.fromkeys(name for column in columns for name in column))
    lines = [[name, *(column.get(name, "–") for column in columns)] for name in names]
    yield TextTable("The process", ["", *labels], lines)
    for label, (_, metrics) in zip(labels, found, strict=True):
        yield TextTable(f"Error growth: {label}", process.GROWTH, process.growth_rows(metrics))
        yield TextTable(f"Rounds and prompts: {label}", process.COMPLEXITY, process.complexity_rows(metrics))


def _wise(runs: Sequence[Run], mode: str) -> Iterator[TextTable]:
    for label, run in zip(_names(runs), runs, strict=True):
        found = wise.stored_score(run, mode)
        if found is not None:
            yield TextTable(f"WISE, {mode}: {label}", wise.HEAD, wise.rows(found))


def _judged(runs: Sequence[Run], seed: int) -> Iterator[TextTable]:
    for label, run in zip(_names(runs), runs, strict=True):
        if scores := geneval2.stored_scores(run):
            yield geneval2.table(scores, f"GenEval 2: {label}", seed)
        if grades := compbench.stored_scores(run):
            yield compbench.table(grades, f"T2I-CompBench++: {label}", seed)


def _free(runs: Sequence[Run], seed: int) -> Iterator[TextTable]:
    for label, run in zip(_names(runs), runs, strict=True):
        if scores := free.stored_scores(run):
            yield shares_table(f"Free prompts: {label}", "prompts", free.summarize(scores, seed))


def _points(runs: Sequence[Run], summaries: Sequence[GenEvalSummary | None]) -> Iterator[Point]:
    for label, run, summary in zip(_names(runs), runs, summaries, strict=True):
        if summary is not None:
            passes = mean_cost([entry.cost for entry in run.entries()])["passes"]
            yield Point(label, passes, *summary.overall)


# --- failures ---------------------------------------------------------------------------------------------


def _failures(runs: Sequence[Run]) -> list[tuple[str, int, list[Failure]]]:
    groups: dict[tuple[str, str], list[Failure]] = defaultdict(list)
    for run in runs:
        found = stored_verdicts(run)
        for entry in run.entries():
            verdict = found.get(run.picture_name(entry))
            if verdict is not None and not verdict.correct:
                tag, fault = run.prompts[entry.prompt].tag, verdict.fault or UNKNOWN_FAULT
                groups[tag, fault].append(Failure(run, entry, tag, fault, verdict.reason))
    order = {tag: i for i, tag in enumerate(GENEVAL_TAGS)}
    keys = sorted(groups, key=lambda key: (order.get(key[0], len(order)), -len(groups[key]), key))
    return [
        (f"{tag.replace('_', ' ')}: {fault}", len(groups[tag, fault]), _spread(groups[tag, fault]))
        for tag, fault in keys
    ]


def _spread(failures: Sequence[Failure]) -> list[Failure]:
    """Return some of them from all over the list, so that every run has its share."""
    step = max(1, len(failures) / SHOWN)
    return [failures[int(i * step)] for i in range(min(SHOWN, len(failures)))]
