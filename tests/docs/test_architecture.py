"""docs/architecture.md names what is there: rooms, ways of at most eight files, places of new things."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "strokewise"
# The last part names files of other projects.
PAGE, _ = (ROOT / "docs" / "architecture.md").read_text("utf-8").split("## What was taken from whom")
PATH = r"`([\w/]+(?:/|\.py|\.html))`"


def section(title):
    """The text of a part of the page."""
    return re.search(rf"^## {title}.*?\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)[1]


# In the table of rooms a file is named within its room.
ROOM_FILES = {
    name
    for room, names in re.findall(r"^\| (`.*?) \| (.*) \|$", section("Rooms"), re.MULTILINE)
    for folder in re.findall(r"`(\w+)/`", room)
    for name in re.findall(PATH, names)
    if (PACKAGE / folder / name).exists()
}


def test_every_path_is_there():
    paths = re.findall(PATH, section("Rooms") + section("Five ways") + section("Where a new one goes"))
    assert len(paths) > 60
    assert [path for path in paths if not (PACKAGE / path).exists() and path not in ROOM_FILES] == []


def test_every_room_is_on_the_page():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    named = set(re.findall(r"`(\w+)/`", "".join(re.findall(r"^\| `.*?\|", section("Rooms"), re.MULTILINE))))
    assert named == rooms


def test_ways_name_at_most_eight_files_one_after_another():
    ways = re.findall(r"^\*\*(.*?)\.\*\*\n\n((?:^\d\. .*\n)+)", section("Five ways"), re.MULTILINE)
    assert {"Prompt to picture", "Record to loss", "Trajectory to score"} <= {title for title, _ in ways}
    for title, steps in ways:
        lines = steps.splitlines()
        assert 1 < len(lines) <= 8, title
        for number, line in enumerate(lines, 1):
            assert re.match(rf"{number}\. {PATH}", line), line
