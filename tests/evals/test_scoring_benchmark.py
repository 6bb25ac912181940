"""The benchmark that compares recorded verdicts: its exit status is the claim."""

import gzip
import subprocess
import sys

import pytest


@pytest.fixture
def recorded(repository):
    return repository / "tests" / "golden" / "geneval" / "cases.jsonl.gz"


@pytest.fixture
def run(repository):
    script = repository / "benchmarks" / "geneval_scoring.py"

    def call(path):
        command = [sys.executable, str(script), str(path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    return call


def test_agreement_is_exit_status_0(run, recorded):
    done = run(recorded)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "agreement 240 of 240: 100.00 %")


def test_one_other_verdict_is_exit_status_1(run, recorded, tmp_path):
    first, *rest = gzip.decompress(recorded.read_bytes()).decode().splitlines()
    path = tmp_path / "cases.jsonl"
    path.write_text("\n".join([first.replace('"correct":true', '"correct":false'), *rest]))
    done = run(path)
    assert done.returncode == 1
    assert "case 1 (two_object): recorded False, ours True: nothing wrong" in done.stdout


def test_no_case_is_no_agreement_and_no_file_is_exit_status_2(run, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert run(empty).returncode == 1
    assert run(tmp_path / "none.jsonl").returncode == 2
