"""Prompts: a whole scene as a person requests it, written in varied wording and read back.

This file knows GenEval's six templates and free compositional prompts. A prompt is a graph in a *form*: which
lead-in, which order, which relation within the list and which in a sentence after it. `write_prompt` draws a
form, and `reword_prompt` reads one, so that a prompt comes back in the words that models are trained on.
It refuses to know where on the canvas anything goes (plans say that), and does not read arbitrary English:
that is a language model's work, and `parse_prompt` says with a LanguageError when a text is beyond it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from strokewise.errors import LanguageError, SceneError
from strokewise.scene_graph import INVERSE, Relation, SceneGraph
from strokewise.world.language import english as en
from strokewise.world.language.builder import GraphBuilder
from strokewise.world.language.reader import Noun, Reader
from strokewise.world.language.synonyms import CONJUNCTIONS, HOLDING, PICTURES, POLITE, REQUESTS

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
# What a lead-in becomes that is not among them.
_PLAIN_OPENER = "a photo of"
_INLINE_CHANCE = 0.6
_INVERSE_CHANCE = 0.3
_LONG_CHANCE = 0.3
# Where a background is stated: after the list, after it and a comma, in a sentence of its own.
_BACKGROUND_FORMS = ("on", "with", "sentence")


@dataclass(frozen=True)
class _Clause:
    """A thing by its id, perhaps with the words of a relation and the id of the thing it stands beside."""

    subject: str
    words: str = ""
    target: str = ""


@dataclass(frozen=True)
class _Form:
    """The wording of a prompt for one graph: lead-in, list of things, statements, place of the background."""

    opener: str
    items: tuple[_Clause, ...]
    statements: tuple[_Clause, ...]
    background: str = "on"


def parse_prompt(text: str) -> SceneGraph:
    """Return the scene graph that a prompt requests; LanguageError saying what was not understood."""
    return _PromptReader(text).graph


def reword_prompt(text: str) -> str:
    """Return the prompt in words that `write_prompt` writes; LanguageError saying what was not understood.

    What `write_prompt` can write comes back as it is. Any other wording keeps its lead-in and its order where
    `write_prompt` has them; else it becomes "a photo of ...", which for what GenEval's templates can express
    is GenEval's wording with right plurals. Things are mentioned in the order of the text.
    """
    found = _PromptReader(text)
    return _render(found.graph, found.form or _canonical_form(found.graph, found.opener))


def write_prompt(graph: SceneGraph, rng: random.Random) -> str:
    """Return a prompt for a valid graph with at least one object, in one of many wordings.

    `parse_prompt` gives back an isomorphic graph. Raises SceneError on a graph that is not valid or has
    words the world does not know.
    """
    graph.validate()
    if not graph.objects:
        raise SceneError("a prompt needs at least one object")
    relations = [_reword(relation, rng) for relation in rng.sample(graph.relations, len(graph.relations))]
    inline, later = _choose_inline(relations, rng)
    inlined = [_clause(relation, rng) for relation in inline]
    mentioned = {name for clause in inlined for name in (clause.subject, clause.target)}
    rest = [_Clause(obj.id) for obj in graph.objects if obj.id not in mentioned]
    rng.shuffle(rest)
    items = [*rest, *inlined] if rng.random() < 0.5 else [*inlined, *rest]
    statements = [_clause(relation, rng) for relation in later]
    background = _BACKGROUND_FORMS[rng.randrange(3)] if graph.background is not None else "on"
    return _render(graph, _Form(rng.choice(OPENERS), tuple(items), tuple(statements), background))


def _reword(relation: Relation, rng: random.Random) -> Relation:
    if rng.random() < _INVERSE_CHANCE:
        return Relation(relation.target, INVERSE[relation.kind], relation.subject)
    return relation


def _choose_inline(
    relations: Sequence[Relation], rng: random.Random | None = None
) -> tuple[list[Relation], list[Relation]]:
    """Return relations stated where their subject is brought up, in order, and those stated in sentences
    after it.

    Without `rng`, all are of the first kind that can be.
    """
    inline: list[Relation] = []
    later: list[Relation] = []
    mentioned: set[str] = set()
    for relation in relations:
        if relation.subject not in mentioned and (rng is None or rng.random() < _INLINE_CHANCE):
            inline.append(relation)
            mentioned |= {relation.subject, relation.target}
        else:
            later.append(relation)
    return inline, later


def _clause(relation: Relation, rng: random.Random) -> _Clause:
    is_long = rng.random() < _LONG_CHANCE
    words = en.LONG_RELATIONS.get(relation.kind, relation.kind) if is_long else relation.kind
    return _Clause(relation.subject, words, relation.target)


def _canonical_form(graph: SceneGraph, opener: str) -> _Form:
    """Return the form with as many relations within the list as can be, near to the graph's order."""
    inline, later = _choose_inline(graph.relations)
    inlined, statements = ([_Clause(r.subject, r.kind, r.target) for r in some] for some in (inline, later))
    mentioned = {name for clause in inlined for name in (clause.subject, clause.target)}
    rest = [_Clause(obj.id) for obj in graph.objects if obj.id not in mentioned]
    is_first = bool(rest) and rest[0].subject == graph.objects[0].id
    return _Form(opener, tuple([*rest, *inlined] if is_first else [*inlined, *rest]), tuple(statements))


