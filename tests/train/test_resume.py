"""A run that was killed and resumed is the unbroken one, to the bit; two processes do what one does."""

import json
import signal
import socket
from pathlib import Path
from subprocess import PIPE

import pytest

TOY = Path(__file__).with_name("toy.py")


@pytest.fixture(scope="module")
def launch(forks, start):
    """Starts a run of the toy world in a process."""

    def make(out, *options, **variables):
        return forks.start(TOY, start, out, *options, stdout=PIPE, stderr=PIPE, text=True, env=variables)

    return make


def finish(process):
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err[-3000:]
    return out


def kill_after(process, step):
    """SIGKILL as soon as a step is done, in the midst of whatever follows it."""
    for line in process.stdout:
        if line.strip() == f"step {step}":
            break
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=30) == -signal.SIGKILL
    process.stdout.close(), process.stderr.close()


@pytest.fixture(scope="module")
def unbroken(launch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    finish(launch(folder / "run", "--digest", folder / "digest.json"))
    return json.loads((folder / "digest.json").read_text())


@pytest.mark.parametrize("options", [(), ("--async-save",)], ids=["waiting", "background"])
def test_killed_and_resumed_is_unbroken(launch, unbroken, tmp_path, options):
    for step in (1, 5):
        kill_after(launch(tmp_path / "run", *options), step)
    out = finish(launch(tmp_path / "run", *options, "--digest", tmp_path / "digest.json"))
    # The checkpoint of step 4 may be under way; the one of step 2 was written before it.
    assert out.splitlines()[0] in ("from 2", "from 4")
    assert json.loads((tmp_path / "digest.json").read_text()) == unbroken


def test_workers_change_nothing(launch, unbroken, tmp_path):
    finish(launch(tmp_path / "run", "--workers", 2, "--digest", tmp_path / "digest.json"))
    assert json.loads((tmp_path / "digest.json").read_text()) == unbroken


def run_two(launch, out, *options):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [launch(out, *options, RANK=str(rank), **shared) for rank in range(2)]
    return [finish(rank) for rank in ranks]


def assert_close(ours, wanted, tolerance):
    assert ours.keys() == wanted.keys()
    for name, values in wanted.items():
        scale = max(1e-6, max(map(abs, values)))
        worst = max(abs(a - b) for a, b in zip(ours[name], values, strict=True))
        assert worst <= tolerance * scale, name


PAIR = ("--checkpointing", "--ema-on-cpu")


@pytest.fixture(scope="module")
def pair(launch, tmp_path_factory):
    """The folder of two sharded processes: their run and its digest."""
    folder = tmp_path_factory.mktemp("pair")
    run_two(launch, folder / "run", *PAIR, "--paint", "--digest", folder / "digest.json")
    return folder


def test_two_sharded_processes_do_what_one_does(pair, unbroken):
    assert_close(json.loads((pair / "digest.json").read_text()), unbroken, 2e-3)
    assert len(list((pair / "run" / "samples").glob("*.png"))) == 3


def tensors_of(run):
    """The files of the last checkpoint that hold its tensors, by name."""
    return {file.name: file.read_bytes() for file in (run / "step_00000006").glob("*.distcp")}


def test_two_processes_write_the_same_in_the_background(launch, pair, tmp_path):
    run_two(launch, tmp_path, *PAIR, "--async-save", "--stop-after", 5)
    outs = run_two(launch, tmp_path, *PAIR, "--async-save")
    assert [out.splitlines()[0] for out in outs] == ["from 5"] * 2
    assert (tmp_path / "latest").read_text() == "step_00000006\n"
    assert sorted(path.name for path in tmp_path.glob("step_*")) == ["step_00000005", "step_00000006"]
    assert sorted(tensors_of(tmp_path)) == ["__0_0.distcp", "__1_0.distcp"]
    assert tensors_of(tmp_path) == tensors_of(pair / "run")


@pytest.mark.slow
def test_one_process_resumes_where_two_stopped(launch, unbroken, tmp_path):
    """Checkpoints of shards are read by any number of processes."""
    run_two(launch, tmp_path / "run", "--stop-after", 4)
    out = finish(launch(tmp_path / "run", "--digest", tmp_path / "digest.json"))
    assert out.splitlines()[0] == "from 4"
    assert_close(json.loads((tmp_path / "digest.json").read_text()), unbroken, 2e-3)
