"""The stages of nano: each is made once, from what the one before it left."""

import json
from dataclasses import replace

import pytest

from strokewise.datasets.records import Shards
from strokewise.errors import StrokewiseError
from strokewise.inference.painter import Painter
from strokewise.models import read_config
from strokewise.recipes.nano import initial_model
from strokewise.recipes.nano import pipeline as nano_run
from strokewise.recipes.nano import stages as nano_recipes
from strokewise.recipes.nano.autoencoder import AutoencoderRun
from strokewise.trajectory.values import TAGS


def test_a_stage_is_made_once_and_whole_or_not_at_all(tmp_path):
    lines, made = [], []

    def make(out):
        made.append(out)
        (out / "half").write_text("")
        if len(made) == 1:
            raise StrokewiseError("the disk is full")
        assert [path.name for path in out.iterdir()] == ["half"]

    for _ in range(3):
        try:
            nano_run._stage(tmp_path / "base", lines.append, make)
        except StrokewiseError:
            assert not (tmp_path / "base").exists()
    assert len(made) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_any_text_is_tokens_and_each_tag_is_one(monkeypatch):
    """Of fewer records than the shipped tokenizer, but of all subsets."""
    monkeypatch.setattr(initial_model, "RECORDS", 20)
    made = initial_model.nano_tokenizer()
    assert {made.raw.token_to_id(f"<{slash}{tag}>") for tag in TAGS for slash in ("", "/")}.isdisjoint({None})
    samples = sorted(initial_model.texts(0))
    assert len(samples) > 100
    for text in (*samples, "Grüße, 日本 \n"):
        assert made.decode(made.encode(text)) == text
    assert len(made.encode(" ".join(samples))) < 0.5 * len(" ".join(samples)), "it has learned words"
    again = initial_model.nano_tokenizer()
    assert again.raw.to_str() == made.raw.to_str()


def test_a_models_own_records_stand_beside_rendered_ones(tmp_path):
    first, made = nano_recipes.nano_process("m"), nano_recipes.nano_self_sampled("m", tmp_path)
    weights = {entry.name: entry.weight for entry in made.sources}
    for entry in first.sources:
        own = weights.get(f"self-sampled {entry.name}", 0.0)
        subset, view = getattr(entry.source, "subset", ""), getattr(entry.source, "view", "")
        assert (own > 0) == (subset in ("conflict", "alignment") and view != "planning")
        wanted = nano_recipes.MORE.get(entry.name, entry.weight)
        assert own + weights[entry.name] == pytest.approx(wanted)
        assert wanted >= entry.weight
    folders = {entry.source.folder for entry in made.sources if isinstance(entry.source, Shards)}
    assert folders == {str(tmp_path / "conflict"), str(tmp_path / "alignment")}
    # What a model said and painted before it was judged is a condition, never a target.
    views = {entry.source.view for entry in made.sources if isinstance(entry.source, Shards)}
    assert not views & {"process", "inspection", "planning"}
    assert views >= {"last", "look"}


def test_the_control_spends_what_the_process_stages_spend(tmp_path):
    first, control = nano_recipes.nano_process("m"), nano_recipes.nano_control("m")
    comparison, own = nano_recipes.nano_comparison("m"), nano_recipes.nano_self_sampled("m", tmp_path)
    spent = [run.steps * run.pack_tokens for run in (first, comparison, own)]
    assert control.steps * control.pack_tokens == sum(spent)
    assert [entry.source.view for entry in control.sources] == ["caption"]


@pytest.mark.parametrize(("old", "new"), nano_run.RENAMED.items())
def test_stages_of_an_earlier_version_are_not_made_again(tmp_path, old, new):
    (tmp_path / old).mkdir()
    with pytest.raises(StrokewiseError, match=f"under another name; rename the folder to {new}"):
        nano_run.train_nano(tmp_path)


@pytest.mark.slow
def test_all_stages_one_after_another(careless, tmp_path, monkeypatch):
    """At full size in very few steps; what samples is a stand-in, for such a model says nothing."""

    def brief(make):
        def made(*arguments):
            found = make(*arguments)
            running = replace(found.running, workers=0, compile=False, num_samples=0, tensorboard=False)
            return replace(found, steps=2, pack_tokens=2048, running=running)

        return made

    for name in (
        *(make.__name__ for make in nano_recipes.STAGES.values()),
        "nano_self_sampled",
        "nano_control",
    ):
        monkeypatch.setattr(nano_run, name, brief(getattr(nano_run, name)))
    monkeypatch.setattr(nano_run, "AutoencoderRun", lambda: AutoencoderRun(steps=2, batch=2, crop_batch=2))
    monkeypatch.setattr(nano_run, "PainterSampler", lambda painter, painting: careless())
    monkeypatch.setattr(nano_run, "PROMPTS", 8)
    lines = []
    finished = nano_run.train_nano(tmp_path, lines.append)
    stages = {path.name for path in tmp_path.iterdir()}
    assert {
        "initial",
        "base",
        "strokes",
        "language",
        "verification",
        "first",
        "comparison",
        "self-sampled",
        "process",
        "control",
    } <= stages
    painter = Painter.load(finished)
    assert painter.vocabulary.classes == nano_recipes.NANO_SCENES.classes
    assert painter.defaults.steps == nano_run.PAINTING["steps"]
    assert read_config(finished).autoencoder.scale != 1.0
    written = json.loads((finished / "vocabulary.json").read_text())
    assert sorted(written) == ["classes", "colors"]
    lines.clear()
    assert nano_run.train_nano(tmp_path, lines.append) == finished
    assert not any(line.endswith("…") for line in lines)
