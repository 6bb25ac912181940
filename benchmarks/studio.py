"""Time until the studio is interactive: from the request of the page until its prompt box can be written in.

python benchmarks/studio.py [--loads 10]
"""

import argparse
import os
import statistics
from collections.abc import Sequence

from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.table import Table

import machine
from serving import serving

# The options appear last, when the page knows the server: a painting can then be requested.
WATCH = """
new MutationObserver((_, observer) => {
  if (!document.querySelector("#prompt") || !document.querySelector(".options")) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => { window.interactive = performance.now(); }));
}).observe(document, { childList: true, subtree: true });
"""


def milliseconds(browser: Browser, url: str, again: bool) -> float:
    """From the request to the moment when the page can be used; ``again``: by one who was there before."""
    context = browser.new_context()
    context.add_init_script(WATCH)
    page = context.new_page()
    for _ in range(2 if again else 1):
        page.goto(url)
        # Asked for again and again: the page's policy forbids the code with which playwright would wait.
        while (found := page.evaluate("window.interactive ?? null")) is None:
            page.wait_for_timeout(5)
    context.close()
    return float(found)


def row(name: str, times: Sequence[float]) -> tuple[str, ...]:
    """Return a row of the table."""
    return (name, f"{statistics.median(times):.0f}", f"{min(times):.0f}", f"{max(times):.0f}")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--loads", type=int, default=10)
    options = parser.parse_args()
    console = Console(width=110)
    console.print(machine.describe("cpu"))
    table = Table("page", "median, ms", "least, ms", "most, ms")
    with serving("nano") as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"]
        )
        milliseconds(browser, url, again=False)  # the browser's own start
        for name, again in (("first visit", False), ("later visit", True)):
            table.add_row(*row(name, [milliseconds(browser, url, again) for _ in range(options.loads)]))
        browser.close()
    console.print(table)


if __name__ == "__main__":
    main()
