"""The page's files: what is vendored is what was published, and nothing comes from elsewhere."""

import gzip
import hashlib
import re
from importlib.resources import files
from pathlib import Path

import pytest

STATIC = Path(str(files("strokewise.serve") / "static"))
OWN = sorted(STATIC.glob("*.js"))
# Of the package htm 3.1.1 on npm, preact/standalone.module.js, which holds preact, its hooks and htm.
VENDORED = {"htm-preact-3.1.1.js": "72284e8e9079c87817145df1110f74e8a2aa040b2fc384922e18dfcb46fc1fd7"}


def test_vendored_files_are_the_published_ones():
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in STATIC.glob("vendor/*.js")}
    assert found == VENDORED
    assert "Apache License" in (STATIC / "vendor/htm.LICENSE.txt").read_text()
    assert "MIT License" in (STATIC / "vendor/preact.LICENSE.txt").read_text()


def test_a_browser_fetches_less_than_100_kilobytes():
    fetched = [path for path in STATIC.rglob("*") if path.suffix in (".html", ".css", ".js", ".svg")]
    assert sum(len(gzip.compress(path.read_bytes())) for path in fetched) < 100_000


def test_files_are_short():
    assert {path.name: n for path in OWN if (n := len(path.read_text().splitlines())) >= 400} == {}


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_modules_import_only_files_that_are_there(path):
    for name in re.findall(r'from "([^"]+)"', path.read_text()):
        assert name.startswith("./"), name
        assert (STATIC / name).is_file(), name


def test_the_page_names_only_its_own_files_and_holds_no_script_or_style():
    page = (STATIC / "index.html").read_text()
    for name in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert (STATIC.parent / name).is_file(), name
    assert re.search(r"<script[^>]*>[^<]", page) is None
    assert re.search(r"<style|style=|\son\w+=", page) is None
    for path in [*OWN, *STATIC.glob("*.css"), STATIC / "index.html"]:
        addresses = set(re.findall(r"https?://[^\s\"'`)]+", path.read_text()))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path.name
