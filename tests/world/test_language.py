"""Everything the world writes reads back as the same value, in a closed vocabulary; reading is total."""

import contextlib
import hashlib
import json
import random
import unicodedata
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strokewise.errors import LanguageError, SceneError
from strokewise.scene_graph import INVERSE, RELATIONS, Fault, Relation, SceneGraph, SceneObject, Thing
from strokewise.world import language as lang
from strokewise.world.language import english, fault_phrases
from strokewise.world.vocabulary import BACKGROUNDS, CLASSES, COLORS, REGIONS

# Every prompt's metadata, in GenEval's own bytes (evaluation_metadata.jsonl at commit af4902f).
OFFICIAL_METADATA = "5c48e0813e812e3c373fa5c8ed07a8f0a483be30272b4427b0559c8048e67c13"
WORDS = frozenset(lang.words())
PARSERS: tuple[Callable[[str], object], ...] = (
    lang.parse_prompt,
    lang.parse_instruction,
    lang.parse_correction,
    lang.parse_description,
    lang.parse_inspection,
)
EXAMPLES = settings(max_examples=150, deadline=None)

names = st.sampled_from(CLASSES)
colors = st.sampled_from(COLORS)
regions = st.sampled_from(REGIONS)
backgrounds = st.sampled_from(BACKGROUNDS)
seeds = st.integers(0, 10**6).map(random.Random)
things = st.builds(Thing, names, st.none() | colors, st.integers(1, 4))


@st.composite
def graphs(draw: st.DrawFn, smallest: int = 1, most: int = 4) -> SceneGraph:
    """Valid graphs of up to five objects, often with several of one class, of up to ``most`` instances."""
    few = draw(st.lists(names, min_size=1, max_size=5))
    looks = st.tuples(st.sampled_from(few), st.none() | colors)
    chosen = draw(st.lists(looks, min_size=smallest, max_size=5, unique=True))
    counts = st.integers(1, most)
    objects = tuple(SceneObject(f"n{i}", n, c, draw(counts)) for i, (n, c) in enumerate(chosen))
    relations = []
    for word in ("left of", "above"):
        order = draw(st.permutations([obj.id for obj in objects]))
        pairs = [(a, b) for i, a in enumerate(order) for b in order[i + 1 :]]
        for a, b in draw(st.lists(st.sampled_from(pairs), max_size=3, unique=True)) if pairs else []:
            relations.append(draw(st.sampled_from((Relation(a, word, b), Relation(b, INVERSE[word], a)))))
    return SceneGraph(objects, tuple(relations), draw(st.none() | backgrounds))


@st.composite
def descriptions(draw: st.DrawFn, most: int = 4) -> lang.Description:
    graph = draw(graphs(smallest=0, most=most))
    places = [draw(st.lists(regions, min_size=o.count, max_size=o.count).map(tuple)) for o in graph.objects]
    return lang.Description(graph, tuple(places))


@st.composite
def strokes(draw: st.DrawFn) -> lang.Stroke:
    kind = draw(st.sampled_from(lang.STROKE_KINDS))
    if kind == "background":
        return lang.Stroke(kind, background=draw(backgrounds))
    thing = draw(things)
    becomes = None
    if kind == "recolor":
        becomes = Thing(thing.name, draw(colors.filter(lambda c: c != thing.color)), thing.count)
    elif kind == "recount":
        count = draw(st.integers(1, 4).filter(lambda n: n != thing.count))
        becomes = Thing(thing.name, thing.color, count)
    elif kind == "swap":
        look = draw(
            st.tuples(names, st.none() | colors).filter(lambda look: look != (thing.name, thing.color))
        )
        becomes = Thing(*look, thing.count)
    count = becomes.count if becomes and kind == "recount" else thing.count
    places = draw(st.just(()) | st.lists(regions, min_size=count, max_size=count).map(tuple))
    relation = draw(st.none() | st.builds(lang.Beside, st.sampled_from(RELATIONS), things))
    return lang.Stroke(kind, thing, becomes, places, relation)


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    kind = draw(st.sampled_from(fault_phrases.FAULT_KINDS))
    thing = draw(things)

    def pair(values: st.SearchStrategy[str]) -> tuple[str, str | None]:
        return draw(st.tuples(values, st.none() | values).filter(lambda pair: pair[0] != pair[1]))

    if kind in ("missing", "extra"):
        return Fault(kind, thing)
    if kind == "wrong count":
        seen = draw(st.integers(1, 5).filter(lambda n: n != thing.count))
        return Fault(kind, thing, wanted=thing.count, seen=seen)
    if kind == "wrong background":
        return Fault(kind, None, None, *pair(backgrounds))
    if kind == "wrong color":
        wanted, seen = pair(colors)
        return Fault(kind, Thing(thing.name, wanted, thing.count), None, wanted, seen)
    if kind == "wrong place":
        return Fault(kind, thing, None, *pair(regions))
    return Fault(kind, thing, draw(things), *pair(st.sampled_from(RELATIONS)))


