"""Prompts, instructions and descriptions worded by a language model, each read back and compared.

The model is given the facts of a draft and a manner of its own, so that no two drafts are worded alike. A
judge then reads each text by itself; one that states other facts is requested again with the difference
named. What is not right after a few tries is rejected: a template never takes its place. This file knows
requests and tries. It refuses to know how facts are compared (``facts``) and what becomes of a draft.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Any, get_args

from strokewise.critics.judges import stated_text
from strokewise.critics.stated_facts import read_scene, read_stroke
from strokewise.critics.vlm_client import VlmClient
from strokewise.data.open_world.building import Rejected
from strokewise.data.open_world.drafts import Draft
from strokewise.data.open_world.facts import Facts
from strokewise.data.open_world.overlap import MEASURED, alike, words_of
from strokewise.data.open_world.scene import OpenObject, OpenScene
from strokewise.data.open_world.steps import Action
from strokewise.data.open_world.taxonomy import Taxonomy
from strokewise.io.outside import has_controls

if TYPE_CHECKING:
    from pydantic import BaseModel

TRIES = 3
WORDING = "wording"
LONGEST = 1_500  # characters of one text
# A taxonomy with more relations than these does not name them to who reads.
MOST_RELATIONS = 100
ACTIONS = get_args(Action)

WRITE_TASK = """\
You word the steps in which a picture is painted. You are given facts as JSON: the scene of the whole picture,
and strokes, each with what it changes and the scene after it. Write in English:
- prompt: asks for the whole picture;
- for each stroke an instruction to an image editor, which says what to do now and nothing else, and a
  description of the whole picture after it, which is understood without the other texts.
