"""The bodies of requests to our own routes, with examples for the OpenAPI document."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from strokewise.serve.values import CanvasThing, Name, Options, Seed, Strict, Text, Until
from strokewise.trajectory.values import Verdict

Picture = Annotated[
    str,
    StringConstraints(max_length=48 << 20),
    Field(description="base64 of a PNG, JPEG or WebP file; a data: URL is fine", examples=["iVBORw0KGgo…"]),
]


class NewSession(Strict):
    """A painting that is requested."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"prompt": "a red apple left of a blue bus", "seed": 7, "options": {"steps": 8}}
        }
    )
    prompt: Text = Field(description="what to paint")
    image: Picture | None = Field(default=None, description="a picture to edit")
    seed: Seed = 0
    options: Options = Options()
    name: Name = ""
    instruct: Annotated[list[Text], Field(max_length=32)] = Field(
        default_factory=list, description="instructions of the next strokes; then the model plans for itself"
    )
    until: Until = Field(default="end", description="where it pauses by itself")
    any_prompt: bool = Field(
        default=False, description="feed the prompt untouched, outside the vocabulary, too"
    )
    kept: bool = Field(
        default=True, description="false: it is deleted when there is no more room for newer sessions"
    )


class Resume(Strict):
    """Where and how to resume."""

    model_config = ConfigDict(json_schema_extra={"example": {"node": 2, "seed": 5, "until": "stage"}})
    node: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="branch here; null is before the first step; absent: at the head"
    )
    until: Until = "end"
    instruction: Text | None = Field(default=None, description="the next stroke in plain words")
    seed: Seed | None = Field(default=None, description="of everything from here on")


class EditedMessage(Strict):
    """Parts of a message; absent ones stay, null removes."""

    inspect: Text | None = None
    refine: Text | None = None
    ins: Text | None = None
    des: Text | None = None


class EditedVerdict(Strict):
    """Whether plan and sketch are right; null: not judged."""

    plan: bool | None = None
    sketch: bool | None = None

    def value(self) -> Verdict:
        """Return the same as trajectories have it."""
        return Verdict(self.plan, self.sketch)


class Edit(Strict):
    """What to replace in a copy of a node."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"message": {"ins": "add a green dog on the left"}, "until": "canvas"}}
    )
    message: EditedMessage | None = None
    verdict: EditedVerdict | None = Field(
        default=None, description="what the message says of the canvas before"
    )
    canvas: Picture | None = None
    run: bool = Field(default=True, description="whether painting continues from there")
    until: Until = "end"


class Naming(Strict):
    """A name, a star, or both."""

    name: Name | None = None
    star: bool | None = None


class Copying(Strict):
    """Which path to copy; absent: that to the head."""

    node: Annotated[int, Field(ge=0)] | None = None


class Login(Strict):
    """The key, typed by a person."""

    key: Text


class PromptQuery(Strict):
    """A prompt to read as the model would."""

    model_config = ConfigDict(json_schema_extra={"example": {"prompt": "two green dogs"}})
    prompt: Text
    instruct: Annotated[list[Text], Field(max_length=32)] = Field(default_factory=list)
    editing: bool = False


class RecognizeQuery(Strict):
    """A picture, or the canvas of a node."""

    image: Picture | None = None
    session: Name | None = None
    node: Annotated[int, Field(ge=0)] | None = None


class RenderQuery(Strict):
    """Things to draw, the last one on top."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"things": [{"name": "apple", "color": "red", "box": [0.1, 0.4, 0.35, 0.65]}]}
        }
    )
    things: Annotated[list[CanvasThing], Field(max_length=64)]
    background: Name = "white"
    size: Annotated[int, Field(ge=64, le=1024)] = 128


class RecordQuery(Strict):
    """What a node is an example of."""

    subset: Literal["conflict", "alignment"] | None = None
    accept: bool = Field(default=False, description="whether the canvas and its plan are right as they are")