JUDGMENTS = (lang.FITS, lang.FAILS, lang.EXTRA)


@st.composite
def items(draw: st.DrawFn) -> lang.CheckItem:
    def placed() -> tuple[Thing, tuple[str, ...]]:
        thing = draw(things)
        return thing, draw(st.just(()) | st.tuples(*[st.sampled_from(REGIONS)] * thing.count))

    if draw(st.booleans()):
        return lang.CheckItem(None, kind=draw(backgrounds))
    if draw(st.booleans()):
        return lang.CheckItem(*placed())
    return lang.CheckItem(*placed(), draw(st.sampled_from(RELATIONS)), *placed())


@st.composite
def inspections(draw: st.DrawFn) -> lang.Inspection:
    some = st.lists(faults(), max_size=3).map(tuple)
    plan, sketch = draw(st.none() | some), draw(st.none() | some)
    pending = draw(st.lists(things, max_size=3).map(tuple))
    coming, seen = draw(st.none() | backgrounds), draw(st.none() | descriptions(most=9))
    checks = st.lists(st.builds(lang.Check, items(), st.sampled_from(JUDGMENTS)), max_size=3).map(tuple)
    plan = () if plan is sketch is None else plan
    return lang.Inspection(plan, sketch, pending, coming, seen, draw(checks), draw(checks))


def assert_closed(text: str) -> None:
    unknown = set(lang.split(text)) - WORDS
    assert not unknown, f"{unknown} in {text!r}"


@EXAMPLES
@given(graphs(), seeds)
def test_prompts_come_back(graph, rng):
    text = lang.write_prompt(graph, rng)
    assert_closed(text)
    assert lang.parse_prompt(text).isomorphic(graph), text


@EXAMPLES
@given(descriptions(), seeds)
def test_descriptions_come_back(description, rng):
    text = lang.write_description(description, rng)
    assert_closed(text)
    back = lang.parse_description(text)
    assert back.graph.isomorphic(description.graph), text
    assert back.regions == description.regions, text
    assert [o.thing for o in back.graph.objects] == [o.thing for o in description.graph.objects]


@EXAMPLES
@given(descriptions(most=9))
def test_what_is_seen_comes_back(seen):
    text = lang.write_seen(seen)
    assert_closed(text)
    back = lang.parse_seen(text)
    assert back.graph.isomorphic(replace(seen.graph, relations=())), text
    stood, stands = [
        {(obj.thing, *sorted(places)) for obj, places in zip(one.graph.objects, one.regions, strict=True)}
        for one in (seen, back)
    ]
    assert stood == stands, text


@EXAMPLES
@given(descriptions(most=9), seeds)
def test_more_of_a_thing_than_can_be_requested_is_never_planned(seen, rng):
    text = lang.write_description(seen, rng)
    if max((obj.count for obj in seen.graph.objects), default=0) > 4:
        with pytest.raises(LanguageError):
            lang.parse_description(text)


@EXAMPLES
@given(strokes(), seeds)
def test_instructions_come_back(stroke, rng):
    text = lang.write_instruction(stroke, rng)
    assert_closed(text)
    assert lang.parse_instruction(text) == stroke, text


