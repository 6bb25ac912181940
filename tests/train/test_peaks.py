"""The estimate of memory, and what real steps of the shipped model hold at most, on two sharded processes."""

import json
import socket
from pathlib import Path
from subprocess import PIPE

import pytest

PEAKS = Path(__file__).with_name("peaks.py")


def measured(forks, folder, tokens, *changes):
    """Peak and estimate, in bytes, of both processes of a run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [PEAKS, folder, tokens, *(part for change in changes for part in ("--set", change))]
    ranks = [
        forks.start(*command, stdout=PIPE, stderr=PIPE, text=True, env={**shared, "RANK": rank})
        for rank in "01"
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
def test_a_step_holds_what_is_estimated(forks, tmp_path, tokens, changes):
    ranks = measured(forks, tmp_path / "run", tokens, *changes)
    assert ranks[0]["estimated"] == pytest.approx(max(rank["measured"] for rank in ranks), rel=0.1)
