"""Half blocks have exact colors; the live view tells every event, plainly where there is no terminal."""

import io

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from strokewise.cli.terminal import (
    HalfBlocks,
    LiveView,
    Story,
    fitting,
    labeled,
    pairs,
    printable,
    render_story,
    resampled,
)
from strokewise.trajectory.events import (
    Failed,
    Finished,
    ImageFinished,
    ImagePreview,
    ImageStarted,
    TextDelta,
    TextFinished,
    TextStarted,
)
from strokewise.trajectory.files import encode_png

PNG = encode_png(Image.new("RGB", (32, 32), "red"))
PLAN = "<ins>Add a cat.</ins> <des>a cat</des>"
EVENTS = [
    TextStarted(0),
    TextDelta(0, "<ins>Add a "),
    TextDelta(0, "cat.</ins>"),
    TextFinished(0, PLAN, 0.5),
    ImageStarted(0, "sketch", 32, 32, 8),
    ImagePreview(0, 4, 8, PNG),
    ImageFinished(0, "sketch", PNG, 1.5),
    TextStarted(1),
    TextFinished(1, "it is red. <refine>Make it blue.</refine>", 0.5),
    ImageStarted(1, "refine", 32, 32, 8),
    ImageFinished(1, "refine", PNG, 1.5),
    TextFinished(2, "all is there.", 1.0),
    Finished(3, "end"),
]


def consoles(width=100, **more):
    return Console(record=True, width=width, height=40, file=io.StringIO(), color_system="truecolor", **more)


def cells(image, columns):
    """Characters and colors of the lines of half blocks."""
    console = consoles(force_terminal=True)
    lines = console.render_lines(HalfBlocks(image, columns), pad=False)
    found = []
    for line in lines:
        row = []
        for segment in line:
            colors = [segment.style.color, segment.style.bgcolor]
            rgb = tuple(color and tuple(color.triplet) for color in colors)
            row += [(char, *rgb) for char in segment.text]
        found.append(row)
    return found


def test_two_by_two_pixels_are_two_cells():
    image = Image.new("RGB", (2, 2))
    image.putdata([(1, 2, 3), (4, 5, 6), (7, 8, 9), (250, 251, 252)])
    assert cells(image, 2) == [[("▀", (1, 2, 3), (7, 8, 9)), ("▀", (4, 5, 6), (250, 251, 252))]]


def test_an_odd_last_row_has_no_background():
    image = Image.new("RGB", (1, 3), (9, 8, 7))
    assert cells(image, 1) == [[("▀", (9, 8, 7), (9, 8, 7))], [("▀", (9, 8, 7), None)]]


@pytest.mark.parametrize("size", [(1, 1), (64, 48), (48, 65), (500, 1), (1, 40)])
@pytest.mark.parametrize("columns", [0, 1, 7, 20])
def test_pictures_of_any_shape_are_as_wide_as_asked(size, columns):
    for line in cells(Image.new("RGBA", size), columns):
        assert len(line) == max(1, columns)


def test_equal_neighbors_share_a_segment():
    lines = consoles().render_lines(HalfBlocks(Image.new("RGB", (64, 64), "red"), 20), pad=False)
    assert [len(line) for line in lines] == [1] * 10


def test_pictures_are_averaged_not_picked():
    lines = np.zeros((64, 64, 3), np.uint8)
    lines[:, ::2] = 255
    middle = resampled(Image.fromarray(lines), 16)[4:-4, 4:-4]
    assert np.abs(middle.astype(int) - 127).max() < 8


def test_a_wide_picture_is_cut_to_the_console():
    console = consoles(width=10, force_terminal=True)
    console.print(HalfBlocks(Image.new("RGB", (64, 64)), 50))
    assert set(console.export_text().splitlines()) == {"▀" * 10}


def test_without_colors_light_is_dense():
    image = Image.new("RGB", (2, 2), "black")
    image.putpixel((1, 0), (255, 255, 255))
    image.putpixel((1, 1), (255, 255, 255))
    console = Console(width=20, file=io.StringIO(), color_system=None)
    console.print(HalfBlocks(image, 2))
    assert console.file.getvalue() == " @\n"


def test_pairs_keep_every_row():
    found = pairs(np.arange(5)[:, None])
    assert [(int(a[0]), None if b is None else int(b[0])) for a, b in found] == [(0, 1), (2, 3), (4, None)]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("it is", [("inspection", "it is")]),
        ("it is. <refi", [("inspection", "it is.")]),
        ("it is. <refine>Make", [("inspection", "it is."), ("refinement", "Make")]),
        (PLAN, [("plan", "Add a cat."), ("scene", "a cat")]),
        (PLAN[:-3], [("plan", "Add a cat."), ("scene", "a cat")]),
        ("1 < 2", [("inspection", "1 < 2")]),
        ("a <b> [red]c[/red]", [("inspection", "a <b> [red]c[/red]")]),
    ],
)
def test_unfinished_messages_are_labeled(text, parts):
    assert labeled(text) == parts