def _render(graph: SceneGraph, form: _Form) -> str:
    things = {obj.id: obj.thing for obj in graph.objects}
    mentioned: set[str] = set()
    items: list[str] = []
    for clause in form.items:
        text = en.indefinite(things[clause.subject])
        if clause.target:
            write = en.definite if clause.target in mentioned else en.indefinite
            text += f" {clause.words} {write(things[clause.target])}"
        items.append(text)
        mentioned |= {clause.subject, clause.target}
    first = en.listing(items)
    sentences = [
        f"{en.definite(things[c.subject])} {en.is_or_are(things[c.subject])} "
        f"{c.words} {en.definite(things[c.target])}"
        for c in form.statements
    ]
    if graph.background is not None:
        phrase = en.background_phrase(graph.background)
        if form.background == "sentence":
            sentences.append(f"the background is {graph.background}")
        else:
            first += f" on {phrase}" if form.background == "on" else f", with {phrase}"
    opener = form.opener
    if opener in ("there is", "there are"):
        opener = "there are" if first.startswith(tuple(en.NUMBERS)) else "there is"
    text = f"{opener} {first}".strip()
    return ". ".join([text, *sentences]) + ("." if sentences else "")


@dataclass
class _Item:
    """What was read up to a comma or an "and": a thing, or a statement about one, with its relations."""

    subject: str
    is_new: bool
    is_statement: bool = False
    clauses: list[_Clause] = field(default_factory=list)
    new_targets: int = 0


