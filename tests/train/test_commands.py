"""The commands, the recipes, and trajectories as samples."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from strokewise.cli.train import app
from strokewise.datasets.mixture import block_counts
from strokewise.datasets.records import Rendered
from strokewise.errors import ConfigError, StrokewiseError
from strokewise.recipes import registry as recipes
from strokewise.recipes.bagel import bagel_7b_process
from strokewise.recipes.nano.canvases import Canvases
from strokewise.recipes.nano.stages import COUNTED_SCENES, NANO_SCENES, RELATED_SCENES, STAGES
from strokewise.world.vocabulary import CLASSES


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
    one = ["run", recipe, "--out", "run", "--max-steps", "1"]
    assert runner.invoke(app, one, catch_exceptions=False).exit_code == 0
    assert (tmp_path / "run" / "latest").read_text().strip() == "step_00000001"
    assert runner.invoke(app, ["run", recipe, "--out", "run"], catch_exceptions=False).exit_code == 0
    assert (tmp_path / "run" / "latest").read_text().strip() == "step_00000004"
    assert runner.invoke(app, ["export", "run", "model"], catch_exceptions=False).exit_code == 0
    bagel = ["export", "run", "bagel", "--last", "--layout", "bagel"]
    assert runner.invoke(app, bagel, catch_exceptions=False).exit_code == 0
    assert (tmp_path / "bagel" / "ema.safetensors").exists()
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        "SHA256SUMS",
        "model.safetensors",
        "strokewise.json",
        "tokenizer.json",
        "training.json",
    ]


@pytest.mark.parametrize("name", ["nowhere:tiny", "mine:nothing", "mine", "mine:other"])
def test_recipes_that_are_not(recipe, name):
    with pytest.raises(ConfigError, match=r"no recipe|not a TrainConfig"):
        recipes.imported_config(name)


def test_naming_the_options_needs_no_torch():
    code = "import sys, strokewise.cli.train; assert 'torch' not in sys.modules"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, timeout=60)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_recipes_are_complete(name):
    made = recipes.recipe_config(name, "start", None)
    assert made.name == name
    assert sum(entry.weight for entry in made.sources) == pytest.approx(1)
    assert made.differences(made.to_dict()) == []


def test_the_papers_run(toy):
    made = bagel_7b_process("start", *[toy.Captions()] * 4)
    assert (made.steps, made.pack_tokens, made.learning_rate, made.final_lr) == (10_000, 33_000, 2e-5, 0)
    assert made.packs_per_step == 8
    assert made.lora is None
    counts = block_counts([entry.weight for entry in made.sources])
    assert counts == [463, 220, 217, 100]


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_named_recipes_render_the_sprite_world_or_read_data_sets(name):
    """But for single canvases, which no data set holds."""
    made = recipes.recipe_config(name, "start", None), recipes.recipe_config(name, "start", Path("sets"))
    rendered, built = ([e.source for e in m.sources if type(e.source) is not Canvases] for m in made)
    assert {type(source) for source in rendered} == {Rendered}
    assert {Path(source.folder).parent for source in built} == {Path("sets")}
    assert [source.view for source in rendered] == [source.view for source in built]


def test_nano_learns_its_own_scenes_and_no_stage_what_another_has_seen():
    made = [make("start", None) for make in STAGES.values()]
    scenes = {entry.source.scenes for config in made for entry in config.sources}
    assert scenes == {NANO_SCENES, COUNTED_SCENES, RELATED_SCENES}
    assert {(one.classes, one.layout_jitter, one.plain) for one in scenes} == {(CLASSES, 0.0, True)}
    seeds = [{entry.source.seed for entry in config.sources} for config in made]
    assert all(len(seed) == 1 for seed in seeds)
    assert len(set.union(*seeds)) == len(seeds)


def test_unknown_recipes_are_named():
    with pytest.raises(ConfigError, match="unknown recipe 'nano-bass'; known are nano-base"):
        recipes.recipe_config("nano-bass", "start", None)


def test_the_cost_is_said_before_anything_is_done(forks, start, tmp_path):
    run = ["train", "run", "nano-base", "--model", str(start), "--out", "run", "--dry-run"]
    small = ["--set", "pack_tokens=600", "--set", "row_tokens=300"]
    done = forks.run("-m", "strokewise", *run, *small, cwd=tmp_path, text=True)
    assert done.returncode == 0, done.stderr
    assert "parameters" in done.stdout
    assert "memory per device" in done.stdout
    assert not (tmp_path / "run").exists()


def test_the_cost_on_machines_that_are_elsewhere(recipe):
    """Eight GPUs share weights that one holds, and at twice the rate a run takes half the time."""
    runner, command = CliRunner(), ["run", recipe, "--out", "run", "--dry-run", "--set", "packs_per_step=8"]

    def told(*options):
        shown = runner.invoke(app, [*command, *options], catch_exceptions=False, env={"COLUMNS": "400"})
        return {
            line.split("\u2502")[1].strip(): line for line in shown.output.splitlines() if "\u2502" in line
        }

    one, eight = told("--tflops", "0.001"), told("--devices", "8", "--tflops", "0.002")
    assert "the stated 1 GFLOP/s each" in one["time"]
    assert "on 8 devices, at the stated 2 GFLOP/s each" in eight["time"]
    assert "gathered" in eight["memory per device"]
    assert "gathered" not in one["memory per device"]
    refused = runner.invoke(app, ["run", recipe, "--out", "run", "--devices", "8"])
    assert isinstance(refused.exception, ConfigError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nano-base"], "--model is missing"),
        (["nano-base", "--model", "nowhere"], "nowhere"),
        (["nano-base", "--model", "START", "--data", "nothing"], "nothing"),
        (["nano-base", "--model", "START", "--set", "steps=many"], "steps"),
    ],
)
def test_bad_input_is_named(start, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    arguments = [str(start) if value == "START" else value for value in arguments]
    refused = CliRunner().invoke(app, ["run", *arguments, "--out", "run"]).exception
    assert isinstance(refused, StrokewiseError)
    assert message in str(refused)


def test_bad_input_is_one_line(forks, start, tmp_path):
    run = ("train", "run", "nano-base", "--model", start, "--set", "stepz=1", "--out", "run")
    done = forks.run("-m", "strokewise", *run, cwd=tmp_path, text=True)
    assert done.returncode == 2
    assert "stepz" in done.stderr
    assert "Traceback" not in done.stderr