def test_texts_cannot_steer_the_terminal():
    assert printable("a\x1b[2Jb\tc\nd\x07") == "a�[2Jb c\nd�"
    console = consoles(force_terminal=True)
    story = Story("\x1b]0;title\x07")
    story.add(TextFinished(0, "\x1b[2J", 1.0))
    console.print(render_story(story, 100, 40, moving=False))
    assert "\x1b" not in console.export_text()


def test_a_story_shows_the_step_under_way():
    story = Story("a [bold]cat")
    seen = []
    for event in EVENTS:
        story.add(event)
        console = consoles()
        console.print(render_story(story, 100, 40))
        seen.append(console.export_text())
    assert all("a [bold]cat" in text for text in seen)
    assert "plan  Add a" in seen[1]
    assert "▀" not in seen[4]
    assert "painting the sketch, flow step 4 of 8" in seen[5]
    assert "▀" in seen[5]
    assert "● 1  Add a cat.  2.0 s" in seen[7]
    assert "refinement  Make it blue." in seen[8]
    assert "painting the refinement" in seen[9]
    assert "↻ 2  Make it blue." in seen[12]
    assert "1 sketch" in seen[12]
    assert "ended: end · 5.0 s" in seen[12]


@pytest.mark.parametrize("width", [1, 10, 40, 89, 90, 200])
@pytest.mark.parametrize("first", range(len(EVENTS)))
def test_a_late_listener_sees_what_is_left_at_any_width(width, first):
    story = Story("a cat")
    for event in EVENTS[first:]:
        story.add(event)
        console = consoles(width=width)
        console.print(render_story(story, width, 24))
        assert all(len(line) <= width for line in console.export_text().splitlines())


@pytest.mark.parametrize("width", [60, 120])
@pytest.mark.parametrize("height", [20, 24, 50])
@pytest.mark.parametrize("count", [1, 5, 30])
def test_a_live_view_fits_the_lines_there_are(width, height, count):
    story = Story("a cat and " * 8)
    for number in range(count):
        story.add(TextFinished(number, f"it is right. {PLAN}", 1.0))
        story.add(ImageStarted(number, "sketch", 32, 32, 8))
        story.add(ImagePreview(number, 4, 8, PNG))
        console = consoles(width=width)
        console.print(render_story(story, width, height))
        assert len(console.export_text().splitlines()) <= height
        story.add(ImageFinished(number, "sketch", PNG, 1.0))
    assert f"step {count}: painting" in _shown(story, width, height, over=False)
    story.add(Finished(count, "rounds"))
    assert _shown(story, width, height, over=True).count("Add a cat.") == count


def _shown(story, width, height, over):
    assert story.over is over
    if not over:
        story.steps[max(story.steps)].painted = False
    console = consoles(width=width)
    console.print(render_story(story, width, height))
    return console.export_text()


def test_the_bar_has_a_line_of_its_own():
    story = Story("a cat")
    for event in EVENTS[:6]:
        story.add(event)
    console = consoles(width=60)
    console.print(render_story(story, 60, 40, moving=False))
    bar = next(line for line in console.export_text().splitlines() if "━" in line)
    assert "▀" not in bar


def test_pictures_fit_the_lines_there_are():
    assert fitting(Image.new("RGB", (64, 64)), 100, 10) == 20
    assert fitting(Image.new("RGB", (64, 64)), 12, 10) == 12
    assert fitting(Image.new("RGB", (1, 500)), 12, 10) == 1


def test_no_terminal_plain_lines():
    file = io.StringIO()
    with LiveView("a\ncat", Console(file=file, width=20)) as view:
        for event in EVENTS:
            view.show(event)
        view.show(Failed(3, "no [red]memory\x1b"))
    assert file.getvalue().splitlines() == [
        "prompt: a cat",
        "step 1 plan: Add a cat.",
        "step 1 scene: a cat",
        "step 1 sketch painted: 32x32, 1.5 s",
        "step 2 inspection: it is red.",
        "step 2 refinement: Make it blue.",
        "step 2 refine painted: 32x32, 1.5 s",
        "step 3 inspection: all is there.",
        "ended: end",
        "failed: no [red]memory�",
    ]


def test_a_terminal_keeps_the_last_state():
    console = consoles(force_terminal=True)
    with LiveView("a cat", console) as view:
        for event in EVENTS:
            view.show(event)
    assert "\x1b[?25h" in console.file.getvalue()  # the cursor is back
    text = console.export_text()
    assert text.count("ended: end") >= 1
    assert "▀" in text


def test_a_failure_is_shown_and_passed_on():
    console = consoles(force_terminal=True)
    view = LiveView("a cat", console)
    with pytest.raises(KeyboardInterrupt):
        _fail(view)
    assert "✗ no memory" in console.export_text()


def _fail(view):
    with view:
        view.show(Failed(0, "no memory"))
        raise KeyboardInterrupt
