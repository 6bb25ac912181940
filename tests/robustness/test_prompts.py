"""What is checked is what is fed: every accepted form of a prompt becomes the wording that was trained.

The forms are made from texts of the trained language: synonyms, digits, other plurals, case, white space,
hyphens, marks and lead-ins are put into them, and the reader has to take all of that out again.
"""

import contextlib
import random
import re
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokewise.errors import LanguageError, PromptError
from strokewise.inference.prompt_check import Vocabulary
from strokewise.scene_graph import INVERSE, RELATIONS, Relation, SceneGraph, SceneObject, Thing
from strokewise.world import language as lang
from strokewise.world.language.english import plural
from strokewise.world.language.synonyms import CLASS_SYNONYMS
from strokewise.world.vocabulary import BACKGROUNDS, CLASSES, COLORS, REGIONS

EXAMPLES = settings(max_examples=100, deadline=None)
VOCABULARY = Vocabulary(CLASSES, COLORS)
SPACES = (" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", " \u200b", "\u202f")
ENDS = ("", ".", "!", "...", "…", " .", "?", ",", ";", "\n")
LEAD_INS = (
    "photo of",
    "the photo of",
    "A Photograph of",
    "show me",
    "Show me a picture of",
    "please draw",
    "Please paint me an image with",
    "draw a picture of",
    "paint",
    "create an illustration of",
    "generate a photo containing",
    "a painting of",
    "can you make",
    "there's",
    "there're",
    "here are",
    "I'd like",
    "I\u2019d like a pic of",
)
# Phrases of the trained language with what may replace them.
OTHERS: dict[str, tuple[str, ...]] = {
    "two": ("2", "２"),
    "three": ("3", "③"),
    "four": ("4", "４"),
    "above": ("over",),
    "below": ("under", "beneath", "underneath"),
    "left of": ("left of", "on the left of", "on the left side of", "on the left-hand side of"),
    "right of": ("right of", "on the right of", "to the right side of"),
    "to the left of": ("to the left of",),
    "to the right of": ("to the right of",),
    "gray": ("grey",),
    "and": ("&", ", and", "as well as"),
}
for name in CLASSES:
    OTHERS[name] = (name, *CLASS_SYNONYMS.get(name, ()))
    naive = name + ("es" if name.endswith("s") else "s")
    OTHERS[plural(name)] = (naive, *(plural(other) for other in OTHERS[name]))
OTHERS["skis"], OTHERS["scissors"], OTHERS["sheep"] = ("skis",), ("scissors",), ("sheep",)
PHRASE = re.compile("|".join(rf"\b{phrase}\b" for phrase in sorted(OTHERS, key=len, reverse=True)))


@st.composite
def graphs(draw: st.DrawFn) -> SceneGraph:
    looks = st.tuples(st.sampled_from(CLASSES), st.none() | st.sampled_from(COLORS))
    chosen = draw(st.lists(looks, min_size=1, max_size=4, unique=True))
    objects = tuple(SceneObject(f"n{i}", n, c, draw(st.integers(1, 4))) for i, (n, c) in enumerate(chosen))
    relations = []
    for word in ("left of", "above"):
        order = draw(st.permutations([obj.id for obj in objects]))
        pairs = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
        for a, b in draw(st.lists(st.sampled_from(pairs), max_size=2, unique=True)) if pairs else []:
            relations.append(draw(st.sampled_from((Relation(a, word, b), Relation(b, INVERSE[word], a)))))
    return SceneGraph(objects, tuple(relations), draw(st.none() | st.sampled_from(BACKGROUNDS)))


@st.composite
def strokes(draw: st.DrawFn) -> lang.Stroke:
    things = st.builds(
        Thing, st.sampled_from(CLASSES), st.none() | st.sampled_from(COLORS), st.integers(1, 4)
    )
    thing = draw(things)
    kind = draw(st.sampled_from(("add", "remove", "recolor", "background")))
    if kind == "background":
        return lang.Stroke(kind, background=draw(st.sampled_from(BACKGROUNDS)))
    becomes = None
    if kind == "recolor":
        becomes = Thing(
            thing.name, draw(st.sampled_from([c for c in COLORS if c != thing.color])), thing.count
        )
    places = st.lists(st.sampled_from(REGIONS), min_size=thing.count, max_size=thing.count).map(tuple)
    relation = draw(st.none() | st.builds(lang.Beside, st.sampled_from(RELATIONS), things))
    return lang.Stroke(kind, thing, becomes, draw(st.just(()) | places), relation)


