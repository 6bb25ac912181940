"""The index of a checkpoint is a pickle that can call nothing."""

import os
import pickle

import pytest
import torch
from torch.distributed.checkpoint.metadata import BytesStorageMetadata

from strokewise.errors import CheckpointError
from strokewise.train.checkpoint import Checkpoints, read_tensors
from strokewise.train.distributed import World

ALONE = World(0, 1, torch.device("cpu"))


class Calls:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def stored(tmp_path):
    tensors = {"weight/a": torch.arange(6.0).reshape(2, 3), "average/a": torch.ones(2, dtype=torch.bfloat16)}
    path = Checkpoints(tmp_path, 1, ALONE).save(1, tensors, {})
    (path / "SHA256SUMS").unlink()  # as whoever changes the index would
    return path, tensors


def read(path, tensors):
    found = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    read_tensors(path, found, ALONE)
    return found


def changed(path, change):
    index = pickle.loads((path / ".metadata").read_bytes())
    change(index)
    (path / ".metadata").write_bytes(pickle.dumps(index))


def test_a_sound_index_is_read(stored):
    path, tensors = stored
    found = read(path, tensors)
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_an_index_that_calls_is_refused_before_the_call(stored, tmp_path):
    path, tensors = stored
    made = tmp_path / "made"
    (path / ".metadata").write_bytes(pickle.dumps(Calls(made)))
    with pytest.raises(CheckpointError, match="describes no tensor"):
        read(path, tensors)
    assert not made.exists()


def test_entries_of_bytes_are_refused(stored):
    path, tensors = stored
    changed(path, lambda index: index.state_dict_metadata.update({"weight/a": BytesStorageMetadata()}))
    with pytest.raises(CheckpointError, match="BytesStorageMetadata"):
        read(path, tensors)


def test_files_outside_the_folder_are_refused(stored):
    path, tensors = stored

    def leave(index):
        for place in index.storage_data.values():
            place.relative_path = "../other"

    changed(path, leave)
    with pytest.raises(CheckpointError, match="no file of its own"):
        read(path, tensors)


@pytest.mark.parametrize("name", ["../elsewhere", "/tmp", "", "step_1/.."])
def test_latest_is_a_plain_name(stored, tmp_path, name):
    (tmp_path / "latest").write_text(name)
    with pytest.raises(CheckpointError, match="no name of a checkpoint"):
        Checkpoints(tmp_path, 1, ALONE).latest()