@EXAMPLES
@given(st.lists(strokes(), min_size=1, max_size=3).map(tuple), seeds)
def test_corrections_come_back(several, rng):
    text = lang.write_correction(several, rng)
    assert_closed(text)
    assert lang.parse_correction(text) == several, text


@EXAMPLES
@given(inspections(), seeds)
def test_inspections_come_back(inspection, rng):
    text = lang.write_inspection(inspection, rng).text
    assert_closed(text)
    found = lang.parse_inspection(text)
    assert replace(found, seen=inspection.seen) == inspection, text
    assert (found.seen is None) == (inspection.seen is None)
    if found.seen is not None and inspection.seen is not None:
        assert found.seen.graph.isomorphic(inspection.seen.graph), text
        assert found.seen.regions == inspection.seen.regions, text


@EXAMPLES
@given(inspections(), st.integers(), st.booleans())
def test_the_parts_of_an_inspection_make_up_its_text(inspection, seed, plain):
    rng = lang.PlainWording if plain else random.Random
    parts = lang.write_inspection(inspection, rng(seed))
    assert lang.split_inspection(parts.text) == parts
    assert (parts.seen != "", parts.sketch != "") == (
        inspection.seen is not None,
        inspection.sketch is not None,
    )
    assert parts.plan.startswith("the plan") == (inspection.plan is not None)
    if inspection.plan is not None:
        judged = lang.parse_inspection(parts.of_plan)
        assert judged == replace(inspection, sketch=None, seen=None, plan_checks=())
    if inspection.sketch is not None:
        assert lang.parse_inspection(parts.sketch).sketch == inspection.sketch
    if inspection.seen is not None:
        seen = lang.parse_inspection(f"{parts.seen} the sketch shows the plan.").seen
        assert seen is not None
        assert seen.regions == inspection.seen.regions


@EXAMPLES
@given(st.one_of(strokes(), inspections(), descriptions()), st.integers(), st.integers())
def test_plain_wording_does_not_depend_on_the_seed(value, one, other):
    write: dict[type, Callable[..., str]] = {
        lang.Stroke: lang.write_instruction,
        lang.Inspection: lambda value, rng: lang.write_inspection(value, rng).text,
        lang.Description: lang.write_description,
    }
    texts = [write[type(value)](value, lang.PlainWording(seed)) for seed in (one, other)]
    assert texts[0] == texts[1]


def test_what_is_seen_stands_in_reading_order_with_equal_things_together():
    seen = "a dog in the center; a red bus on the right; a dog in the upper left; a red bus on the left."
    together = "two dogs in the upper left and center; two red buses on the left and right."
    assert lang.seen_text(seen) == f"the sketch shows: {together}"
    assert lang.seen_text("something else.") == "the sketch shows: something else."


def test_one_seed_gives_one_text_and_many_seeds_give_many():
    graph = SceneGraph(
        (SceneObject("a", "cat", "red"), SceneObject("b", "dog", None, 2), SceneObject("c", "bus")),
        (Relation("a", "left of", "b"),),
        BACKGROUNDS[0],
    )
    texts = {lang.write_prompt(graph, random.Random(seed)) for seed in range(100)}
    assert len(texts) > 50
    assert lang.write_prompt(graph, random.Random(3)) == lang.write_prompt(graph, random.Random(3))


