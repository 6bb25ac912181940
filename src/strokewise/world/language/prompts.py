"""Prompts: a whole scene as a person asks for it, written in varied wording and read back.

This file knows GenEval's six templates and free compositional prompts. It refuses to know where on the canvas
anything goes (plans say that), and does not read arbitrary English: that is a language model's work, and
`parse_prompt` says with a LanguageError when a text is beyond it.
"""

from __future__ import annotations

import random

from strokewise.errors import LanguageError, SceneError
from strokewise.scene_graph import INVERSE, Relation, SceneGraph
from strokewise.world.language import english as en
from strokewise.world.language.builder import GraphBuilder
from strokewise.world.language.reader import Noun, Reader

OPENERS = (
    "a photo of",
    "a picture of",
    "an image of",
    "a drawing of",
    "a scene with",
    "draw",
    "show",
    "there is",
    "",
)
# Read but never written.
_OTHER_OPENERS = ("there are", "a photo with", "a picture with", "an image with", "paint", "make", "create")
_INLINE_CHANCE = 0.6
_INVERSE_CHANCE = 0.3
_LONG_CHANCE = 0.3


def parse_prompt(text: str) -> SceneGraph:
    """The scene graph a prompt asks for; LanguageError saying what was not understood."""
    reader = Reader(text)
    builder = GraphBuilder()
    while True:
        if reader.accept("the background is"):
            reader.accept("a", "an")
            builder.set_background(reader.background_name())
            reader.accept("background")
        else:
            _read_clause(reader, builder)
        if not reader.accept(".", ";") or reader.done:
            break
    reader.end()
    if not builder.objects:
        raise LanguageError("the prompt names nothing to paint; name at least one thing, such as 'a red bus'")
    return builder.graph()


def write_prompt(graph: SceneGraph, rng: random.Random) -> str:
    """A prompt for a valid graph with at least one object, in one of many wordings.

    `parse_prompt` gives back an isomorphic graph. Raises SceneError on a graph that is not valid or has
    words the world does not know.
    """
    graph.validate()
    if not graph.objects:
        raise SceneError("a prompt needs at least one object")
    relations = [_reword(relation, rng) for relation in rng.sample(graph.relations, len(graph.relations))]
    inline, later = _choose_inline(graph, relations, rng)
    first = _write_items(graph, inline, rng)
    sentences = [_statement(graph, relation, rng) for relation in later]
    if graph.background is not None:
        phrase = en.background_phrase(graph.background)
        form = rng.randrange(3)
        if form == 2:
            sentences.append(f"the background is {graph.background}")
        else:
            first += f" on {phrase}" if form == 0 else f", with {phrase}"
    opener = rng.choice(OPENERS)
    if opener == "there is" and first.startswith(tuple(en.NUMBERS)):
        opener = "there are"
    text = f"{opener} {first}".strip()
    return ". ".join([text, *sentences]) + ("." if sentences else "")


def write_geneval_prompt(graph: SceneGraph) -> str:
    """The prompt in GenEval's own words, wrong plurals and all ("a photo of two sheeps").

    Takes one or two objects, with at most one relation and no background; else SceneError.
    """
    graph.validate()
    if not 1 <= len(graph.objects) <= 2 or len(graph.relations) > 1 or graph.background is not None:
        raise SceneError("GenEval has prompts of one or two objects, at most one relation, and no background")
    if not graph.relations:
        return "a photo of " + " and ".join(_geneval_noun(obj.thing) for obj in graph.objects)
    relation = graph.relations[0]
    subject, target = graph[relation.subject], graph[relation.target]
    return f"a photo of {_geneval_noun(subject.thing)} {relation.kind} {_geneval_noun(target.thing)}"


def _geneval_noun(thing: en.Thing) -> str:
    en.check_names((thing,))
    look = f"{thing.color} {thing.name}" if thing.color else thing.name
    if thing.count == 1:
        return f"{en.article(look)} {look}"
    return f"{en.number(thing.count)} {look}{'es' if look.endswith('s') else 's'}"


def _reword(relation: Relation, rng: random.Random) -> Relation:
    if rng.random() < _INVERSE_CHANCE:
        return Relation(relation.target, INVERSE[relation.kind], relation.subject)
    return relation


def _choose_inline(
    graph: SceneGraph, relations: list[Relation], rng: random.Random
) -> tuple[list[Relation], list[Relation]]:
    """Relations told where their subject is brought up, in order, and those told in sentences after it."""
    inline: list[Relation] = []
    later: list[Relation] = []
    mentioned: set[str] = set()
    for relation in relations:
        if relation.subject not in mentioned and rng.random() < _INLINE_CHANCE:
            inline.append(relation)
            mentioned |= {relation.subject, relation.target}
        else:
            later.append(relation)
    return inline, later


def _write_items(graph: SceneGraph, inline: list[Relation], rng: random.Random) -> str:
    told: set[str] = set()
    items: list[str] = []
    for relation in inline:
        subject, target = graph[relation.subject], graph[relation.target]
        noun = en.definite(target.thing) if target.id in told else en.indefinite(target.thing)
        items.append(f"{en.indefinite(subject.thing)} {_wording(relation.kind, rng)} {noun}")
        told |= {subject.id, target.id}
    rest = [en.indefinite(obj.thing) for obj in graph.objects if obj.id not in told]
    rng.shuffle(rest)
    return en.listing([*rest, *items] if rng.random() < 0.5 else [*items, *rest])


def _statement(graph: SceneGraph, relation: Relation, rng: random.Random) -> str:
    subject, target = graph[relation.subject].thing, graph[relation.target].thing
    verb = en.is_or_are(subject)
    return f"{en.definite(subject)} {verb} {_wording(relation.kind, rng)} {en.definite(target)}"


def _wording(kind: str, rng: random.Random) -> str:
    return en.LONG_RELATIONS.get(kind, kind) if rng.random() < _LONG_CHANCE else kind


def _read_clause(reader: Reader, builder: GraphBuilder) -> None:
    """Read things with their relations and the background, up to a full stop or the end."""
    reader.accept(*_OTHER_OPENERS, *(opener for opener in OPENERS if opener))
    while True:
        background = reader.background()
        if background is None:
            _read_item(reader, builder)
            background = reader.background()
        if background is not None:
            builder.set_background(background)
        if not reader.accept(", and", ",", "and"):
            return


def _read_item(reader: Reader, builder: GraphBuilder) -> None:
    """Read "a cat left of a dog", "the cat is left of the dog and above a bus" or just "a cat"."""
    subject = _mention(reader.noun(), builder)
    is_statement = reader.accept("is", "are")
    while True:
        kind = reader.relation()
        if kind is None:
            if is_statement:
                reader.fail("left of, right of, above or below")
            return
        target = _mention(reader.noun(), builder)
        builder.relate(subject, kind, target)
        before = reader.position
        if reader.accept(", and", ",", "and"):
            follows = reader.relation() is not None
            reader.position = before
            if not follows:
                return
            reader.accept(", and", ",", "and")
        else:
            # "a cat left of a dog above a bus": the dog is above the bus, as the nearest noun.
            subject, is_statement = target, None


def _mention(noun: Noun, builder: GraphBuilder) -> str:
    """The id of a thing: one already known after "the", else a new one."""
    if noun.article != "the":
        return builder.add(noun)
    found = builder.find(noun)
    if found is None and any(obj.name == noun.name for obj in builder.objects):
        return builder.refer(noun)
    return builder.add(noun) if found is None else found
