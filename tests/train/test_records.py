"""Built data sets and the rendered sprite world as sources of samples, in every view."""

import json
import pickle
import random
import shutil
from dataclasses import replace

import numpy as np
import pytest

import strokewise.datasets.records as records_module
from strokewise.data.build import MAKERS, Recipe, build
from strokewise.data.canvas_painters import SpritePainter
from strokewise.data.records import from_table_row, to_table_row
from strokewise.data.scenes import SceneMix, sample_scene
from strokewise.datasets.prepare import Preparer
from strokewise.datasets.records import Rendered, Shards
from strokewise.datasets.samples import SampleImage, SampleText
from strokewise.datasets.views import TURNS, VIEWS
from strokewise.errors import ConfigError, LanguageError, RecordError
from strokewise.models.bagel import nano
from strokewise.train.config import Dropout
from strokewise.trajectory.values import Message, Verdict
from strokewise.world.language import Inspection, describe, split_inspection, write_inspection

SIDE = 64


@pytest.fixture(scope="module")
def records():
    """Some records of every subset, by subset."""

    def made(subset):
        make, mix = MAKERS[subset]
        return [make(random.Random(f"{subset}/3/{i}"), mix(), SpritePainter(SIDE)) for i in range(40)]

    return {subset: made(subset) for subset in MAKERS}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A small data set of every subset."""
    folder = tmp_path_factory.mktemp("sets")
    for subset in MAKERS:
        build(Recipe(subset, 30, seed=3, size=SIDE), folder / subset)
    return folder


def same(one, other):
    """Whether two samples are equal, pixels included."""
    pairs = list(zip(one.parts, other.parts, strict=True))
    return one.ends == other.ends and all(
        type(a) is type(b)
        and a.loss == b.loss
        and (a.ids == b.ids if isinstance(a, SampleText) else np.array_equal(a.pixels, b.pixels))
        for a, b in pairs
    )


def test_data_sets_in_a_folder_are_one_source(tokenizer, tmp_path):
    for seed in (1, 2):
        build(Recipe("multi-turn", 2, seed=seed, size=SIDE), tmp_path / "all" / str(seed))
    whole = Shards(str(tmp_path / "all")).open(tokenizer)
    parts = [Shards(str(tmp_path / "all" / name)).open(tokenizer) for name in ("1", "2")]
    assert whole.size == 4
    assert all(same(whole.sample(i), parts[i // 2].sample(i % 2)) for i in range(4))


def texts(sample, tokenizer):
    """(text, whether it is supervised) of a sample."""
    return [(tokenizer.decode(list(p.ids)), p.loss) for p in sample.parts if isinstance(p, SampleText)]


def test_prompts_are_never_supervised_and_everything_else_is_there(records, tokenizer):
    for some in records.values():
        for record in some:
            trajectory = record.trajectory
            sample = VIEWS["process"](trajectory, tokenizer, 0)
            found = texts(sample, tokenizer)
            assert found[0] == (trajectory.prompt, False)
            assert [text for text, _ in found[1:]] == [s.message.text() for s in trajectory.steps]
            assert sum(isinstance(p, SampleImage) for p in sample.parts) == len(trajectory.images)
            assert sample.ends == (trajectory.stop == "end")


def test_wrong_plans_are_shown_but_not_supervised(records, tokenizer):
    wrong = [record for record in records["conflict"] if record.label == "wrong"]
    assert wrong
    for record in wrong:
        steps = record.trajectory.steps
        found = texts(VIEWS["process"](record.trajectory, tokenizer, 0), tokenizer)[1:]
        blamed = {i - 1 for i, step in enumerate(steps) if step.verdict and step.verdict.plan is False}
        assert blamed
        assert [i for i, (_, supervised) in enumerate(found) if not supervised] == sorted(blamed)


def test_wrong_sketches_are_shown_but_not_supervised(records, tokenizer):
    negative = [record for record in records["alignment"] if record.label == "negative"]
    assert negative
    for record in negative:
        steps = record.trajectory.steps
        sample = VIEWS["process"](record.trajectory, tokenizer, 0)
        pictures = [part for part in sample.parts if isinstance(part, SampleImage)]
        blamed = {i - 1 for i, step in enumerate(steps) if step.verdict and step.verdict.sketch is False}
        assert blamed
        assert [i for i, picture in enumerate(pictures) if not picture.loss] == sorted(blamed)


def test_captions_learn_the_last_canvas_only(records, tokenizer):
    trajectory = records["multi-turn"][0].trajectory
    sample = VIEWS["caption"](trajectory, tokenizer, 0)
    text, picture = sample.parts
    assert tokenizer.decode(list(text.ids)) == trajectory.prompt
    assert (text.loss, picture.loss, sample.ends) == (False, True, False)
    assert np.array_equal(picture.pixels, np.asarray(trajectory.images[-1]))


def test_strokes_go_from_canvas_to_canvas(records, tokenizer):
    trajectory = next(r.trajectory for r in records["multi-turn"] if len(r.trajectory.images) == 4)
    first = VIEWS["stroke"](trajectory, tokenizer, 0)
    assert [part.loss for part in first.parts] == [False, True]
    for turn in range(1, 8):
        before, plan, after = VIEWS["stroke"](trajectory, tokenizer, turn).parts if turn % 4 else (None,) * 3
        if before is None:
            continue
        assert [before.loss, plan.loss, after.loss] == [False, False, True]
        assert np.array_equal(before.pixels, np.asarray(trajectory.images[turn % 4 - 1]))
        assert np.array_equal(after.pixels, np.asarray(trajectory.images[turn % 4]))
        assert tokenizer.decode(list(plan.ids)).startswith("<ins>")


@pytest.mark.parametrize("subset", MAKERS)
def test_shards_hold_what_is_rendered_on_the_fly(built, tokenizer, subset):
    stored = Shards(str(built / subset)).open(tokenizer)
    rendered = Rendered(subset, seed=3, side=SIDE).open(tokenizer)
    assert stored.size == 30
    assert rendered.size is None
    for index in (0, 7, 29):
        assert same(stored.sample(index), rendered.sample(index))


def test_every_stroke_of_a_data_set_is_a_sample(built, tokenizer):
    source = Shards(str(built / "multi-turn"), "stroke").open(tokenizer)
    assert source.size == 30 * TURNS["stroke"]
    number = next(
        i for i in range(30) if sum(isinstance(p, SampleImage) for p in source.sample(i + 30).parts) > 1
    )
    first, second = source.sample(number), source.sample(number + 30)
    assert [type(part) for part in first.parts] == [SampleText, SampleImage]
    assert np.array_equal(second.parts[0].pixels, first.parts[-1].pixels)


def test_damage_and_change_are_named(built, tokenizer, tmp_path):
    folder = tmp_path / "set"
    shutil.copytree(built / "multi-turn", folder)
    shard = next(folder.glob("*.parquet"))
    source = Shards(str(folder)).open(tokenizer)
    other = next((built / "conflict").glob("*.parquet"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RecordError, match=shard.name):
        source.sample(0)
    with pytest.raises(RecordError, match=shard.name):
        Shards(str(folder)).open(tokenizer)
    shard.unlink()
    with pytest.raises(RecordError, match=shard.name):
        source.sample(0)
    shutil.copyfile(other, shard)
    (folder / "manifest.json").unlink()
    with pytest.raises(RecordError, match="manifest"):
        Shards(str(folder)).open(tokenizer)


def test_what_is_unknown_is_named(tokenizer):
    with pytest.raises(ConfigError, match="unknown view 'processes'; known are process, caption"):
        Rendered("multi-turn", "processes").open(tokenizer)
    with pytest.raises(ConfigError, match="unknown subset 'multi'; known are multi-turn"):
        Rendered("multi").open(tokenizer)


def test_of_texts_alone_a_wrong_plan_is_shown_and_its_inspection_supervised(records, tokenizer):
    kinds = set()
    for record in records["conflict"]:
        sample = VIEWS["planning"](record.trajectory, tokenizer, 0)
        messages = [step.message for step in record.trajectory.steps]
        plans = [m.inspect.partition("the sketch")[0].strip() for m in messages]
        # A space before them, as behind the other sentences of a whole inspection.
        steps = [
            replace(m, inspect=f" {plan}" if m.inspect else "").text()
            for m, plan in zip(messages, plans, strict=True)
        ]
        kinds.add(record.label)
        condition = len(steps) - 2 if record.label == "wrong" else None
        wanted = [(text, i != condition) for i, text in enumerate(steps)]
        assert texts(sample, tokenizer) == [(record.trajectory.prompt, False), *wanted]
        assert not sample.ends
    assert kinds == {"right", "wrong"}


def test_plans_are_trained_on_from_records_of_versions_without_plan_texts(records, tokenizer):
    for record in [*records["multi-turn"][:10], *records["conflict"]]:
        row = to_table_row(record)
        stored = json.loads(row["trajectory"])
        assert all("plan_text" in step["verdict"] for step in stored["steps"][1:])
        for step in stored["steps"][1:]:
            del step["verdict"]["plan_text"]
        old = from_table_row(row | {"trajectory": json.dumps(stored)}, "old").trajectory
        assert same(VIEWS["planning"](old, tokenizer, 0), VIEWS["planning"](record.trajectory, tokenizer, 0))


def test_an_inspection_in_other_words_gives_no_plans_to_train_on(records, tokenizer):
    trajectory = records["multi-turn"][0].trajectory
    first, second = trajectory.steps[:2]
    unread = replace(
        second, message=replace(second.message, inspect="well done."), verdict=Verdict(True, True)
    )
    with pytest.raises(RecordError, match=r"step 1: it is not known what of the inspection 'well done\.'"):
        VIEWS["planning"](replace(trajectory, steps=(first, unread)), tokenizer, 0)


def test_texts_alone_do_not_teach_what_opens_after_them(records, tokenizer):
    config = nano()
    preparer = Preparer(config, tokenizer.special, Dropout(), 1.0)
    for record in records["multi-turn"][:10]:
        segments = preparer.prepare(VIEWS["planning"](record.trajectory, tokenizer, 0), 0).segments
        assert len(segments) > 1
        assert all(segment.end_label is None for segment in segments)
        assert any(segment.loss for segment in segments)


def test_the_last_inspection_is_supervised_with_what_it_looks_at(records, tokenizer):
    endings = set()
    for record in records["alignment"]:
        trajectory = record.trajectory
        sample = VIEWS["inspection"](trajectory, tokenizer, 0)
        looked_at, last = trajectory.steps[-2:]
        wanted = [(trajectory.prompt, False), (looked_at.message.text(), False), (last.message.text(), True)]
        assert texts(sample, tokenizer) == wanted
        (picture,) = (part for part in sample.parts if isinstance(part, SampleImage))
        assert sample.parts.index(picture) == 2
        assert not picture.loss
        assert np.array_equal(picture.pixels, np.asarray(looked_at.image))
        endings.add(sample.ends)
        assert sample.ends == (trajectory.stop == "end")
    assert endings == {True, False}


def test_inspections_are_split_by_what_they_are_about(records):
    """The parts are the text itself, in another order at most; a text that is no inspection is refused."""
    found = set()
    for record in [*records["conflict"], *records["alignment"]]:
        for step in record.trajectory.steps[1:]:
            text = step.message.inspect
            parts = split_inspection(text)
            assert parts.text == text
            for part in filter(None, parts):
                assert part.endswith(".")
            found |= {name for name, part in parts._asdict().items() if part}
    assert found >= {"plan", "sketch"}
    scene = sample_scene(random.Random(0), SceneMix())
    shown = Inspection(None, (), seen=describe(scene))
    parts = split_inspection(write_inspection(shown, random.Random(0)).text)
    assert not parts.plan
    assert parts.seen.startswith("the sketch shows:")
    assert parts.sketch
    with pytest.raises(LanguageError):
        split_inspection("I like this sketch, it is well done.")


def test_few_bytes_of_a_data_set_stay_in_memory(built, tokenizer, monkeypatch):
    """They are bounded, also where every record is read; a copy for a worker begins with none."""
    source = Shards(str(built / "multi-turn")).open(tokenizer)
    everything = [source.sample(index) for index in range(source.size)]
    assert len(source._groups) > 3
    small = max(group.size for group in source._groups.values())
    monkeypatch.setattr(records_module, "CACHE_BYTES", 2 * small)
    copy = pickle.loads(pickle.dumps(source))
    assert not copy._groups
    for index in random.Random(0).sample(range(source.size), source.size):
        assert same(copy.sample(index), everything[index])
        assert copy._held == sum(group.size for group in copy._groups.values()) <= 2 * small


def test_a_stroke_is_never_a_canvas_that_was_found_at_fault(records, tokenizer):
    faulty = 0
    for record in records["alignment"]:
        steps, right = record.trajectory.steps, []
        for step, after in zip(steps, (*steps[1:], None), strict=True):
            refuted = after is not None and after.verdict is not None and after.verdict.sketch is False
            faulty += refuted
            if step.image is not None and not refuted:
                right.append((step.message.ins, step.message.refine, step.image.tobytes()))
        for turn in range(6):
            sample = VIEWS["stroke"](record.trajectory, tokenizer, turn)
            plan = Message.parse(tokenizer.decode(list(sample.parts[-2].ids)))
            assert (plan.ins, plan.refine, sample.parts[-1].pixels.tobytes()) in right
    assert faulty


def test_the_last_step_alone_is_supervised(records, tokenizer):
    """The parts are those of the process; all but the last message and its canvas are conditions."""
    for record in [*records["conflict"], *records["alignment"]]:
        whole, sample = (VIEWS[view](record.trajectory, tokenizer, 0) for view in ("process", "last"))
        last = 1 if record.trajectory.steps[-1].image is None else 2
        assert [p.loss for p in sample.parts] == [False] * (len(whole.parts) - last) + [True] * last
        assert [getattr(p, "ids", None) for p in sample.parts] == [
            getattr(p, "ids", None) for p in whole.parts
        ]
        assert sample.ends == whole.ends
