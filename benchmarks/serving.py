"""Time to the first event, and pictures a minute of 1, 4 and 16 sessions at once against ``paint --prompts``.

Each client requests one picture after the other, the next of a common list until all are painted; ``paint``
has as many pictures in a batch as there are clients, and refills it from its list likewise. Both are measured
in turns, so that a busy machine slows both, and the median of the ratios is told.

python benchmarks/serving.py [--model nano] [--sessions 1 4 16] [--pictures 4] [--turns 5]
"""

import argparse
import re
import statistics
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
BATCH = 16


@contextmanager
def serving(model: str) -> Iterator[str]:
    """Yield the address of a server in a process of its own."""
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


def paint(client: httpx.Client, prompt: str, seed: int) -> float:
    """Paint one prompt and follow its events to the end; the time to the first text."""
    start, first = time.perf_counter(), 0.0
    body = {"prompt": prompt, "seed": seed, "options": {"previews": 0}}
    session = client.post("/v1/sessions", json=body).raise_for_status().json()
    with client.stream("GET", f"/v1/sessions/{session['id']}/events") as answer:
        for line in answer.iter_lines():
            if not first and line == "event: text_delta":
                first = time.perf_counter() - start
            if line == "event: finished" or ('"status": "finished"' in line):
                break
    return first


def served(url: str, count: int, pictures: int) -> tuple[float, float]:
    """Seconds for ``count`` times ``pictures`` by so many clients, and the median time to a first text."""
    times: list[float] = []
    seeds = iter(range(count * pictures))

    def paint_some() -> None:
        with httpx.Client(base_url=url, timeout=600) as connection:
            for seed in seeds:
                times.append(paint(connection, PROMPTS[seed % min(count, len(PROMPTS))], seed))

    threads = [threading.Thread(target=paint_some) for _ in range(count)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(times) == count * pictures, "every session ended"
    return time.perf_counter() - start, statistics.median(times)


def paint_command(model: str, prompts: list[str], each: int, batch: int, *more: str) -> float:
    """Seconds of a whole ``strokewise paint --prompts``."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "prompts.txt").write_text("\n".join(prompts) + "\n")
        command = [sys.executable, "-m", "strokewise", "paint", "--model", model, "--n", str(each), *more]
        command += ["--prompts", f"{folder}/prompts.txt", "--batch", str(batch), "--out", f"{folder}/out"]
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - start


def painted(model: str, count: int, pictures: int) -> float:
    """Seconds for as many pictures by ``paint --prompts``, without the time to start and load."""
    prompts = list(PROMPTS[:count])
    starting = paint_command(model, prompts[:1], 1, 1, "--single-pass", "--steps", "1")  # the least there is
    return paint_command(model, prompts, count * pictures // len(prompts), count) - starting


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--pictures", type=int, default=4, help="of each client in a turn")
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    console = Console(width=110)
    console.print(machine.describe("cpu"))
    table = Table(
        "at once",
        "first text, s",
        "served, pictures/min",
        "paint --prompts, pictures/min",
        "share (least, most)",
    )
    with serving(options.model) as url:
        served(url, 1, 1)
        for count in options.sessions:
            turns = [
                (*served(url, count, options.pictures), painted(options.model, count, options.pictures))
                for _ in range(options.turns)
            ]
            first = statistics.median(first for _, first, _ in turns)
            total = 60 * count * options.pictures
            rates = [total / statistics.median(turn[i] for turn in turns) for i in (0, 2)]
            shares = sorted(alone / seconds for seconds, _, alone in turns)
            share = f"{statistics.median(shares):.0%} ({shares[0]:.0%}, {shares[-1]:.0%})"
            table.add_row(str(count), f"{first:.2f}", *(f"{rate:.1f}" for rate in rates), share)
    console.print(table)


if __name__ == "__main__":
    main()
