"""GenEval's score of a run: every picture that was asked for counts, those never painted as wrong.

Ties runs to GenEval's rules. In the sprite world the pictures are looked at by its recogniser, and the score
is named "sprite GenEval" wherever it is told: it is not comparable with published GenEval figures.
"""

from collections.abc import Iterator

from strokewise.critics.detectors import Detector, load_detector
from strokewise.errors import ConfigError, InputError
from strokewise.evals.benchmarks.geneval.images import Result, score_picture
from strokewise.evals.benchmarks.geneval.summary import Judged, Summary, summarise
from strokewise.evals.run_store import Run
from strokewise.io.outside import read_json_lines, read_picture
from strokewise.world.language import geneval_prompts

SCORES = "geneval.jsonl"
UNPAINTED = "nothing was painted"


def benchmark_name(sprite: bool) -> str:
    """What the score is to be called."""
    return "sprite GenEval" if sprite else "GenEval"


def prompt_set(run: Run) -> str:
    """Which of GenEval's prompts a run painted: scores on rewritten ones are not comparable."""
    asked = [prompt for prompt in run.prompts if prompt.geneval]
    official = geneval_prompts()
    texts = {prompt.text for prompt in official}
    known = sum(prompt.text in texts for prompt in asked)
    if known < len(asked):
        return f"rewritten: {len(asked) - known:,} of {len(asked):,} prompts are not official ones"
    return "official" if len(asked) == len(official) else f"official: {len(asked):,} of {len(official):,}"


def detector_for(run: Run, name: str | None, device: str = "cpu") -> Detector:
    """The detector for a run's pictures.

    Args:
        run: whose pictures.
        name: of a detector; None: the one of the run's world.
        device: where a detector with weights computes.

    Raises:
        ConfigError: if the detector does not know the run's world, or cannot be loaded.
    """
    own = "sprite" if run.sprite else "mask2former"
    if name not in (None, own):
        raise ConfigError(
            f"{run.folder} holds pictures of the {run.settings['world']} world; only {own} fits"
        )
    return load_detector(own, device)


def score_run(run: Run, detector: Detector) -> Iterator[Result]:
    """The result of each picture with GenEval's metadata.

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
            yield Result(name, metadata, False, UNPAINTED, {})


def summary_of(run: Run, seed: int = 0) -> Summary | None:
    """The stored score; None if the run was not scored."""
    if not (run.folder / SCORES).exists():
        return None
    found = verdicts(run)
    scored = [(run.prompts[one.prompt].metadata, found.get(run.picture_name(one))) for one in run.entries()]
    return summarise((Judged(metadata, one[0]) for metadata, one in scored if one is not None), seed)


def verdicts(run: Run) -> dict[str, tuple[bool, str]]:
    """The stored verdict and reason of each picture, by its name in the run; none if it was not scored.

    Raises:
        RecordError: if the file is damaged.
    """
    path = run.folder / SCORES
    lines = read_json_lines(path) if path.exists() else []
    return {line["filename"]: (bool(line["correct"]), str(line["reason"])) for _, line in lines}


def fault_kind(reason: str) -> str:
    """The kind of the first fault of a verdict, from the scorer's words."""
    first = reason.split("\n", 1)[0]
    if first in ("", UNPAINTED):
        return first or "none"
    if " target" in first or first.startswith("no target"):
        return "wrong relation"
    if "<" in first:
        return "too many"
    if "; and" in first:
        return "wrong color"
    return "missing" if first.endswith("found 0") else "too few"
