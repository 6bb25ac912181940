"""GenEval's scoring rules: whether the things detected in a picture are what a prompt asks for.

The rules are those of GenEval (Ghosh et al. 2023, arXiv 2310.11513, section 3) as its released scorer applies
them (github.com/djghosh13/geneval, `evaluation/evaluate_images.py`); where paper and scorer differ, the
scorer is followed. This file knows detections as values. It refuses to know who detected them (`detectors`),
where the picture lies (`evals.image_folders`), and how verdicts become a score (`evals`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, NotRequired

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from strokewise.io.schema import checked
from strokewise.scene_graph import RELATIONS
from strokewise.world.language.geneval import GENEVAL_TAGS
from strokewise.world.vocabulary import CLASSES, COLORS

if TYPE_CHECKING:
    import numpy as np

Box = tuple[float, float, float, float]

# The scorer's defaults, all of them strict bounds.
SCORE = 0.3
COUNTING_SCORE = 0.9  # a higher one where things are counted, since every false detection is fatal there
MOST = 16  # of a class, the surest ones
SHRINK = 0.1  # of the sizes of both boxes, by which the distance of their centers is shortened
SHARE = 0.5  # of the whole distance, that the shortened one must have along an axis
_NOTHING = 1e-3  # pixels: a shortened distance below this is no relation at all


@dataclass(frozen=True)
class Detection:
    """One thing that a detector found.

    name: its class, in GenEval's spelling.
    score: the detector's confidence, 0..1.
    box: (x0, y0, x1, y1) in pixels, y downward.
    color: one of the ten colors, None when it is none of them or was not named.
    mask: [height, width] bool over the whole picture, None when the detector has none.
    """

    name: str
    score: float
    box: Box
    color: str | None = None
    mask: np.ndarray | None = field(default=None, compare=False, repr=False)


class FaultKind(StrEnum):
    """How a picture differs from its prompt; the values are stored and shown in reports."""

    MISSING = "missing"
    TOO_FEW = "too few"
    TOO_MANY = "too many"
    WRONG_COLOR = "wrong color"
    WRONG_RELATION = "wrong relation"
    UNPAINTED = "nothing was painted"


class RuleFault(NamedTuple):
    """One clause that is not met, and the official scorer's wording of it."""

    kind: FaultKind
    text: str


def keep(tag: str, detections: Iterable[Detection]) -> dict[str, list[Detection]]:
    """Return the detections that the rules consider, by class, the surest first.

    Those above SCORE (COUNTING_SCORE for the tag "counting"), at most MOST of a class. Boxes that overlap are
    all kept, as the scorer does by default.
    """
    least = COUNTING_SCORE if tag == "counting" else SCORE
    groups: dict[str, list[Detection]] = {}
    for detection in sorted(detections, key=lambda one: -one.score):
        if detection.score > least:
            groups.setdefault(detection.name, []).append(detection)
    return {name: group[:MOST] for name, group in groups.items()}


def needing_color(metadata: Mapping[str, Any], detections: Iterable[Detection]) -> list[Detection]:
    """Return the detections whose color decides the verdict: what a detector that names colors at a cost must
    name.

    Args:
        metadata: as for `evaluate`.
        detections: all that were detected.

    Raises:
        RecordError: if the metadata are not GenEval's.
    """
    check_metadata(metadata)
    kept = keep(metadata["tag"], detections)
    wanted = []
    for clause in metadata["include"]:
        group = kept.get(clause["class"], [])
        if "color" in clause and len(group) >= clause["count"]:
            wanted += group[: clause["count"]]
    return wanted


def find_faults(metadata: Mapping[str, Any], detections: Iterable[Detection]) -> list[RuleFault]:
    """Return where the detections differ from what the metadata require; empty for a correct picture.

    Every clause of `include` must be met by the `count` detections of its class with the highest scores: they
    must exist, have its color, and each stand in the stated relation to each thing of the clause it points
    at, which must itself be met. Of a class in `exclude` there must be fewer than its count; together they
    require exact numbers.

    Args:
        metadata: a line of GenEval's prompt file: tag, include, and exclude where there is one.
        detections: all that were detected, in any order; with colors where `needing_color` names them.

    Raises:
        RecordError: if the metadata are not GenEval's.
    """
    check_metadata(metadata)
    kept = keep(metadata["tag"], detections)
    faults: list[RuleFault] = []
    met: list[list[Detection] | None] = []
    for clause in metadata["include"]:
        chosen = kept.get(clause["class"], [])[: clause["count"]]
        fault = _fault(clause, chosen, met)
        met.append(None if fault else chosen)
        faults += [fault] if fault else []
    for clause in metadata.get("exclude", ()):
        name, count = clause["class"], len(kept.get(clause["class"], []))
        if count >= clause["count"]:
            faults.append(RuleFault(FaultKind.TOO_MANY, f"expected {name}<{clause['count']}, found {count}"))
    return faults