State every fact of a scene in its prompt or description (things, numbers, attributes, relations, place,
style; a photo need not be called one), and every fact of a change in its instruction. Add no other things,
numbers, attributes, relations, places or styles, and no mood, light or background. Things, attributes, places
and styles keep the words that are given, inflected as need be; sentences, verbs and order are yours. Word
instructions differently from each other, and in the manner that is asked for."""
VOICES = (
    "short and matter-of-fact",
    "as a photographer briefs an assistant",
    "as to a friend, in casual words",
    "polite, as a customer asks for it",
    "as an art director dictates it",
    "with the terseness of a caption",
    "as a teacher explains it step by step",
    "flowing, in long sentences",
    "as a novelist sets a scene, without a word that adds a fact",
    "as somebody types it into a search box",
)
ORDERS = (
    "name the place first where there is one",
    "name the place last where there is one",
    "begin with the relations",
    "begin with the things and say how they stand to each other afterwards",
    "one sentence for all",
    "one sentence for each thing",
)


@dataclass(frozen=True)
class Writer:
    """Words drafts; may be shared by threads.

    Attributes:
        client: the language model that writes.
        judge: the model that reads.
        taxonomy: of the drafts.
        measured: prompts by which models are measured, which none may be like.
    """

    client: VlmClient
    judge: VlmClient
    taxonomy: Taxonomy
    measured: tuple[str, ...] = ()

    def word(self, draft: Draft) -> Draft | Rejected:
        """Return a draft in the model's words, or why it is rejected.

        Raises:
            InputError: if one of the models refuses this draft.
            ServiceError: if one fails, or the limits are reached.
        """
        request = said = _request(draft)
        faults: list[tuple[int, str]] = []
        for _ in range(TRIES):
            texts: Any = self.client.query(WRITE_TASK, said, _answer())
            faults = list(self._faults(draft, texts))
            if not faults:
                return self._unmeasured(_worded(draft, texts))
            said = f"{request}\n{_again(texts, [fault for _, fault in faults])}"
        step, fault = faults[0]
        return Rejected(draft.number, draft.prompt, step, WORDING, fault)

    def _faults(self, draft: Draft, texts: Any) -> Iterator[tuple[int, str]]:
        """Yield what is wrong with each text, and the step it belongs to."""
        facts, known = self._facts, self._relations()
        if len(texts.strokes) != len(draft.steps):
            yield 0, f"there are {len(draft.steps)} strokes, and texts of {len(texts.strokes)}"
            return
        scenes = [(0, "prompt", texts.prompt, draft.scene)]
        for number, (step, stroke) in enumerate(zip(draft.steps, texts.strokes, strict=True)):
            found = facts.of_statement(read_stroke(self.judge, stroke.instruction, ACTIONS, known))
            if fault := facts.of_step(step.step).difference(found):
                yield number, _fault(f"instruction of stroke {number + 1}", stroke.instruction, fault)
            scenes.append((number, f"description of stroke {number + 1}", stroke.description, step.scene))
        for number, name, text, scene in scenes:
            found = facts.of_statement(read_scene(self.judge, text, known))
            if fault := facts.of_scene(scene).difference(found):
                yield number, _fault(name, text, fault)

    @cached_property
    def _facts(self) -> Facts:
        return Facts(self.taxonomy)

    def _relations(self) -> Sequence[str]:
        names = [one.name for one in self.taxonomy.relations]
        return names if len(names) <= MOST_RELATIONS else ()

    def _unmeasured(self, draft: Draft) -> Draft | Rejected:
        """Return a draft unless its new words are those of a prompt by which models are measured."""
        words = words_of(draft.prompt)
        for prompt in self.measured:
            if alike(words, words_of(prompt)):
                return Rejected(draft.number, draft.prompt, 0, MEASURED, f"it is like: {prompt}")
        return draft


def _request(draft: Draft) -> str:
    """Return the facts of a draft as JSON, and the manner in which it is worded."""
    rng = random.Random(draft.steps[0].seed)
    strokes = [
        {
            "action": one.step.action,
            "before": _thing(one.step.before),
            "after": _thing(one.step.after),
            "scene": _scene(one.scene),
        }
        for one in draft.steps
    ]
    facts = json.dumps({"scene": _scene(draft.scene), "strokes": strokes})
    return f"Facts: {facts}\nManner: {rng.choice(VOICES)}; {rng.choice(ORDERS)}."


def _scene(scene: OpenScene) -> dict[str, Any]:
    return {
        "things": [_thing(one) for one in scene.objects],
        "relations": [f"{one.subject} {one.name} {one.target}" for one in scene.relations],
        "place": scene.place or None,
        "style": scene.style,
    }


def _thing(one: OpenObject | None) -> dict[str, Any] | None:
    """Return a thing as JSON values; None where there is none."""
    if one is None:
        return None
    return {"name": one.name, "count": one.count, "attributes": [*one.attributes.values()]}


def _fault(name: str, text: str, fault: str) -> str:
    return f"the {name} ({text!r}): {fault}"


def _again(texts: Any, faults: Sequence[str]) -> str:
    """Return what is asked for after texts that were not right."""
    wrong = "\n".join(f"- {fault}" for fault in faults)
    return (
        f"You wrote: {texts.model_dump_json()}\nRead back, this does not agree with the facts:\n{wrong}\n"
        "Correct these texts and keep the others."
    )


def _worded(draft: Draft, texts: Any) -> Draft:
    """Return a draft with other texts."""
    pairs = zip(draft.steps, texts.strokes, strict=True)
    steps = tuple(replace(one, instruction=t.instruction, description=t.description) for one, t in pairs)
    return replace(draft, prompt=texts.prompt, steps=steps)


def _one_line(text: str) -> str:
    line = " ".join(stated_text(text).split())
    if has_controls(line):
        raise ValueError("a text without control characters is expected")
    return line


@cache
def _answer() -> "type[BaseModel]":
    """Return the schema of an answer; made when it is first needed, because pydantic takes its time."""
    from pydantic import AfterValidator, ConfigDict, Field, create_model

    strict = ConfigDict(extra="forbid")
    text: Any = (Annotated[str, Field(max_length=LONGEST), AfterValidator(_one_line)], ...)
    stroke = create_model("Stroke", __config__=strict, instruction=text, description=text)
    strokes: Any = (list[stroke], ...)  # type: ignore[valid-type]
    return create_model("Wording", __config__=strict, prompt=text, strokes=strokes)
