"""Painting, evaluating, building cut short: what was finished stays, nothing temporary does, a line says so.

Real processes and real signals. Afterwards the same command finishes the job, with the pictures of a job that
was never cut short.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

FAST = ("--steps", "3", "--max-tokens", "4", "--max-rounds", "2", "--max-images", "2", "--size", "16x16")
IN_PROCESSES = ("--executor", "processes", "--workers", "2")
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
FINISHED = {
    "paint": "**/final.png",
    "eval": "**/samples/*.png",
    "data": "*.parquet",
    "workers": "*.parquet",
}


@pytest.fixture
def jobs(tiny_folder, tmp_path):
    """The arguments of each job without its --out."""
    (tmp_path / "p.txt").write_text("".join(f"a {c} bus\n" for c in ("red", "blue", "green", "white") * 6))
    model = str(tiny_folder)
    return {
        "paint": ("paint", "--prompts", "p.txt", "--model", model, "--single-pass", "--batch", "3", *FAST),
        "eval": ("eval", "run", model, "--prompts", "p.txt", "--seeds", "0", "--batch", "3", *FAST),
        "data": ("data", "build", "multi-turn", "--n", "600", "--size", "64"),
        "workers": ("data", "build", "multi-turn", "--n", "800", "--size", "64", *IN_PROCESSES),
    }


@pytest.fixture
def begin(forks, tmp_path):
    """Start the command line in a process."""

    def start(*arguments, **options):
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        return forks.start("-m", "strokewise", *arguments, cwd=tmp_path, **{**streams, **options})

    return start


def contents(folder, kind):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.glob(FINISHED[kind]))}


def leftovers(folder):
    return [path for path in folder.rglob("*") if path.name.endswith((".partial", ".writable"))]


def cut_short(begin, folder, jobs, kind, number):
    """Begin a job, end it by a signal once something is finished, and finish it; compare with a whole one.

    Workers get the signal as well, as from a terminal or the end of a session; those of a killed job have to
    leave, or its standard error would never end.
    """
    process = begin(*jobs[kind], "--out", "cut", start_new_session=True)
    while not any((folder / "cut").glob(FINISHED[kind])):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    (os.kill if number == signal.SIGKILL else os.killpg)(process.pid, number)
    errors = process.communicate(timeout=120)[1]
    before = contents(folder / "cut", kind)
    assert before
    if number != signal.SIGKILL:
        assert process.returncode == STATUS[number], errors
        assert errors == "strokewise: interrupted; what was finished is kept\n"
        assert leftovers(folder) == []
    for out in ("cut", "whole"):
        finished = begin(*jobs[kind], "--out", out)
        assert finished.communicate(timeout=300)[1].count("Traceback") == 0
        assert finished.returncode == 0
    assert before.keys() <= contents(folder / "cut", kind).keys()
    assert contents(folder / "cut", kind) == contents(folder / "whole", kind)
    assert leftovers(folder) == []


def test_a_painting_that_was_cut_short_is_finished(begin, tmp_path, jobs):
    cut_short(begin, tmp_path, jobs, "paint", signal.SIGTERM)


def test_a_build_in_processes_that_was_cut_short_is_finished(begin, tmp_path, jobs):
    cut_short(begin, tmp_path, jobs, "workers", signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize("number", [*STATUS, signal.SIGKILL])
@pytest.mark.parametrize("kind", FINISHED)
def test_any_job_by_any_signal(begin, tmp_path, jobs, kind, number):
    cut_short(begin, tmp_path, jobs, kind, number)


@pytest.mark.parametrize("kind", FINISHED)
def test_a_full_disk_is_one_line(begin, tmp_path, jobs, kind):
    process = begin(*jobs[kind], "--out", "o", file_size=600)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode in (1, 2)
    assert errors.splitlines()[-1].startswith("strokewise: ")
    assert "Traceback" not in errors
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize(
    ("where", "status", "several"),
    [(">/dev/full", 1, False), (">&-", 0, False), (">&-", 0, True), ("| true", 141, False)],
)
def test_output_that_nobody_gets_costs_no_painting(tmp_path, jobs, where, status, several):
    """Begun by a shell, from nothing."""
    wanted = jobs["paint"] if several else ("paint", "a red bus", *jobs["paint"][3:])
    arguments = [sys.executable, "-m", "strokewise", *wanted, "--out", "o"]
    shell = ["bash", "-o", "pipefail", "-c", f'"$@" {where}', "bash", *arguments]
    process = subprocess.run(shell, cwd=tmp_path, capture_output=True)
    assert process.returncode == status
    assert b"Traceback" not in process.stderr
    assert len(contents(tmp_path / "o", "paint")) == (24 if several else 1)


@contextmanager
def without_room():
    with open("/dev/full", "wb", 0) as full:
        yield full


@contextmanager
def without_a_reader():
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


@pytest.mark.parametrize(("nowhere", "status"), [(without_room, 1), (without_a_reader, 141)])
def test_output_of_many_that_nobody_gets_costs_no_painting(begin, tmp_path, jobs, nowhere, status):
    with nowhere() as stdout:
        process = begin(*jobs["paint"], "--out", "o", stdout=stdout)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == status
    assert "Traceback" not in errors
    assert len(contents(tmp_path / "o", "paint")) == 24


def test_a_reader_who_leaves_and_a_terminal_of_few_letters(begin, tmp_path, jobs):
    arguments = [*jobs["paint"][:5], "--any-prompt", *jobs["paint"][5:], "--out", "o"]
    (tmp_path / "p.txt").write_text("a caf\u00e9\na bus\n")
    ascii_only = {"PYTHONIOENCODING": "ascii", "LANG": "C", "LC_ALL": "C"}
    with without_a_reader() as stdout:
        process = begin(*arguments, stdout=stdout, env=ascii_only)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 141, errors
    assert "Traceback" not in errors
    assert len(contents(tmp_path / "o", "paint")) == 2