def in_another_form(text: str, rng: random.Random) -> str:
    """The text with other words for the same, in other letters, spaces and marks."""

    def replace(match: re.Match[str]) -> str:
        chosen = rng.choice(OTHERS[match[0]])
        return chosen.replace(" ", "-") if chosen in CLASSES and rng.random() < 0.3 else chosen

    text = PHRASE.sub(replace, text.removesuffix("."))
    if text.startswith("a photo of ") and rng.random() < 0.7:
        text = f"{rng.choice(LEAD_INS)} {text.removeprefix('a photo of ')}"
    text = "".join(c.upper() if c.isascii() and rng.random() < 0.3 else c for c in text)
    text = re.sub(" ", lambda _: rng.choice(SPACES), text) + rng.choice(ENDS)
    return rng.choice(("{}", " {}", '"{}"', "\u201c{}\u201d", "\ufeff{}\u00a0")).format(text)


seeds = st.integers(0, 10**9).map(random.Random)


@EXAMPLES
@given(graphs(), seeds)
def test_every_form_of_a_prompt_becomes_its_trained_form(graph, rng):
    trained = lang.write_prompt(graph, rng)
    assert lang.trained_prompt(trained) == trained
    form = in_another_form(trained, rng)
    assert lang.trained_prompt(form) == trained, form
    assert VOCABULARY.prepare(form).prompt == trained


@EXAMPLES
@given(strokes(), seeds)
def test_every_form_of_an_instruction_becomes_its_trained_form(stroke, rng):
    trained = lang.write_instruction(stroke, lang.PlainWording(0))
    form = in_another_form(trained, rng)
    assert lang.trained_instruction(form) == trained, form
    prepared = VOCABULARY.prepare("A Cat", [form])
    assert prepared == ("a cat", (trained,))
    assert VOCABULARY.prepare(form, editing=True).prompt == trained


@EXAMPLES
@given(strokes(), seeds)
def test_an_instruction_in_any_wording_becomes_the_plain_one(stroke, rng):
    plain = lang.write_instruction(stroke, lang.PlainWording(0))
    assert lang.trained_instruction(lang.write_instruction(stroke, rng)) == plain


def test_official_prompts_are_fed_as_they_stand_in_any_letters_and_spaces():
    for prompt in lang.geneval_prompts():
        assert lang.trained_prompt(prompt.text) == prompt.text
        assert lang.trained_prompt(f" {prompt.text.title().replace(' ', chr(160))}. ") == prompt.text


PIECES = (
    *("a", "the", "two", "3", "an", "and", ",", ".", ";", "is", "are", "with", "on", "left of", "above"),
    *("under", "cat", "cats", "dog", "dogs", "red", "orange", "tv", "tellies", "sky background"),
    *("the background is grey", "a cat", "the cat", "a red dog", "the dog", "two oranges", "the oranges"),
    *("draw", "a photo of", "show me", "there is", "the cat is left of the dog"),
)


@settings(max_examples=800, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join))
def test_what_is_fed_means_what_was_written(text):
    """Whatever the structure of the text; and what is fed would be fed as it is."""
    try:
        graph = lang.parse_prompt(text)
    except LanguageError:
        with pytest.raises(LanguageError):
            lang.trained_prompt(text)
        return
    trained = lang.trained_prompt(text)
    assert lang.parse_prompt(trained).isomorphic(graph), trained
    assert lang.trained_prompt(trained) == trained
    assert set(lang.split(trained)) <= set(lang.words())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["a cat", "a cat left of a dog", "above", "the cat", "and", "a dog", "."]), max_size=6
    )
)
def test_what_is_fed_is_what_the_writer_writes(pieces):
    try:
        trained = lang.trained_prompt(" ".join(pieces))
    except LanguageError:
        return
    graph = lang.parse_prompt(trained)
    assert any(lang.write_prompt(graph, random.Random(seed)) == trained for seed in range(4000)), trained


@EXAMPLES
@given(st.text(st.characters(exclude_categories=()), max_size=80), st.booleans())
def test_preparing_is_total(text, editing):
    with contextlib.suppress(PromptError):
        VOCABULARY.prepare(text, [text], editing)


