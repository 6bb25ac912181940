"""The estimate of memory, and what real steps of the shipped model hold at most, on two sharded processes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PEAKS = Path(__file__).with_name("peaks.py")


def measured(folder, tokens, *changes):
    """Peak and estimate, in bytes, of both processes of a run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(PEAKS), str(folder), str(tokens)]
    command += [part for change in changes for part in ("--set", change)]
    environments = [{**os.environ, **shared, "CUDA_VISIBLE_DEVICES": "", "RANK": rank} for rank in "01"]
    ranks = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        for environment in environments
    ]
    found = []
    for rank in ranks:
        out, err = rank.communicate(timeout=550)
        assert rank.returncode == 0, err[-3000:]
        found.append(json.loads(out.splitlines()[-1]))
    return found


@pytest.mark.parametrize(
    ("tokens", "changes"),
    [
        (2048, ["precision=bfloat16"]),
        pytest.param(2048, ["precision=float32", "running.checkpointing=false"], marks=pytest.mark.slow),
        pytest.param(4096, ["precision=float32"], marks=pytest.mark.slow),
        pytest.param(2048, ["precision=float32", "packs_per_step=4"], marks=pytest.mark.slow),
    ],
)
def test_a_step_holds_what_is_estimated(tmp_path, tokens, changes):
    ranks = measured(tmp_path / "run", tokens, *changes)
    assert ranks[0]["estimated"] == pytest.approx(max(rank["measured"] for rank in ranks), rel=0.1)
