"""The shipped model: it is there, it is small, and it paints what a person asks for."""

import math

import pytest
from safetensors import safe_open

from strokewise import Painter
from strokewise.critics.canvas_reader import read_canvas
from strokewise.critics.detectors import load_detector
from strokewise.errors import PromptError
from strokewise.evals.benchmarks.geneval.images import score_picture
from strokewise.evals.prompt_sets import load_prompts
from strokewise.models import find_checkpoint
from strokewise.models.bagel.layouts import WEIGHTS
from strokewise.world.vocabulary import CLASSES

PROMPTS = ("a photo of a red apple left of a blue bus", "a photo of a zebra", "a photo of two benches")


@pytest.fixture(scope="module")
def painter():
    return Painter.load("nano")


def test_its_weights_are_few_and_small():
    path = find_checkpoint("nano") / WEIGHTS
    assert path.stat().st_size <= 32_000_000
    with safe_open(path, "pt") as weights:
        names = list(weights.keys())
        shapes = [weights.get_slice(name).get_shape() for name in names]
        assert {weights.get_slice(name).get_dtype() for name in names} == {"BF16"}
    assert sum(math.prod(shape) for shape in shapes) <= 16_000_000


def test_it_paints_in_rounds_to_its_own_end(painter):
    trajectories = painter.paint_many(PROMPTS, seeds=[0, 0, 0])
    assert [trajectory.stop for trajectory in trajectories] == ["end"] * 3
    assert len(trajectories[0].images) >= 2
    assert all(step.message.des for t in trajectories for step in t.steps if step.image is not None)
    assert all(trajectory.steps[-1].image is None for trajectory in trajectories)


@pytest.mark.parametrize("every", [37, pytest.param(15, marks=pytest.mark.slow)])
def test_most_pictures_are_as_asked_for(painter, every):
    """Of all six tasks of GenEval."""
    asked = load_prompts("geneval")[::every]
    assert len({prompt.tag for prompt in asked}) == 6
    detector = load_detector("sprite", "cpu")
    painted = painter.paint_many([prompt.text for prompt in asked], seeds=[0] * len(asked))
    right = [
        score_picture("x.png", trajectory.images[-1], prompt.metadata, detector).correct
        for prompt, trajectory in zip(asked, painted, strict=True)
    ]
    assert sum(right) >= 0.75 * len(right)


def test_a_seed_gives_the_same_picture_alone_and_among_others(painter):
    alone = painter.paint(PROMPTS[1], seed=3)
    among = painter.paint_many(PROMPTS, seeds=[1, 3, 2])[1]
    assert [step.message for step in alone.steps] == [step.message for step in among.steps]
    assert read_canvas(alone.images[-1]) == read_canvas(among.images[-1])


def test_what_it_was_not_trained_on_is_refused_by_name(painter):
    assert set(painter.vocabulary.classes) == set(CLASSES)
    with pytest.raises(PromptError, match="dragon"):
        painter.stream("a photo of a dragon")
