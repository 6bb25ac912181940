"""A person in front of the studio, for tests: a real browser, and what it does most."""

import os
import re
import shutil
from contextlib import contextmanager

import pytest
from playwright.sync_api import expect, sync_playwright

PATIENCE = 180_000  # milliseconds; a busy machine paints slowly
FINISHED = re.compile("complete|allowed number|protocol")
expect.set_options(timeout=PATIENCE)


class Studio:
    """A page of the studio, and whatever went wrong in it."""

    def __init__(self, context, url):
        self.url, self.page, self.wrong = url, context.new_page(), []
        self.page.set_default_timeout(PATIENCE)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", self._hear)
        self.page.on("request", self._see)
        self.page.goto(url + "/")
        expect(self.page.get_by_role("heading", level=1)).to_be_visible()

    def _hear(self, message):
        # The browser reports a refused or failed request; whether the page copes is what tests look at.
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.wrong.append(message.text)

    def _see(self, request):
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.wrong.append(f"asked {request.url}")

    @property
    def status(self):
        return self.page.locator(".status")

    @property
    def nodes(self):
        """The steps of the tree, without the prompt and what is under way."""
        return self.page.locator(".tree .node:not(.root):not(.live)")

    @property
    def selected(self):
        return self.page.locator(".tree [aria-selected=true]")

    def button(self, name, **options):
        return self.page.get_by_role("button", name=name, **options)

    def keys(self, *names):
        for name in names:
            self.page.keyboard.press(name)

    def write(self, prompt, steps=2, **options):
        """Fill the box of a new painting, which then paints fast."""
        self.page.get_by_label("Prompt", exact=True).fill(prompt)
        self.page.get_by_text("Options", exact=False).first.click()
        for label, value in {"Flow steps": steps, "Text guidance": 1, "Temperature": 0, **options}.items():
            self.page.get_by_label(label).fill(str(value))

    def paint(self, prompt="a red apple left of a blue bus", **options):
        """Paint to the end."""
        self.write(prompt, **options)
        self.button("Paint", exact=True).click()
        self.finished()

    def finished(self):
        expect(self.status).to_have_text(FINISHED)

    def session(self):
        """The session that is open, as the API gives it."""
        name = re.search(r"#/([^/]+)", self.page.url)[1]
        return self.page.request.get(f"{self.url}/v1/sessions/{name}").json()

    def go_to(self, number):
        """Show a step by its id."""
        name = re.search(r"#/([^/]+)", self.page.url)[1]
        self.page.evaluate(f"location.hash = ''; location.hash = '#/{name}/{number}'")
        expect(self.page.locator(".tree [aria-selected=true]")).to_be_visible()


def chromium():
    """The path of the browser."""
    found = shutil.which(os.environ.get("CHROMIUM", "chromium"))
    if found is None:
        pytest.fail("no browser; apt-get install chromium, or name one in CHROMIUM", pytrace=False)
    return found


@contextmanager
def running_browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def studio_of(browser, url, **options):
    """A person with a browser profile of their own; nothing may go wrong in the page."""
    # Animations would take processors from the model, which draws them without a GPU.
    context = browser.new_context(viewport={"width": 1280, "height": 860}, reduced_motion="reduce", **options)
    studio = Studio(context, url)
    yield studio
    assert studio.wrong == []
    context.close()
