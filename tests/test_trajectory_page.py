"""Pages hold everything a trajectory says and shows, escaped, and ask nothing of the network."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from strokewise.errors import RecordError
from strokewise.trajectory.page import FADED, OUTLINE, STOPS, changes, marks, page, rounds, write_page
from strokewise.trajectory.values import Message, Step, StopReason, Trajectory, Verdict

VOID = {"meta", "img", "link", "br", "hr", "input"}
RED, BLUE = Image.new("RGB", (16, 16), "red"), Image.new("RGB", (16, 16), "blue")
WHOLE = Trajectory(
    "a cat & a <script>alert(1)</script>",
    (
        Step(Message(ins="Add a cat.", des="a cat"), RED, seed=11, seconds=1.25),
        Step(Message("it is red.", "Make it blue."), BLUE, Verdict(True, False), seed=12, seconds=2.0),
        Step(Message("now it is."), None, Verdict(True, True)),
    ),
    model='nano"><img src=x onerror=1>',
    seed=5,
)


class Reader(HTMLParser):
    """Collects tags and words, and refuses tags that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def images(self):
        return [attrs for tag, attrs in self.tags if tag == "img"]


def pixels(attrs):
    data = base64.b64decode(attrs["src"].removeprefix("data:image/png;base64,"))
    return Image.open(io.BytesIO(data))


def test_everything_said_and_known_is_on_the_page():
    text = Reader(page(WHOLE)).text
    expected = [
        "Add a cat.",
        "a cat",
        "it is red.",
        "Make it blue.",
        "now it is.",
        "1.2 s",
        "seed 11",
        "2.0 s",
    ]
    expected += [
        "seed 12",
        "3.2 s",
        "seed 5",
        WHOLE.prompt,
        WHOLE.model,
        "complete and ended",
        "Round 1, refined",
    ]
    for part in expected:
        assert part in text
    assert text.index("✗ sketch at fault") < text.index("Make it blue.") < text.index("✓ accepted")


def test_canvases_survive_and_every_picture_has_an_alternative():
    reader = Reader(page(WHOLE))
    images = reader.images()
    assert all(attrs["alt"] for attrs in images)
    assert np.array_equal(pixels(images[0]), np.asarray(BLUE))
    canvases = [pixels(attrs) for attrs in images if attrs["alt"].startswith("Canvas")]
    assert [image.getpixel((0, 0)) for image in canvases] == [(255, 0, 0), (0, 0, 255)]


def test_nothing_is_run_or_fetched():
    text = page(WHOLE)
    reader = Reader(text)
    assert not {"script", "iframe", "link", "object", "form"} & {tag for tag, _ in reader.tags}
    links = [attrs.get(key, "") for _, attrs in reader.tags for key in ("src", "href") if key in attrs]
    assert all(link.startswith(("data:image/png;base64,", "#round-")) for link in links)
    assert not any(key.startswith("on") for _, attrs in reader.tags for key in attrs)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text.split("<body>")[0])
    assert "default-src 'none'" in text


def test_every_reason_to_stop_has_a_sentence():
    assert set(STOPS) == set(StopReason)


def test_links_lead_to_rounds():
    tags = Reader(page(WHOLE)).tags
    ids = {attrs.get("id") for _, attrs in tags}
    assert {attrs["href"][1:] for tag, attrs in tags if tag == "a"} == {"round-1", "round-2"} <= ids


@pytest.mark.parametrize(
    "trajectory",
    [
        Trajectory("", ()),
        Trajectory("a", (Step(Message()),), stop=StopReason.FAILED),
        Trajectory("a", (Step(Message(), RED),), stop=StopReason.SINGLE_PASS),
        Trajectory("a", (Step(Message(ins="b")),), stop=StopReason.INTERRUPTED),
        Trajectory(
            "a", (Step(Message("c", ins="", des=""), RED), Step(Message("d")), Step(Message("e"))), BLUE
        ),
        Trajectory("a", (Step(Message(ins="b"), RED.convert("L")), Step(Message("c"), BLUE.convert("RGBA")))),
        Trajectory(
            "a\ud800\0", (Step(Message(ins="\x1b"), Image.new("RGB", (1, 1))),), stop=StopReason.PROTOCOL
        ),
    ],
)
def test_missing_parts_do_no_damage(trajectory, tmp_path):
    write_page(trajectory, tmp_path / "page.html")
    text = Reader((tmp_path / "page.html").read_text("utf-8")).text
    for step in trajectory.steps:
        assert all(part in text for part in vars(step.message).values() if part and part.isprintable())
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_page_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "none").write_text("a file")
    with pytest.raises(RecordError, match="cannot be written"):
        write_page(WHOLE, tmp_path / "none" / "page.html")


def test_large_pictures_are_stored_smaller():
    large = Trajectory("a", (Step(Message(), Image.new("RGB", (3000, 1500))),), stop=StopReason.SINGLE_PASS)
    assert [pixels(attrs).size for attrs in Reader(page(large)).images()] == [(1024, 512), (640, 320)]


def test_only_what_changed_keeps_its_color():
    before = Image.new("RGB", (64, 48), (200, 40, 40))
    after = before.copy()
    after.paste((0, 90, 250), (20, 10, 36, 26))
    after.putpixel((0, 0), (205, 40, 40))  # less than counts as a change
    shown, share = changes(before, after)
    kept = np.zeros((48, 64), bool)
    kept[9:27, 19:37] = True  # one pixel of margin
    around = np.zeros((48, 64), bool)
    around[8:28, 18:38] = True
    found, rgb = np.asarray(shown), np.asarray(after)
    assert share == 16 * 16 / (64 * 48)
    assert (found[kept][:, 3] == 255).all()
    assert (found[kept][:, :3] == rgb[kept]).all()
    assert (found[around & ~kept] == OUTLINE).all()
    assert (found[~around][:, 3] == FADED).all()
    assert (found[~around][:, :3] == np.asarray(after.convert("L"))[~around][:, None]).all()


def test_no_change_and_another_size():
    assert changes(RED, RED)[1] == 0
    assert changes(RED.resize((8, 32)), BLUE)[1] == 1
    twice = Trajectory("a", (Step(Message(ins="b"), RED), Step(Message("c", ins="d"), RED)))
    assert "Nothing visible changed." in Reader(page(twice)).text


@pytest.mark.parametrize(
    ("verdict", "kinds"),
    [
        (None, ["unjudged"]),
        (Verdict(), ["unjudged"]),
        (Verdict(None, True), ["accepted"]),
        (Verdict(True, True), ["accepted"]),
        (Verdict(False, True), ["plan"]),
        (Verdict(None, False), ["sketch"]),
        (Verdict(False, False), ["plan", "sketch"]),
    ],
)
def test_marks(verdict, kinds):
    assert [kind for kind, _ in marks(verdict)] == kinds


def test_rounds_number_sketches_and_compare_with_the_picture_before():
    given = Trajectory("a", WHOLE.steps, source=BLUE)
    found = rounds(given)
    assert [one.name for one in found] == ["Round 1", "Round 1, refined"]
    assert [one.before for one in found] == [BLUE, RED]
    assert [one.flawed for one in found] == [True, False]