def test_every_listed_word_is_written_somewhere():
    rng = random.Random(0)
    texts: list[str] = []
    for index, name in enumerate(CLASSES):
        place = (REGIONS[index % len(REGIONS)],)
        one, two = Thing(name, COLORS[index % len(COLORS)]), Thing(name, None, 2 + index % 3)
        texts += [english.indefinite(one), english.definite(two), english.place(place)]
    graph = SceneGraph(tuple(SceneObject(n, n) for n in ("cat", "dog")), (), BACKGROUNDS[0])
    for kind in RELATIONS:
        related = SceneGraph(graph.objects, (Relation("cat", kind, "dog"),), BACKGROUNDS[0])
        texts += [lang.write_prompt(related, rng) for _ in range(60)]
    texts += [lang.write_prompt(SceneGraph((SceneObject("a", "cat", None, 2),)), rng) for _ in range(60)]
    texts += [
        lang.write_description(lang.Description(SceneGraph(background=b), ()), rng) for b in BACKGROUNDS
    ]
    texts.append(lang.write_description(lang.Description(SceneGraph(), ()), rng))
    texts.append(lang.write_description(lang.Description(graph, (("top",), ("left",))), random.Random(0)))
    cat, cats, red = Thing("cat"), Thing("cat", None, 2), Thing("cat", "red")
    for stroke in (
        lang.Stroke("add", cat),
        lang.Stroke("remove", cat),
        lang.Stroke("recolor", cat, red),
        lang.Stroke("recount", cat, cats),
        lang.Stroke("swap", cat, Thing("dog")),
        lang.Stroke("background", background=BACKGROUNDS[0]),
    ):
        texts += [lang.write_instruction(stroke, rng) for _ in range(12)]
    found = (
        Fault("missing", cat),
        Fault("extra", cats),
        Fault("wrong count", cat, None, 1, 9),
        Fault("wrong place", cats, None, "left", "right"),
        Fault("wrong color", red, None, "red", None),
        Fault("wrong relation", cat, cats, "above", "below"),
        Fault("wrong relation", cat, cat, "above", "below"),
    )
    for inspection in (lang.Inspection(found, found, (cat,)), lang.Inspection((), (), (cat, cats))):
        texts += [lang.write_inspection(inspection, rng).text for _ in range(20)]
    written = {word for text in texts for word in lang.split(text)}
    assert WORDS - written == set()


def test_the_vocabulary_is_small_sorted_and_lower_case():
    assert 150 < len(WORDS) < 400
    assert list(lang.words()) == sorted(WORDS)
    assert all(word == word.lower() and not word.isspace() for word in WORDS)


def test_all_official_geneval_prompts_parse_to_their_official_metadata():
    prompts = lang.geneval_prompts()
    assert len(prompts) == 553
    lines = "".join(json.dumps(lang.geneval_metadata(prompt)) + "\n" for prompt in prompts)
    assert hashlib.sha256(lines.encode()).hexdigest() == OFFICIAL_METADATA


def test_official_geneval_prompts_come_back_in_free_wording():
    for index, prompt in enumerate(lang.geneval_prompts()):
        graph = lang.parse_prompt(prompt.text)
        assert lang.parse_prompt(lang.write_prompt(graph, random.Random(index))).isomorphic(graph)


