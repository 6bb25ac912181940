"""SIGKILL at random points: the same command finishes the job, and its files are those of an unbroken one.

Points are times between the start of a job and its end, so they follow from no seed; a failure leaves the
folder to look at.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
QUICK, LONG = 1, 20
FAST = ("--steps", "3", "--max-tokens", "4", "--max-rounds", "2", "--max-images", "2", "--size", "16x16")
# What a job leaves that is a function of its arguments; the rest are times, logs, and names drawn by torch.
RESULTS = {
    "paint": ("**/*.png", "**/*.json"),
    "eval": ("**/*.png", "**/*.json", "**/*.jsonl"),
    "data": ("*",),
    "train": ("step_*/*.distcp", "step_*/run.json", "latest"),
    "export": ("*",),
}


class Jobs:
    """Commands in a folder, each a process that is killed in its work and not mostly in its imports."""

    def __init__(self, forks, folder):
        self.forks, self.folder = forks, folder
        paths = (folder, HERE.parent / "train", os.environ.get("PYTHONPATH", ""))
        self.environment = {"PYTHONPATH": os.pathsep.join(map(str, paths))}

    def run(self, arguments, until=None):
        """Run a job, killed after so many seconds; exit status and seconds."""
        with (self.folder / "log").open("a") as log:
            job = self.forks.start(
                *("-m", "strokewise", *arguments),
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        start = time.monotonic()
        if until is not None:
            time.sleep(until)
            job.kill()
        return job.wait(300), time.monotonic() - start

    def finish(self, arguments):
        """Run a job to its end; its seconds."""
        status, seconds = self.run(arguments)
        assert status == 0, (self.folder / "log").read_text()[-3000:]
        return seconds


@pytest.fixture(scope="module")
def jobs(forks, tiny_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kills")
    (folder / "p.txt").write_text("".join(f"a {c} bus\n" for c in ("red", "blue", "green", "white") * 3))
    (folder / "mine.py").write_text(
        f"import toy\ndef tiny():\n    return toy.config({str(tiny_folder)!r}, steps=5)\n"
    )
    made = Jobs(forks, folder)
    made.finish(["train", "run", "mine:tiny", "--out", "exported"])
    return made


def arguments(kind, out, model):
    fast = [*FAST, "--batch", "3", "--out", out]
    return {
        "paint": ["paint", "--prompts", "p.txt", "--model", model, "--single-pass", *fast],
        "eval": ["eval", "run", model, "--prompts", "p.txt", "--seeds", "0", *fast],
        "data": ["data", "build", "multi-turn", "--n", "280", "--size", "64", "--out", out],
        "train": ["train", "run", "mine:tiny", "--out", out],
        "export": ["train", "export", "exported", out],
    }[kind]


def contents(folder, kind):
    """The results by name, without the seconds that they took."""
    found = (path for pattern in RESULTS[kind] for path in folder.glob(pattern) if path.is_file())
    return {
        str(path.relative_to(folder)): re.sub(rb'"seconds": [\d.e-]+', b"", path.read_bytes())
        for path in found
    }


def kill_at_random_points(jobs, kind, model, points):
    """Kill a job at some points and finish it each time; how often it had left something."""
    whole, cut = jobs.folder / f"{kind}-whole", jobs.folder / f"{kind}-cut"
    seconds = jobs.finish(arguments(kind, whole.name, model))
    wanted, left = contents(whole, kind), 0
    assert wanted
    for _ in range(points):
        while jobs.run(arguments(kind, cut.name, model), random.uniform(0, seconds))[0] != -signal.SIGKILL:
            shutil.rmtree(cut)  # it had ended before
        there = contents(cut, kind) if cut.exists() else {}
        left += bool(there)
        if kind != "export":
            jobs.finish(arguments(kind, cut.name, model))
        elif there:
            assert there == wanted  # whole, or not there at all
        else:
            shutil.rmtree(cut, ignore_errors=True)
            jobs.finish(arguments(kind, cut.name, model))
        found = contents(cut, kind)
        assert found.keys() == wanted.keys()
        assert [name for name in wanted if found[name] != wanted[name]] == []
        shutil.rmtree(cut)
    return left


@pytest.mark.parametrize("kind", RESULTS)
def test_a_killed_job_is_finished_to_the_byte(jobs, tiny_folder, kind):
    kill_at_random_points(jobs, kind, str(tiny_folder), QUICK)


@pytest.mark.slow
@pytest.mark.parametrize("kind", RESULTS)
def test_jobs_killed_at_100_points_in_all_are_finished_to_the_byte(jobs, tiny_folder, kind):
    left = kill_at_random_points(jobs, kind, str(tiny_folder), LONG)
    print(f"{kind}: killed at {LONG} points, at {left} of them with something to resume")