class _PromptReader:
    """A prompt as it was read.

    graph: what it requests.
    opener: its lead-in, or the plain one where it has another than OPENERS.
    form: its form; None when `write_prompt` writes no such form.
    """

    def __init__(self, text: str) -> None:
        """Read all of the text; LanguageError saying what was not understood."""
        self._reader = Reader(text)
        self._builder = GraphBuilder()
        self._sentences: list[list[_Item]] = []
        self._is_regular = True
        self._background = ""
        self.opener = self._read_opener()
        while True:
            self._read_sentence()
            if self._reader.done or not self._reader.accept(".", ";", "!"):
                break
            self._is_regular &= self._read_opener() == ""
        self._reader.end()
        if not self._builder.objects:
            raise LanguageError(
                "the prompt names nothing to paint; name at least one thing, such as 'a red bus'"
            )
        self.graph = self._builder.graph()
        self.form = self._find_form()

    def _read_opener(self) -> str:
        """Read a lead-in: "please", "show me", "a picture of", each or none."""
        reader = self._reader
        start = reader.position
        reader.accept(*POLITE)
        reader.accept(*REQUESTS)
        before = reader.position
        reader.accept("a", "an", "the")
        if not (reader.accept(*PICTURES) and reader.accept(*HOLDING)):
            reader.position = before
        words = " ".join(reader.words[start : reader.position])
        return words if words in (*OPENERS, "there are") else _PLAIN_OPENER

    def _read_sentence(self) -> None:
        reader, builder = self._reader, self._builder
        if reader.accept("the background is"):
            reader.accept("a", "an", "the")
            builder.set_background(reader.background_name())
            reader.accept("background")
            self._is_regular &= not self._background and bool(self._sentences) and reader.done
            self._background = "sentence"
            return
        items: list[_Item] = []
        self._sentences.append(items)
        while True:
            if not self._read_background():
                # The writer ends the list with the background.
                self._is_regular &= not self._background or len(self._sentences) > 1
                items.append(self._read_item())
                self._read_background()
            if reader.done or not reader.accept(*CONJUNCTIONS):
                return

    def _read_background(self) -> bool:
        is_with = self._reader.at("with")
        background = self._reader.background()
        if background is None:
            return False
        self._builder.set_background(background)
        self._is_regular &= not self._background and len(self._sentences) == 1
        self._background = "with" if is_with else "on"
        return True

    def _read_item(self) -> _Item:
        """Read "a cat left of a dog", "the cat is left of the dog and above a bus" or just "a cat"."""
        reader = self._reader
        subject, is_new = self._mention(reader.noun())
        item = _Item(subject, is_new, reader.accept("is", "are") is not None)
        must_follow = item.is_statement
        while True:
            start = reader.position
            kind = reader.relation()
            if kind is None:
                if must_follow:
                    reader.fail("left of, right of, above or below")
                return item
            words = " ".join(reader.words[start : reader.position])
            target, is_new = self._mention(reader.noun())
            self._builder.relate(subject, kind, target)
            words = words if words == en.LONG_RELATIONS.get(kind) else kind
            item.clauses.append(_Clause(subject, words, target))
            item.new_targets += is_new
            must_follow = False
            before = reader.position
            if not reader.accept(*CONJUNCTIONS):
                # "a cat left of a dog above a bus": the dog is above the bus, as the nearest noun.
                subject = target
                continue
            follows = reader.position
            if reader.relation() is None:
                reader.position = before
                return item
            reader.position = follows

    def _mention(self, noun: Noun) -> tuple[str, bool]:
        """Return the id of a thing, one already known after "the" or else a new one, and whether it is
        new.
        """
        builder = self._builder
        if noun.article == "the":
            found = builder.find(noun)
            if found is not None:
                return found, False
            if any(obj.name == noun.name for obj in builder.objects):
                return builder.refer(noun), False
        return builder.add(noun), True

    def _find_form(self) -> _Form | None:
        if not self._is_regular or not self._sentences:
            return None
        items, *statements = self._sentences
        clauses = [item.clauses[0] if item.clauses else _Clause(item.subject) for item in items]
        alone = [not clause.target for clause in clauses]
        later = [item for sentence in statements for item in sentence]
        is_written = (
            all(item.is_new and not item.is_statement and len(item.clauses) <= 1 for item in items)
            # What stands beside nothing comes in one run, first or last, and is no target in the list.
            and sum(one != other for one, other in pairwise(alone)) <= 1
            and not {c.target for c in clauses} & {c.subject for c in clauses if not c.target}
            and len(later) == len(statements)
            and all(
                item.is_statement and not item.is_new and not item.new_targets and len(item.clauses) == 1
                for item in later
            )
            and len(self.graph.relations) == alone.count(False) + len(later)
        )
        if not is_written:
            return None
        said = tuple(item.clauses[0] for item in later)
        return _Form(self.opener, tuple(clauses), said, self._background or "on")
