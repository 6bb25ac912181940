"""Whether a canvas of any world shows its plan, and if not, what kind of fault it has.

A data set of photographs is filtered by this: one query decides, names the kind of fault, by which rejects
are counted, and gives the correction. This file knows plans and pictures. It refuses to know what becomes of
a canvas (``data.open_world``).
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from PIL import Image

from strokewise.critics.judges import optional_text, stated_plan, stated_text
from strokewise.critics.vlm_client import VlmClient
from strokewise.trajectory.values import Message

if TYPE_CHECKING:
    from pydantic import BaseModel

FAULTS = (
    "missing thing",
    "extra thing",
    "wrong count",
    "wrong attribute",
    "wrong relation",
    "wrong place or style",
    "damaged picture",
)
CHECK_TASK = f"""\
A painter works on a picture in strokes. You are given the plan of one stroke (an instruction, and a
description of the whole scene after it) and the picture that was painted. Decide whether the picture shows
what the description says: every thing, its number, its attributes, how things stand to each other, place and
style. Small things that belong to a place are no fault; a thing that could be taken for one of the
description's is. If the picture is wrong, name the gravest fault, one of: {", ".join(FAULTS)}; and say in one
or two instructions to an image editor how to correct it. Otherwise leave fault and refine null."""


@dataclass(frozen=True)
class CanvasCheck:
    """What is found in one canvas.

    Attributes:
        shows: whether it shows its plan.
        fault: one of ``FAULTS``; None if it does.
        analysis: the reasons, in words.
        refine: how to correct it; None if nothing is wrong.
    """

    shows: bool
    fault: str | None
    analysis: str
    refine: str | None


def check_canvas(judge: VlmClient, message: Message, canvas: Image.Image) -> CanvasCheck:
    """Return whether a canvas shows the plan of the message before it.

    Raises:
        InputError: if the judge refuses to look at it.
        ServiceError: if the judge fails, or its limits are reached.
    """
    found = judge.query(CHECK_TASK, stated_plan(message), _answer(), [canvas])
    return CanvasCheck(**found.model_dump())


def _faults_go_with_verdicts(found: Any) -> Any:
    if found.shows != (found.fault is None) or found.shows != (found.refine is None):
        raise ValueError("fault and refine are given if, and only if, the picture does not show its plan")
    return found


@cache
def _answer() -> "type[BaseModel]":
    """Return the schema of an answer; made when it is first needed, because pydantic takes its time."""
    from pydantic import AfterValidator, ConfigDict, create_model, model_validator

    fault: Any = (Literal[FAULTS] | None, ...)
    checks: dict[str, Any] = {"whole": model_validator(mode="after")(_faults_go_with_verdicts)}
    return create_model(
        "CanvasCheck",
        __config__=ConfigDict(extra="forbid"),
        shows=(bool, ...),
        fault=fault,
        analysis=(Annotated[str, AfterValidator(stated_text)], ...),
        refine=(Annotated[str | None, AfterValidator(optional_text)], ...),
        __validators__=checks,
    )
