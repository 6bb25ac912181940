"""Time to the first event, and pictures a minute of 1, 4 and 16 sessions at once against ``paint --prompts``.

python benchmarks/serving.py [--model nano] [--sessions 1 4 16]
"""

import argparse
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from rich.console import Console
from rich.table import Table

import machine

PROMPTS = (
    "a red apple left of a blue bus",
    "three yellow bananas",
    "a green dog above a purple chair",
    "two cats and a pink umbrella",
)
BATCH = 8


@contextmanager
def serving(model: str) -> Iterator[str]:
    """The address of a server in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "strokewise", "serve", model, "--port", "0", "--data", folder]
        process = subprocess.Popen([*command, "--batch", str(BATCH)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None, "it is a pipe"
        try:
            found = re.search(r"http\S+", process.stdout.readline())
            assert found is not None, "the server says where it listens"
            yield found[0]
        finally:
            process.terminate()
            process.wait()


def paint(url: str, prompt: str, seed: int, times: list[float]) -> None:
    """Paint one prompt and follow its events to the end; appends the time to the first text."""
    start, first = time.perf_counter(), 0.0
    with httpx.Client(base_url=url, timeout=600) as client:
        body = {"prompt": prompt, "seed": seed, "options": {"previews": 0}}
        session = client.post("/v1/sessions", json=body).raise_for_status().json()
        with client.stream("GET", f"/v1/sessions/{session['id']}/events") as answer:
            for line in answer.iter_lines():
                if not first and line == "event: text_delta":
                    first = time.perf_counter() - start
                if line == "event: finished" or ('"status": "finished"' in line):
                    break
    times.append(first)


def served(url: str, count: int) -> tuple[float, float]:
    """Seconds for ``count`` pictures at once, and the slowest time to a first text."""
    times: list[float] = []
    threads = [
        threading.Thread(target=paint, args=(url, PROMPTS[i % len(PROMPTS)], i // len(PROMPTS), times))
        for i in range(count)
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times) == count, "every session ended"
    return time.perf_counter() - start, max(times)


def painted(model: str, count: int) -> float:
    """Seconds for the same pictures by ``paint --prompts``, without the time to start and load."""
    with tempfile.TemporaryDirectory() as folder:
        seconds: list[float] = []
        lines = [PROMPTS[i] for i in range(min(count, len(PROMPTS)))]
        starting = ["--single-pass", "--steps", "1"]  # the least painting there is
        for chosen, each, more in ((lines[:1], 1, starting), (lines, count // len(lines), [])):
            (Path(folder) / "prompts.txt").write_text("\n".join(chosen) + "\n")
            command = [sys.executable, "-m", "strokewise", "paint", "--model", model, "--n", str(each)]
            command += ["--prompts", f"{folder}/prompts.txt", "--batch", str(BATCH), *more]
            command += ["--out", f"{folder}/{len(seconds)}"]
            start = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - start)
    return seconds[1] - seconds[0]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 4, 16])
    options = parser.parse_args()
    console = Console(width=110)
    console.print(machine.describe("cpu"))
    table = Table(
        "at once", "first text, s", "served, pictures/min", "paint --prompts, pictures/min", "share"
    )
    with serving(options.model) as url:
        served(url, 1)
        for count in options.sessions:
            seconds, first = served(url, count)
            alone = painted(options.model, count)
            rates = [60 * count / seconds, 60 * count / alone]
            table.add_row(
                str(count), f"{first:.2f}", f"{rates[0]:.1f}", f"{rates[1]:.1f}", f"{rates[0] / rates[1]:.0%}"
            )
    console.print(table)


if __name__ == "__main__":
    main()
