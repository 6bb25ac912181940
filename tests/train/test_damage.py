"""Any byte of a checkpoint or a shard that changed is an error that names the file."""

import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from strokewise.critics.rewards import Rewards
from strokewise.data import storage
from strokewise.data.records import Record
from strokewise.data.rollouts import (
    Facts,
    Rollout,
    read_rollout_facts,
    read_trajectories,
    round_files,
    write_rollouts,
)
from strokewise.data.storage import read, read_rows, write_manifest, write_shard
from strokewise.datasets.records import Shards
from strokewise.errors import CheckpointError, RecordError
from strokewise.models import load_model
from strokewise.train.checkpoint import Checkpoints
from strokewise.train.export import export
from strokewise.train.trainer import Trainer
from strokewise.trajectory.values import Message, Step, StopReason, Trajectory

FLIPS = 40


def flipped(path, draw):
    """Flip a bit of a file; what puts it back."""
    whole = path.read_bytes()
    data = bytearray(whole)
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    return lambda: path.write_bytes(whole)


def by_size(files, draw):
    """One of the files, a large one more often."""
    return draw.choices(files, [path.stat().st_size for path in files])[0]


def test_flips_in_checkpoints_are_found(toy, start, tmp_path):
    config = toy.config(start)
    run = Trainer(config, tmp_path / "run")
    run.fit(max_steps=1)
    path, draw = run.checkpoints.latest(), random.Random(0)
    files = sorted(path.iterdir())
    assert [file.name for file in files] == [".metadata", "SHA256SUMS", "__0_0.distcp", "run.json"]
    chosen = [*files, *(by_size(files, draw) for _ in range(FLIPS - len(files)))]
    for file in chosen:
        restore = flipped(file, draw)
        with pytest.raises(CheckpointError, match=str(path)):
            run._resume()
        restore()
    run._resume()


def test_checkpoints_without_digests_are_those_of_before(toy, start, tmp_path):
    run = Trainer(toy.config(start), tmp_path / "run")
    run.fit(max_steps=1)
    path = run.checkpoints.latest()
    (path / "SHA256SUMS").unlink()
    with pytest.raises(CheckpointError, match="SHA256SUMS is missing"):
        run._resume()
    facts = path / "run.json"
    facts.write_text(facts.read_text().replace('"format": 2', '"format": 1'))
    run._resume()


def test_without_latest_the_newest_checkpoint_counts(toy, start, tmp_path):
    config = toy.config(start)
    run = Trainer(config, tmp_path / "run")
    run.fit(max_steps=3)
    (tmp_path / "run" / "latest").unlink()
    (tmp_path / "run" / "step_00000009.partial").mkdir()
    assert Checkpoints(tmp_path / "run", 2, run.world).latest().name == "step_00000003"
    assert Trainer(config, tmp_path / "run").step == 3


@pytest.fixture
def data_set(random_image, tmp_path):
    folder = tmp_path / "set"
    message = Message(ins="draw it", des="it is there")
    for shard in range(2):
        steps = (Step(message, random_image(16, 16, shard)),)
        trajectory = Trajectory(f"prompt {shard}", steps, stop=StopReason.EXCERPT)
        write_shard(folder, shard, [Record("multi-turn", "complete", trajectory)] * 3)
    write_manifest(folder, "multi-turn", 6)
    return folder


def samples(folder, tokenizer):
    source = Shards(str(folder)).open(tokenizer)
    return [source.sample(number) for number in range(source.size)]


def test_flips_in_exported_models_are_found(toy, start, tmp_path):
    Trainer(toy.config(start), tmp_path / "run").fit(max_steps=1)
    for layout, weights in (("strokewise", "model.safetensors"), ("bagel", "ema.safetensors")):
        folder, draw = tmp_path / layout, random.Random(0)
        export(tmp_path / "run", folder, layout=layout)
        files = sorted(folder.iterdir())
        assert {"SHA256SUMS", "tokenizer.json", weights} <= {file.name for file in files}
        for file in [*files, *(by_size(files, draw) for _ in range(FLIPS - len(files)))]:
            restore = flipped(file, draw)
            with pytest.raises(CheckpointError, match=str(folder)):
                load_model(folder)
            restore()
        load_model(folder)


def test_flips_in_rollouts_are_found(random_image, tmp_path):
    steps = (Step(Message(ins="draw it", des="it is there"), random_image(16, 16, 0)),)
    trajectory = Trajectory("a cup", steps, stop=StopReason.END)
    facts = Facts(0, Rewards(1.0, 1.0, (None,), (1.0,)), True, 3, 4)
    for file in range(2):
        write_rollouts(tmp_path, 0, file, [Rollout(facts, trajectory)] * 3)
    parts, draw = round_files(tmp_path, 0), random.Random(0)
    files = sorted(parts[0].parent.iterdir())
    assert [file.suffix for file in files] == [".parquet", ".sha256"] * 2
    for file in [*files, *(by_size(files, draw) for _ in range(FLIPS - len(files)))]:
        restore = flipped(file, draw)
        for read_part in (read_rollout_facts, read_trajectories):
            with pytest.raises(RecordError, match=file.stem.partition(".")[0]):
                list(map(read_part, parts))
        restore()
    assert sum(len(read_trajectories(part)) for part in parts) == 6


def test_flips_in_shards_are_found(data_set, tiny_tokenizer):
    draw = random.Random(0)
    files = sorted(data_set.glob("*.parquet"))
    for _ in range(FLIPS):
        file = by_size(files, draw)
        restore = flipped(file, draw)
        with pytest.raises(RecordError, match=str(file)):
            list(read(data_set))
        with pytest.raises(RecordError, match=str(file)):
            samples(data_set, tiny_tokenizer)
        restore()
    assert len(list(read(data_set))) == len(samples(data_set, tiny_tokenizer)) == 6


@pytest.mark.parametrize(
    "columns", [{"a": ["x" * 2**20] * 5}, {"a": [None] * 2**23}], ids=["bytes", "values"]
)
def test_small_files_that_state_to_hold_much_are_not_decoded(tmp_path, monkeypatch, columns):
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table(columns), path, use_dictionary=False, compression="zstd")
    monkeypatch.setattr(storage, "MAX_BYTES", 2**21)
    with pytest.raises(RecordError, match=r"bomb.parquet states that it holds .* many times its size"):
        list(read_rows(path))
