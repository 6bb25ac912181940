"""Scoring pictures by GenEval: detect, name the colors that matter, judge, record.

Results are stored in the official harness's format, so that its `summary_scores.py` reads them. This file
connects folders, a detector and the rules; it refuses to know how any of them works.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from strokewise.critics.detectors import Detector
from strokewise.critics.geneval_rules import Detection, FaultKind, RuleFault, find_faults, keep, needing_color
from strokewise.errors import InputError
from strokewise.evals.image_folders import LabeledPicture
from strokewise.io.atomic import write_text
from strokewise.io.outside import read_picture


class PictureScore(NamedTuple):
    """How one picture was scored.

    filename: what the picture is known by.
    metadata: GenEval's of its prompt.
    faults: where it differs from the prompt; none: it is correct.
    found: the detections that the rules considered, by class.
    """

    filename: str
    metadata: dict[str, Any]
    faults: tuple[RuleFault, ...]
    found: dict[str, list[Detection]]

    @property
    def correct(self) -> bool:
        """Whether the picture meets its prompt."""
        return not self.faults

    @property
    def fault(self) -> FaultKind | None:
        """The kind of the first fault."""
        return self.faults[0].kind if self.faults else None

    def record(self) -> dict[str, Any]:
        """Return the row that the official harness writes (metadata and details are JSON within JSON), plus
        ``fault``.
        """
        details = {
            name: [[*one.box, one.score] for one in detections] for name, detections in self.found.items()
        }
        return {
            "filename": self.filename,
            "tag": self.metadata["tag"],
            "prompt": self.metadata["prompt"],
            "correct": self.correct,
            "reason": "\n".join(fault.text for fault in self.faults),
            "fault": self.fault,
            "metadata": json.dumps(self.metadata),
            "details": json.dumps(details),
        }


def score_picture(
    filename: str, image: Image.Image, metadata: dict[str, Any], detector: Detector
) -> PictureScore:
    """Score one picture.

    Args:
        filename: names the result.
        image: an RGB picture.
        metadata: GenEval's of the prompt, with tag, prompt, include, and exclude where there is one.
        detector: finds things and names colors.

    Raises:
        RecordError: if the metadata are not GenEval's.
        InputError: if the detector cannot use the picture.
    """
    detections = detector.detect(image)
    uncolored = needing_color(metadata, detections)
    colors = dict(zip(map(id, uncolored), detector.name_colors(image, uncolored), strict=True))
    # Without their masks: those of a whole benchmark would not fit in memory.
    detections = [replace(one, color=colors.get(id(one), one.color), mask=None) for one in detections]
    faults = tuple(find_faults(metadata, detections))
    return PictureScore(filename, metadata, faults, keep(metadata["tag"], detections))


def score_pictures(samples: Iterable[LabeledPicture], detector: Detector) -> Iterator[PictureScore]:
    """Score pictures one by one; errors as of `score_picture`, naming the file."""
    for sample in samples:
        image = read_picture(sample.path)
        try:
            yield score_picture(str(sample.path), image, sample.metadata, detector)
        except InputError as error:
            raise type(error)(f"{sample.path}: {error}") from error


def write_results(results: Iterable[PictureScore], path: Path) -> None:
    """Write results, one JSON object a line; a file of that name is always a whole one."""
    write_text(path, "".join(json.dumps(result.record()) + "\n" for result in results))
