"""``strokewise eval``: rendered scenes are right, others wrong, mistakes are one line and exit status 2."""

import json

import pytest
from PIL import Image

from strokewise.critics.detectors import SpriteDetector, load_detector
from strokewise.evals.benchmarks.geneval.images import score_picture
from strokewise.evals.image_folders import write_metadata, write_picture
from strokewise.world.language import geneval_metadata, geneval_prompts, parse_prompt
from strokewise.world.layout import place
from strokewise.world.render import render

BY_TAG = {prompt.tag: prompt for prompt in geneval_prompts()}


def painted(prompt):
    return render(place(parse_prompt(prompt.text), seed=1), 128)


@pytest.fixture
def folder(tmp_path):
    """One prompt of every task, each with a right picture and an empty one."""
    for number, prompt in enumerate(BY_TAG.values()):
        write_metadata(tmp_path / "images", number, geneval_metadata(prompt))
        write_picture(tmp_path / "images", number, 0, painted(prompt))
        write_picture(tmp_path / "images", number, 1, Image.new("RGB", (128, 128), "white"))
    return tmp_path / "images"


def test_geneval_scores_a_folder(call, folder, tmp_path):
    out = tmp_path / "deep" / "results.jsonl"
    status, printed, err = call("geneval", "--images", folder, "--detector", "sprite", "--out", out)
    assert status == 0, err
    assert "overall" in printed
    assert "0.5000" in printed
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["correct"] for line in lines] == [True, False] * 6
    assert [line["tag"] for line in lines[::2]] == list(BY_TAG)
    first = lines[0]
    official = {"filename", "tag", "prompt", "correct", "reason", "metadata", "details"}
    assert set(first) == {*official, "fault"}
    assert [line["fault"] for line in lines] == [None, "missing"] * 2 + [None, "missing"] * 4
    assert json.loads(first["metadata"]) == geneval_metadata(BY_TAG["single_object"])
    (((*box, score),),) = json.loads(first["details"]).values()
    assert len(box) == 4
    assert 0.3 < score <= 1
    assert lines[1]["reason"].startswith("expected ")


@pytest.mark.parametrize("tag", BY_TAG)
def test_a_scene_of_another_prompt_is_wrong(tag):
    metadata = geneval_metadata(BY_TAG[tag])
    others = [prompt for prompt in geneval_prompts() if prompt.tag == tag][:3]
    for other in others:
        assert not score_picture("a", painted(other), metadata, SpriteDetector()).correct


def test_mistakes_are_one_line_and_exit_status_2(call, folder, tmp_path):
    for arguments, message in (
        (("--images", tmp_path / "none", "--detector", "sprite"), "is no folder"),
        (("--images", folder, "--detector", "sprites"), "unknown detector 'sprites'"),
        (("--images", folder, "--detector", "sprite", "--out", folder), "cannot be written"),
    ):
        status, _, err = call("geneval", *arguments)
        assert status == 2
        assert message in err.splitlines()[-1]


def test_a_picture_too_small_is_named(call, folder):
    write_picture(folder, 2, 0, Image.new("RGB", (16, 16)))
    status, _, err = call("geneval", "--images", folder, "--detector", "sprite")
    assert status == 2
    assert "00002/samples/0000.png" in err


def test_loading_the_sprite_detector_needs_no_weights():
    assert isinstance(load_detector("sprite"), SpriteDetector)
