"""Templates escape every value, refuse missing ones, and travel with the package."""

import base64
import io
import re
from importlib import resources

import pytest
from jinja2 import UndefinedError
from PIL import Image

from strokewise.io.pages import embedded, render_template

TEMPLATES = sorted(
    path.name
    for path in resources.files("strokewise").joinpath("templates").iterdir()
    if path.name.endswith(".html")
)

PAGES = ["gallery.html", "records.html", "report.html", "trajectory.html"]


def test_values_are_escaped_and_must_be_given():
    row = {"folder": "a", "prompt": "<b>&'\"", "seed": 1, "stop": "end", "canvases": 1}
    text = render_template("gallery.html", title="<i>", paintings=[row], page="p.html", final="f.png")
    assert "<b>" not in text
    assert "&lt;b&gt;&amp;&#39;&#34;" in text
    assert "<title>&lt;i&gt;</title>" in text
    with pytest.raises(UndefinedError, match="paintings"):
        render_template("gallery.html", title="a")


def test_all_pages_have_one_stylesheet_with_both_schemes():
    assert TEMPLATES == [
        "base.html",
        "gallery.html",
        "parts.html",
        "records.html",
        "report.html",
        "trajectory.html",
    ]
    folder = resources.files("strokewise").joinpath("templates")
    for name in TEMPLATES[1:]:
        source = folder.joinpath(name).read_text(encoding="utf-8")
        assert "<style" not in source
        assert source.startswith('{% extends "base.html" %}') is (name in PAGES)
    style = folder.joinpath("style.css").read_text(encoding="utf-8")
    assert "color-scheme:light dark" in style
    assert "prefers-color-scheme:dark" in style
    assert not re.search(r"url\(|@import|https?:", style)


def test_pictures_are_inside_and_bounded():
    picture = embedded(Image.new("RGBA", (300, 150), (0, 0, 0, 4)), 100)
    assert (picture.width, picture.height) == (100, 50)
    data = base64.b64decode(picture.url.removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(data)) as image:
        assert (image.size, image.mode, image.getpixel((0, 0))) == ((100, 50), "RGBA", (0, 0, 0, 4))
    assert embedded(Image.new("L", (3, 2)), 100)[1:] == (3, 2)