@pytest.mark.parametrize(
    ("text", "objects", "relations"),
    [
        ("A photo of a bench.", [("bench", None, 1)], []),
        ("an orange", [("orange", None, 1)], []),
        ("an orange and a red orange", [("orange", None, 1), ("orange", "red", 1)], []),
        ("an orange orange left of an orange cat",
         [("orange", "orange", 1), ("cat", "orange", 1)], ["0 left of 1"]),
        ("a photo of three knifes", [("knife", None, 3)], []),
        ("three knives and 2 sheep", [("knife", None, 3), ("sheep", None, 2)], []),
        ("four people, two computer mice and a pair of red skis",
         [("person", None, 4), ("computer mouse", None, 2), ("skis", "red", 1)], []),
        ("a brown skis and two pairs of scissors", [("skis", "brown", 1), ("scissors", None, 2)], []),
        ("a cat on the left of a dog", [("cat", None, 1), ("dog", None, 1)], ["0 left of 1"]),
        ("a cat left of a dog above a bus",
         [("cat", None, 1), ("dog", None, 1), ("bus", None, 1)], ["0 left of 1", "1 above 2"]),
        ("a cat left of a dog and above a bus",
         [("cat", None, 1), ("dog", None, 1), ("bus", None, 1)], ["0 left of 1", "0 above 2"]),
        ("There are two cats and a dog. The cats are underneath the dog.",
         [("cat", None, 2), ("dog", None, 1)], ["0 below 1"]),
        ("the cat is to the right of a dog", [("cat", None, 1), ("dog", None, 1)], ["0 right of 1"]),
    ],
)  # fmt: skip
def test_prompts_people_write(text, objects, relations):
    graph = lang.parse_prompt(text)
    assert [(o.name, o.color, o.count) for o in graph.objects] == objects
    place = {obj.id: index for index, obj in enumerate(graph.objects)}
    assert [f"{place[r.subject]} {r.kind} {place[r.target]}" for r in graph.relations] == relations


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is empty"),
        ("a chrome unicorn", "unknown words: 'chrome', 'unicorn'. Known are"),
        ("a photo of a sandwhich", r"'sandwhich' \(did you mean 'sandwich'\?\)"),
        ("a photo of", "the end of the text after 'a photo of'; expected a thing"),
        ("five cats", "'five cats'; expected a count from one to four"),
        ("cats and dogs", "an article or a count before 'cat'"),
        ("a cats", "the singular of 'cat'"),
        ("two dog", "the plural of 'dog'"),
        ("a red", "expected a class name"),
        ("a pair of cats", "no 'pair of' before 'cat'"),
        ("a cat and a cat", "'cat' is brought up twice"),
        (
            "a red cat and a blue cat. the cat is left of a dog",
            "which one 'the cat' means, 'red cat' or 'blue cat'",
        ),
        ("a red cat. the blue cat is left of a dog", "what 'the blue cat' means; the scene has 'red cat'"),
        ("three cats. the two cats are left of a dog", "what 'the cat' means"),
        ("a cat left of a dog. the dog is left of the cat", "contradicts itself.*horizontal"),
        ("a cat left of a dog. the cat is the dog", "expected left of, right of"),
        ("a cat a dog", "not understood: 'a dog' after 'a cat'; expected the end of the text"),
        ("the background is", "expected a background"),
        (f"the background is {BACKGROUNDS[0]}", "names nothing to paint"),
        (f"a cat on a {BACKGROUNDS[0]} background with a {BACKGROUNDS[1]} background", "expected the end"),
        (
            f"a cat, a {BACKGROUNDS[0]} background, a {BACKGROUNDS[1]} background",
            "two backgrounds are stated",
        ),
    ],
)
def test_prompts_that_are_not_understood(text, message):
    with pytest.raises(LanguageError, match=message):
        lang.parse_prompt(text)


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (lang.parse_instruction, "add the cat", "expected a new thing before that"),
        (lang.parse_instruction, "remove a cat", "'a cat'.*expected 'the'"),
        (lang.parse_instruction, "remove the cats", "expected a count before 'cat'"),
        (lang.parse_instruction, "add three cats in the top and left", "one region or 3 regions, not 2"),
        (lang.parse_instruction, "add a cat left of it", "'it' has nothing to mean"),
        (lang.parse_instruction, "recolor the red cat to red", "not a stroke that can be done"),
        (lang.parse_instruction, "turn the cat into red", "expected a count"),
        (lang.parse_instruction, "recolor the cat to two", "expected a color"),
        (lang.parse_instruction, "a cat", "expected a stroke"),
        (lang.parse_instruction, "add a cat. add a dog.", "one stroke is expected, not 2"),
        (lang.parse_description, "a cat", "where 'cat' is"),
        (
            lang.parse_description,
            "a cat at the top, left of the dog.",
            "what 'the dog' means; the scene has 'cat'",
        ),
        (lang.parse_description, "two cats at the top, left and right.", "one region or 2 regions, not 3"),
        (lang.parse_inspection, "the sketch", "the end of the text"),
        (lang.parse_inspection, "the plan fits the prompt. the plan fits the prompt.", "each once"),
        (lang.parse_inspection, "still to come: a cat.", "neither the plan nor the sketch"),
        (
            lang.parse_inspection,
            "the sketch shows the cat in red instead of left of the dog.",
            "the same kind",
        ),
        (lang.parse_inspection, "the sketch shows the cat in red instead of red.", "two different values"),
        (
            lang.parse_inspection,
            "the sketch shows two cats at the top instead of on the left.",
            "'instead of'",
        ),
        (
            lang.parse_inspection,
            "the sketch shows the two cats at the top instead of on the left.",
            "'one of'",
        ),
        (lang.parse_inspection, "the sketch shows one of the two cats in red instead of blue.", "'one of'"),
        (lang.parse_inspection, "the sketch shows two cats instead of two.", "two different counts"),
    ],
)
def test_texts_that_are_not_understood(parse, text, message):
    with pytest.raises(LanguageError, match=message):
        parse(text)


