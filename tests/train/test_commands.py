"""The commands, the recipes, and trajectories as samples."""

import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from strokewise.errors import ConfigError
from strokewise.sequence import Tokenizer
from strokewise.train import recipes
from strokewise.train.commands import app
from strokewise.train.mixture import block_counts
from strokewise.train.samples import Picture, Text
from strokewise.train.trajectories import Step, caption_sample, reading_sample, trajectory_sample

PIXELS = np.zeros((16, 16, 3), np.uint8)


@pytest.fixture
def recipe(toy, start, tmp_path, monkeypatch):
    """A module with a recipe in the present folder, as a user would write it."""
    (tmp_path / "mine.py").write_text(
        f"import toy\ndef tiny():\n    return toy.config({str(start)!r}, steps=4)\n"
        "def other():\n    return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    yield "mine:tiny"
    sys.modules.pop("mine", None)


def test_run_resume_export(recipe, tmp_path):
    runner = CliRunner()
    shown = runner.invoke(app, ["run", recipe, "--out", "run", "--dry-run"], catch_exceptions=False)
    assert "4 steps" in shown.output
    assert not (tmp_path / "run").exists()
    first = ["run", recipe, "--out", "run", "--set", "running.save_every=2", "--minutes", "0"]
    assert runner.invoke(app, first, catch_exceptions=False).exit_code == 0
    assert runner.invoke(app, ["run", recipe, "--out", "run"], catch_exceptions=False).exit_code == 0
    assert (tmp_path / "run" / "latest").read_text().strip() == "step_00000004"
    assert runner.invoke(app, ["export", "run", "model"], catch_exceptions=False).exit_code == 0
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "model.safetensors",
        "strokewise.json",
        "tokenizer.json",
    ]


@pytest.mark.parametrize("name", ["nowhere:tiny", "mine:nothing", "mine", "mine:other"])
def test_recipes_that_are_not(recipe, name):
    with pytest.raises(ConfigError, match=r"no recipe|not a TrainConfig"):
        recipes.find_recipe(name)


def test_naming_the_options_needs_no_torch():
    code = "import sys, strokewise.train.commands; assert 'torch' not in sys.modules"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)


@pytest.mark.parametrize("name", ["nano_base", "nano_process", "bagel_7b_process", "bagel_7b_lora"])
def test_recipes_are_complete(toy, name):
    sources = [toy.Captions()] * (3 if name == "nano_base" else 4)
    made = getattr(recipes, name)("start", *sources)
    assert made.name == name.replace("_", "-")
    assert sum(entry.weight for entry in made.sources) == pytest.approx(1)
    assert made.differences(made.to_dict()) == []


def test_the_papers_run(toy):
    made = recipes.bagel_7b_process("start", *[toy.Captions()] * 4)
    assert (made.steps, made.pack_tokens, made.learning_rate, made.final_lr) == (10_000, 33_000, 2e-5, 0)
    assert made.packs_per_step == 8
    assert made.lora is None
    counts = block_counts([entry.weight for entry in made.sources])
    assert counts == [463, 220, 217, 100]


def test_trajectories_as_samples(start):
    tokenizer = Tokenizer.load(start)
    steps = [Step("w7"), Step(PIXELS, learnt=False), Step("w8"), Step(PIXELS)]
    sample = trajectory_sample("w9", steps, tokenizer, system="w10")
    assert sample.parts[:3] == (Text((10,), guided=False), Text((9,)), Text((7,), loss=True))
    assert [part.loss for part in sample.parts if isinstance(part, Picture)] == [False, True]
    assert sample.ends
    assert not caption_sample("w9", PIXELS, tokenizer).learns_text
    reading = reading_sample(PIXELS, "w7", "w8", tokenizer)
    assert [part.loss for part in reading.parts] == [False, False, True]
