"""The painter: loading, painting, the words a model knows, its own defaults."""

import json
import shutil

import pytest

import strokewise
from strokewise.errors import CheckpointError, ConfigError, InputError, PromptError
from strokewise.inference import PROTOCOL_FORMATS, PaintingOptions, Request, SinglePass
from strokewise.inference.painter import Painter
from strokewise.inference.prompt_check import Vocabulary
from strokewise.trajectory.events import Event

FAST = {"steps": 2, "policy": SinglePass()}


@pytest.fixture(scope="session")
def painter(tiny_folder):
    return Painter.load(tiny_folder, "cpu")


@pytest.fixture
def with_file(tiny_folder, tmp_path):
    """A copy of the tiny checkpoint with one more file."""

    def make(name, text):
        folder = tmp_path / "model"
        shutil.copytree(tiny_folder, folder)
        (folder / name).write_text(text)
        return folder

    return make


def test_it_is_the_packages_way_in():
    assert strokewise.Painter is Painter
    assert strokewise.PaintingOptions is PaintingOptions
    with pytest.raises(AttributeError, match="no attribute 'Paintr'"):
        strokewise.Paintr  # noqa: B018


def test_a_single_pass(painter):
    trajectory = painter.paint("a cup", seed=3, **FAST)
    assert [image.size for image in trajectory.images] == [(16, 16)]
    assert (trajectory.stop, trajectory.seed, trajectory.prompt) == ("single-pass", 3, "a cup")
    assert trajectory.steps[0].seed == 3
    assert trajectory.steps[0].seconds > 0
    assert trajectory.model == "tiny0"


def test_a_seed_is_a_picture(painter):
    first, again, other = (painter.paint("a cup", seed, **FAST).images[0] for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_a_stream_begins_with_nothing_computed_and_ends_with_finished(painter):
    events = list(painter.stream("a cup", previews=1, **FAST))
    assert all(isinstance(event, Event) for event in events)
    assert [event.type for event in events] == [
        "image_started",
        "image_preview",
        "image_finished",
        "finished",
    ]
    with pytest.raises(ConfigError, match="unknown options"):
        painter.stream("a cup", stepps=3)


def test_many_prompts_in_batches(painter):
    prompts = ["a cup", "two red buses", "a dog on sand"]
    painted = painter.paint_many(prompts, [4, 5, 6], batch=2, **FAST)
    assert [trajectory.prompt for trajectory in painted] == prompts
    for prompt, seed, found in zip(prompts, [4, 5, 6], painted, strict=True):
        alone = painter.paint(prompt, seed, **FAST).images[0].tobytes()
        pairs = zip(alone, found.images[0].tobytes(), strict=True)
        assert max(abs(a - b) for a, b in pairs) <= 2
    assert painter.paint_many([], **FAST) == []


def test_many_prompts_need_as_many_seeds(painter):
    with pytest.raises(ConfigError, match="2 prompts but 1 seeds"):
        painter.paint_many(["a cup", "a bus"], [1])
    with pytest.raises(ConfigError, match="batch is 0"):
        painter.paint_many(["a cup"], batch=0)


def test_rounds_with_an_image_and_instructions(painter, random_image):
    painter.protocol_format, old = PROTOCOL_FORMATS["thinkmorph"], painter.protocol_format
    try:
        trajectory = painter.paint(
            "a cup", image=random_image(32, 16), instruct=["a line", "a dot"], steps=2, max_tokens=8
        )
    finally:
        painter.protocol_format = old
    assert [step.message.inspect for step in trajectory.steps][:2] == ["a line", "a dot"]
    assert [image.size for image in trajectory.images] == [(16, 8)] * 2
    assert trajectory.source.size == (16, 8)


def test_errors_come_before_the_first_event(painter):
    with pytest.raises(InputError, match="not a multiple of 4"):
        painter.stream("a cup", size=(10, 16))
    with pytest.raises(InputError, match="empty"):
        painter.stream("")


def test_an_unknown_model_is_an_error_that_lists_the_known_ones():
    with pytest.raises(CheckpointError, match=r"no model 'micro'.*bagel-7b"):
        Painter.load("micro")


# --- words ------------------------------------------------------------------------------------------------

WORDS = Vocabulary(("cup", "bus", "dog"), ("red", "blue"))


@pytest.mark.parametrize(
    "prompt", ["a red cup", "a photo of two buses", "a blue dog left of a cup on a sky background"]
)
def test_known_prompts(prompt):
    WORDS.check(prompt, ["add a red cup at the top"])


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("a zebra", "not trained: zebra"),
        ("a green cup left of a pizza", "not trained: pizza, green"),
        ("a unicorn", "unknown words: 'unicorn'"),
        ("cup", "not understood"),
    ],
)
def test_unknown_prompts_name_what_is_known(prompt, reason):
    with pytest.raises(PromptError) as caught:
        WORDS.check(prompt)
    message = str(caught.value)
    assert reason in message
    assert "This model knows: cup, bus, dog; in the colors red, blue" in message
    assert "--any-prompt" in message
    assert "\n" not in message
    assert "Known are" not in message


def test_an_edit_may_be_written_as_a_stroke():
    with pytest.raises(PromptError):
        WORDS.check("add a red cup at the top")
    WORDS.check("add a red cup at the top", editing=True)
    with pytest.raises(PromptError, match="instruction 'hop'"):
        WORDS.check("a cup", ["hop"])


def test_the_painter_checks_prompts_by_default(with_file):
    painter = Painter.load(with_file("vocabulary.json", json.dumps(vars(WORDS))))
    assert painter.vocabulary == WORDS
    with pytest.raises(PromptError):
        painter.stream("a zebra")
    with pytest.raises(PromptError):
        painter.paint_many(["a cup", "a zebra"], **FAST)
    assert painter.paint("a zebra", check=False, **FAST).images
    assert painter.paint("a cup", **FAST).images


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"classes": ["cup"], "colors": "red"}',
        '{"classes": ["cup", 1], "colors": []}',
        '{"classes": ["cup"], "colors": [], "sizes": []}',
    ],
)
def test_a_damaged_vocabulary_is_named(with_file, text):
    with pytest.raises(CheckpointError, match=r"vocabulary\.json"):
        Painter.load(with_file("vocabulary.json", text))


# --- a model's own defaults -------------------------------------------------------------------------------


def test_a_model_may_have_its_own_defaults(with_file):
    painter = Painter.load(with_file("painting.json", '{"steps": 2, "size": [8, 12], "shift": 1.0}'))
    assert painter.defaults == PaintingOptions(steps=2, size=(8, 12), shift=1.0)
    assert painter.paint("a cup", policy=SinglePass()).images[0].size == (12, 8)
    assert painter.paint("a cup", policy=SinglePass(), size=(8, 8)).images[0].size == (8, 8)


@pytest.mark.parametrize(
    "text",
    ["{", '{"stepps": 2}', '{"steps": 0}', '{"steps": "two"}', '{"steps": true}', '{"size": [8]}', "3"],
)
def test_damaged_defaults_are_named(with_file, text):
    with pytest.raises(CheckpointError, match=r"painting\.json"):
        Painter.load(with_file("painting.json", text))


def test_a_painting_may_be_branched(painter, random_image):
    first = painter.paint("a cup", **FAST).steps[0]
    request = Request("a cup", seed=9, before=(first,), canvases={1: random_image(16, 16)})
    engine = painter.start([request], steps=2, max_tokens=4)
    assert [event.type for _, event in engine.run()][-1] == "finished"
    assert engine.trajectories()[0].steps[0] == first