def never_fails_otherwise(text: str) -> None:
    for parse in PARSERS:
        with contextlib.suppress(LanguageError):
            parse(text)


@EXAMPLES
@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_reading_is_total_on_any_unicode(text):
    never_fails_otherwise(text)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(sorted(WORDS)), max_size=14).map(" ".join))
def test_reading_is_total_on_known_words(text):
    never_fails_otherwise(text)


@EXAMPLES
@given(st.data(), st.one_of(graphs(), strokes(), inspections(), descriptions()), seeds)
def test_reading_is_total_on_damaged_texts(data, value, rng):
    write: dict[type, Callable[..., str]] = {
        SceneGraph: lang.write_prompt,
        lang.Stroke: lang.write_instruction,
        lang.Inspection: lambda value, rng: lang.write_inspection(value, rng).text,
        lang.Description: lang.write_description,
    }
    words = lang.split(write[type(value)](value, rng))
    cut = data.draw(st.integers(0, len(words) - 1))
    words[cut : cut + 1] = data.draw(st.lists(st.sampled_from(sorted(WORDS)), max_size=2))
    never_fails_otherwise(" ".join(words))


def test_reading_does_not_slow_down_on_long_texts():
    never_fails_otherwise("a cat left of " * 20_000)
    never_fails_otherwise("😀" * 100_000 + unicodedata.normalize("NFD", "é") * 1000)


def test_case_and_spacing_do_not_matter():
    assert lang.parse_prompt("  A  Photo OF\na\tRed Bus ").objects[0].thing == Thing("bus", "red")


@pytest.mark.parametrize(
    ("write", "value", "message"),
    [
        (lang.write_prompt, SceneGraph(), "at least one object"),
        (lang.write_prompt, SceneGraph((SceneObject("a", "unicorn"),)), "no word for the class 'unicorn'"),
        (lang.write_prompt, SceneGraph((SceneObject("a", "cat", "gold"),)), "no word for the color 'gold'"),
        (lang.write_prompt, SceneGraph((SceneObject("a", "cat"),), (), "lava"), "no word for the background"),
        (lang.write_instruction, lang.Stroke("paint", Thing("cat")), "unknown kind of stroke"),
        (lang.write_instruction, lang.Stroke("add"), "needs a thing"),
        (
            lang.write_instruction,
            lang.Stroke("add", Thing("cat"), regions=("middle",)),
            "unknown region 'middle'",
        ),
        (
            lang.write_instruction,
            lang.Stroke("add", Thing("cat", None, 2), regions=("top",)),
            "needs 2 regions",
        ),
        (lang.write_instruction, lang.Stroke("swap", Thing("cat"), Thing("dog", None, 2)), "cannot turn"),
        (lang.write_instruction, lang.Stroke("recolor", Thing("cat", "red"), Thing("cat")), "needs a color"),
        (lang.write_correction, (), "at least one stroke"),
        (lang.write_inspection, lang.Inspection(None, None), "judges the plan, the sketch or both"),
        (lang.write_inspection, lang.Inspection((Fault("odd"),)), "unknown kind of fault"),
        (
            lang.write_inspection,
            lang.Inspection((Fault("wrong color", Thing("cat"), None, "red"),)),
            "cannot be",
        ),
        (
            lang.write_description,
            lang.Description(SceneGraph((SceneObject("a", "cat"),)), ()),
            "places for 0",
        ),
    ],
)
def test_values_without_words_are_refused(write, value, message):
    with pytest.raises(SceneError, match=message):
        write(value, random.Random(0))


def test_counts_above_four_are_written_as_more_than_four():
    inspection = lang.Inspection((), (Fault("wrong count", Thing("cat"), None, 1, 12),))
    text = lang.write_inspection(inspection, random.Random(0)).text
    assert "shows more than four cats instead of one" in text
    assert lang.parse_inspection(text).sketch == (Fault("wrong count", Thing("cat"), None, 1, 5),)