def relations(first: Box, second: Box) -> list[str]:
    """Return how the first box stands to the second: none, one, or a horizontal and a vertical relation.

    The offset of the centers is shortened on each axis by SHRINK of both boxes' sizes and divided by its
    unshortened length; a relation holds beyond SHARE. Computed apart from the layout of the sprite world, in
    the scorer's order of operations: what places the things must not be what judges their places.
    """
    offsets = [(first[i] + first[i + 2]) / 2 - (second[i] + second[i + 2]) / 2 for i in (0, 1)]
    shortened = []
    for axis, offset in enumerate(offsets):
        sizes = abs(first[axis + 2] - first[axis]) + abs(second[axis + 2] - second[axis])
        shortened.append(math.copysign(max(abs(offset) - SHRINK * sizes, 0.0), offset))
    if all(abs(part) < _NOTHING for part in shortened):
        return []
    length = math.sqrt(sum(offset * offset for offset in offsets))
    x, y = (part / length for part in shortened)
    holding = {"left of": x < -SHARE, "right of": x > SHARE, "above": y < -SHARE, "below": y > SHARE}
    return [name for name in RELATIONS if holding[name]]


def check_metadata(metadata: Mapping[str, Any], where: object = "GenEval metadata") -> None:
    """Refuse metadata that the rules cannot judge, so that no picture is blamed for them.

    Raises:
        RecordError: unless they have the form of GenEval's prompt file, and its words for tasks, classes,
            colors and relations; it names ``where`` and each wrong field.
    """
    checked(_Metadata, metadata, where, extra="ignore")


def _one_of(kind: str, known: Sequence[str]) -> AfterValidator:
    """Return words of a list; others with the nearest one of it."""

    def check(word: str) -> str:
        if word not in known:
            near = get_close_matches(word, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ValueError(f"GenEval's rules know no {kind} {word!r}; {hint}")
        return word

    return AfterValidator(check)


_Count = Annotated[int, Field(ge=0)]
_Relation = Annotated[str, _one_of("relation", RELATIONS)]
# Functional, since "class" is a keyword. A position is a relation and the index of an earlier clause.
_Clause = TypedDict(
    "_Clause",
    {
        "class": Annotated[str, _one_of("class", CLASSES)],
        "count": _Count,
        "color": NotRequired[Annotated[str, _one_of("color", COLORS)]],
        "position": NotRequired[tuple[_Relation, _Count]],
    },
)


def _pointing_back(clauses: list[_Clause]) -> list[_Clause]:
    for index, clause in enumerate(clauses):
        if "position" in clause and clause["position"][1] >= index:
            raise ValueError(
                f"clause {index} is placed by clause {clause['position'][1]}, which is not before it"
            )
    return clauses


class _Metadata(TypedDict):
    """A line of GenEval's prompt file, as far as the rules read it."""

    tag: Annotated[str, _one_of("task (tag)", GENEVAL_TAGS)]
    include: Annotated[list[_Clause], AfterValidator(_pointing_back)]
    exclude: NotRequired[list[_Clause]]


def _fault(
    clause: Mapping[str, Any], chosen: Sequence[Detection], met: Sequence[Sequence[Detection] | None]
) -> RuleFault | None:
    """Return the first thing that is wrong with the detections chosen for a clause."""
    name, count = clause["class"], clause["count"]
    if len(chosen) < count:
        kind = FaultKind.TOO_FEW if chosen else FaultKind.MISSING
        return RuleFault(kind, f"expected {name}>={count}, found {len(chosen)}")
    colors = [one.color for one in chosen]
    if "color" in clause and (fitting := colors.count(clause["color"])) < count:
        seen = ", ".join(f"{colors.count(color)} {color}" for color in COLORS if color in colors)
        wanted = clause["color"]
        text = f"expected {wanted} {name}>={count}, found {fitting} {wanted}; and {seen}"
        return RuleFault(FaultKind.WRONG_COLOR, text)
    if "position" in clause:
        relation, target = clause["position"]
        return _position_fault(name, relation, chosen, met[target])
    return None


def _position_fault(
    name: str, wanted: str, chosen: Sequence[Detection], target: Sequence[Detection] | None
) -> RuleFault | None:
    if target is None:
        return RuleFault(FaultKind.WRONG_RELATION, f"no target for {name} to be {wanted}")
    for one in chosen:
        for other in target:
            seen = relations(one.box, other.box)
            if wanted not in seen:
                text = f"expected {name} {wanted} target, found {' and '.join(seen)} target"
                return RuleFault(FaultKind.WRONG_RELATION, text)
    return None