@pytest.mark.parametrize(
    "piece",
    [
        "a cat left of ",
        "a cat, ",
        "the cat is left of a dog. ",
        "please ",
        "\u0315\u0300\u05ae",
        "\ufdfa",
        "_-",
        "?!",
        '"',
        "9",
        "red ",
        "a-",
    ],
)
def test_long_texts_take_time_in_proportion(piece):
    letters = len(unicodedata.normalize("NFKC", piece))  # one may stand for many

    def seconds(size: int) -> float:
        start = time.process_time()
        with contextlib.suppress(PromptError):
            VOCABULARY.prepare(piece * (size // letters), [], True)
        return time.process_time() - start

    assert seconds(200_000) < 0.1 + 40 * max(seconds(20_000), 0.005)


@pytest.mark.parametrize(
    ("text", "trained"),
    [
        ("a photo of 3 dogs", "a photo of three dogs"),
        ("a photo of a Red Apple", "a photo of a red apple"),
        ("a TV under a Sofa", "a tv below a couch"),
        ("two knifes & a pair of scissors!", "two knives and a pair of scissors"),
        ("four persons", "four people"),
        ("there is two sheep", "there are two sheep"),
        ("there are a cat and two dogs", "there is a cat and two dogs"),
        ("a teddy-bear, a traffic_light", "a teddy bear and a traffic light"),
        ("the tv. the telly is left of a dog", "a tv left of a dog"),
        ("a cat left of a dog above a bus", "a cat left of a dog and a bus. the dog is above the bus."),
        ("draw 2 red-coloured mobiles", "draw two red cell phones"),
        ("draw a drawing of a plane", "a photo of an airplane"),
        ("the background is grey. a cat", "a cat on a gray background"),
        ("a photo of a SKIS", "a photo of a skis"),
        ("2 skis", "two pairs of skis"),
    ],
)
def test_prompts_people_write(text, trained):
    assert lang.trained_prompt(text) == trained


@pytest.mark.parametrize(
    ("text", "trained"),
    [
        ("Add a TV in the top-left corner", "add a tv in the upper left."),
        ("recolour the bus to blue", "recolor the bus to blue."),
        ("change the colour of the bus to blue!", "recolor the bus to blue."),
        ("put 2 mice in the centre and on the right side", "add two computer mice in the center and right."),
        ("please delete the fridge", "remove the refrigerator."),
        ("turn the cat into 3", "turn the cat into three."),
        ("set the background to a grey background", "make the background gray."),
    ],
)
def test_instructions_people_write(text, trained):
    assert lang.trained_instruction(text) == trained


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a televizion", r"'televizion' \(did you mean 'television'\?\)"),
        ("a mug", r"'mug' \(did you mean 'cup'\?\)"),
        ("a red ball", r"'ball' after 'a red'.*did you mean 'sports ball'\?"),
        ("a cat on top of a dog", r"'on top of a dog'.*did you mean 'above'\?"),
        ("a cat next to a dog", r"'next' \(did you mean 'left of' or 'right of'\?\)"),
        ("5 dogs", "'5 dogs'; expected a count from one to four"),
        ("0 dogs", "'0 dogs'; expected a count from one to four"),
        ("some dogs", "'some'"),
        ("dogs", "an article or a count before 'dog'"),
        ("a couple of dogs", "'couple'"),
        ("a catdog", "'catdog'"),
        ("a cat\na dog", "'a dog' after 'a cat'"),
        ("a dark-blue bus", "'dark'"),
        ("a c\u0430t", "'c\u0430t'"),  # a Cyrillic letter
        ("a cat \U0001f600", "'\U0001f600'"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_nearest_that_can(text, message):
    with pytest.raises(PromptError, match=message):
        VOCABULARY.prepare(text)


def test_instructions_beyond_the_vocabulary_are_refused():
    small = Vocabulary(("cup",), ("red",))
    for text in ("add a bus", "add a blue cup", "recolor the cup to blue", "add a cup left of the bus"):
        with pytest.raises(PromptError, match=r"not trained: (bus|blue)"):
            small.prepare("a cup", [text])


@pytest.mark.parametrize(("name", "other"), [(n, o) for n, others in CLASS_SYNONYMS.items() for o in others])
def test_every_synonym_is_read_in_singular_and_plural(name, other):
    assert lang.trained_prompt(f"a {other} and a cat") == lang.trained_prompt(f"a {name} and a cat")
    assert lang.trained_prompt(f"2 {plural(other)}") == f"two {plural(name)}"


def test_pictures_of_all_forms_are_that_of_the_trained_form():
    from strokewise import Painter

    painter = Painter.load("nano", device="cpu")
    trained = "a photo of two dogs above a tv"
    forms = (trained, "A Photo of 2  DOGS over a Television!", "Show me\u00a0two dogs above a telly")
    painted = painter.paint_many(forms, seeds=[3] * len(forms), batch=1, steps=2, max_images=2)
    for form, trajectory in zip(forms[1:], painted[1:], strict=True):
        assert (trajectory.prompt, trajectory.original_prompt) == (trained, form)
        assert trajectory.images[-1].tobytes() == painted[0].images[-1].tobytes()
