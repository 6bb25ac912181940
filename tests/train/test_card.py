"""The card of a trained model."""

import json

import yaml

from strokewise.cli.main import _run
from strokewise.train.export import export
from strokewise.train.trainer import Trainer


def test_the_card_states_training_and_figures(toy, start, tmp_path, capsys):
    """A run of two steps, its export, an evaluation of it, and the card of all that."""
    model, runs = tmp_path / "model", tmp_path / "runs"
    Trainer(toy.config(start, steps=2), tmp_path / "run").fit()
    export(tmp_path / "run", model)
    training = json.loads((model / "training.json").read_text())
    assert (training["recipe"], training["start"], training["steps_done"]) == (
        "toy",
        start.name,
        2,
    )
    assert str(tmp_path) not in (model / "training.json").read_text()

    (tmp_path / "prompts.txt").write_text("a red apple\n")
    painted = ["--prompts", str(tmp_path / "prompts.txt"), "--seeds", "0", "--steps", "1", "--out", str(runs)]
    assert _run(["eval", "run", str(model), *painted, "--strategy", "single-pass", "--world", "real"]) == 0
    written = ["hub", "card", str(model), "me/tiny", "--license", "apache-2.0", "--runs", str(runs)]
    assert _run([*written, "--data", "the sprite world"]) == 0
    _, head, text = (model / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head)["license"] == "apache-2.0"
    for stated in (
        "Recipe `toy`",
        "2 of 2 steps",
        "| pack tokens | 400 |",
        "Data: the sprite world",
    ):
        assert stated in text
    for source in training["data"]:
        assert f"| {source['name']} | {source['share']:.1%} |" in text
    assert "Strategies and their cost" in text
    assert "| model single-pass | not scored | 1 |" in text

    assert _run([*written[:3], "me/tiny", "--license", "mit"]) == 0
    text = (model / "README.md").read_text()
    assert "None was measured." in text
    assert "Where the data come from is not stated." in text
    capsys.readouterr()
    other = ["hub", "card", str(start), "me/tiny", "--license", "mit", "--runs", str(runs)]
    assert _run(other) == 2
    assert "other weights" in capsys.readouterr().err
    assert not (start / "README.md").exists()
