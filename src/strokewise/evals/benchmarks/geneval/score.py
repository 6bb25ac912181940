"""GenEval's score of a run: every requested picture counts, those that were not painted as wrong.

Connects runs with GenEval's rules. In the sprite world the pictures are read by its recognizer, and the score
is named "sprite GenEval" wherever it is reported: it is not comparable with published GenEval figures.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from strokewise.critics.detectors import Detector, load_detector
from strokewise.critics.geneval_rules import FaultKind, RuleFault
from strokewise.errors import ConfigError, InputError, RecordError
from strokewise.evals.benchmarks.geneval.images import PictureScore, score_picture
from strokewise.evals.benchmarks.geneval.summary import GenEvalSummary, Judged, summarize
from strokewise.evals.run_store import Run
from strokewise.io.outside import read_json_lines, read_picture
from strokewise.world.language import geneval_prompts

SCORES = "geneval.jsonl"
NOTHING_PAINTED = RuleFault(FaultKind.UNPAINTED, "nothing was painted")


class StoredVerdict(NamedTuple):
    """The stored verdict on a picture.

    correct: whether it meets its prompt.
    reason: the official scorer's wording of all faults.
    fault: the kind of the first one; None of a correct picture, and where version 0.1 stored the file.
    """

    correct: bool
    reason: str
    fault: FaultKind | None


def benchmark_name(sprite: bool) -> str:
    """Return the name of the score."""
    return "sprite GenEval" if sprite else "GenEval"


def prompt_set(run: Run) -> str:
    """Return which of GenEval's prompts a run painted: scores on rewritten ones are not comparable."""
    scored = [prompt for prompt in run.prompts if prompt.geneval]
    official = geneval_prompts()
    texts = {prompt.text for prompt in official}
    known = sum(prompt.text in texts for prompt in scored)
    if known < len(scored):
        return f"rewritten: {len(scored) - known:,} of {len(scored):,} prompts are not official ones"
    return "official" if len(scored) == len(official) else f"official: {len(scored):,} of {len(official):,}"


def detector_for(run: Run, name: str | None, device: str = "cpu") -> Detector:
    """Return the detector for a run's pictures.

    Args:
        run: whose pictures.
        name: of a detector, perhaps with its weights (mask2former:FOLDER); None: the one of the run's world.
        device: where a detector with weights computes.

    Raises:
        ConfigError: if the detector does not know the run's world, or cannot be loaded.
    """
    fitting = "sprite" if run.sprite else "mask2former"
    name = name or fitting
    if name.partition(":")[0] != fitting:
        raise ConfigError(
            f"{run.folder} holds pictures of the {run.settings['world']} world; only {fitting} fits"
        )
    return load_detector(name, device)


def score_run(run: Run, detector: Detector) -> Iterator[PictureScore]:
    """Yield the result of each picture with GenEval's metadata.

    Raises:
        InputError: if there are none, or a picture cannot be read.
    """
    entries = [entry for entry in run.entries() if run.prompts[entry.prompt].geneval]
    if not entries:
        raise InputError(f"{run.folder} holds no pictures of prompts with GenEval's metadata")
    for entry in entries:
        name, metadata = run.picture_name(entry), run.prompts[entry.prompt].metadata
        if entry.painted:
            yield score_picture(name, read_picture(run.folder / name), metadata, detector)
        else:
            yield PictureScore(name, metadata, (NOTHING_PAINTED,), {})


def summary_of(run: Run, seed: int = 0) -> GenEvalSummary | None:
    """Return the stored score; None if the run was not scored."""
    if not (run.folder / SCORES).exists():
        return None
    found = stored_verdicts(run)
    scored = [(run.prompts[one.prompt].metadata, found.get(run.picture_name(one))) for one in run.entries()]
    return summarize((Judged(metadata, one.correct) for metadata, one in scored if one is not None), seed)


def stored_verdicts(run: Run) -> dict[str, StoredVerdict]:
    """Return the stored verdict of each picture, by its name in the run; empty if the run was not scored.

    Raises:
        RecordError: if the file is damaged.
    """
    path = run.folder / SCORES
    lines = read_json_lines(path) if path.exists() else []
    try:
        return {line["filename"]: _verdict(line) for _, line in lines}
    except (KeyError, ValueError) as error:
        raise RecordError(f"{path}: not verdicts of this version: {error}; score the run again") from error


def _verdict(line: dict[str, Any]) -> StoredVerdict:
    fault = line.get("fault")
    return StoredVerdict(bool(line["correct"]), str(line["reason"]), FaultKind(fault) if fault else None)
