"""GenRef's tar shards become pairs of records; damage is refused with the file and the key."""

import gzip
import io
import random
import tarfile

import numpy as np
import pytest
from PIL import Image

from strokewise.data.checking import faults_of
from strokewise.data.genref import AGREES, GENREF_FILES, genref_keys, read_genref, read_pair
from strokewise.errors import RecordError
from strokewise.trajectory.values import Message, Verdict


def jpeg(seed, size=(24, 16), kind="JPEG"):
    draw = np.random.default_rng(seed)
    buffer = io.BytesIO()
    Image.fromarray(draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)).save(buffer, kind)
    return buffer.getvalue()


def example(key, seed=0, **changes):
    """The files of one example, as GenRef names them."""
    files = {
        "good_image.jpg": jpeg(2 * seed),
        "bad_image.jpg": jpeg(2 * seed + 1, (16, 24)),
        "reflection.txt": b"The second bench is missing.\n",
        "prompt.txt": "a photo of two benches – gréen ".encode(),
        "subset.txt": b"counting\n",
    }
    return {f"{key}.{name}": data for name, data in (files | changes).items() if data is not None}


def write(path, files, mode="w"):
    with tarfile.open(path, mode) as shard:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            shard.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture
def shard(tmp_path):
    return write(tmp_path / "00000.tar", example("000001", 1) | example("000002", 2))


def test_each_example_is_a_negative_and_a_positive(shard):
    records = list(read_genref(shard))
    assert [(r.subset, r.label, r.fault) for r in records] == [
        ("alignment", "negative", "counting"),
        ("alignment", "positive", ""),
    ] * 2
    negative, positive = (record.trajectory for record in records[:2])
    prompt = "a photo of two benches – gréen"
    reflection = "The second bench is missing."
    assert negative.prompt == positive.prompt == prompt
    assert [step.message for step in negative.steps] == [
        Message(ins=prompt, des=prompt),
        Message(reflection, reflection),
    ]
    assert [step.message for step in positive.steps] == [Message(ins=prompt, des=prompt), Message(AGREES)]
    assert negative.steps[1].verdict == Verdict(None, False)
    assert positive.steps[1].verdict == Verdict(None, True)
    assert (negative.stop, positive.stop) == ("excerpt", "end")
    assert all(not record.truth for record in records)


def test_the_bad_image_comes_first_and_the_good_one_corrects_it(shard):
    negative, positive = (record.trajectory for record in list(read_genref(shard))[:2])
    assert [image.size for image in negative.images] == [(16, 24), (24, 16)]
    assert [image.size for image in positive.images] == [(24, 16)]
    good = Image.open(io.BytesIO(jpeg(2))).convert("RGB")
    np.testing.assert_array_equal(np.asarray(positive.images[0]), np.asarray(good))


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_pairs_are_found_by_their_keys(tmp_path, mode, monkeypatch):
    """A shard is searched once, not once for each pair."""
    files = [item for number in range(20) for item in example(f"{number:06d}", number).items()]
    random.Random(1).shuffle(files)
    path = write(tmp_path / "a.tar", dict(files), mode)
    by_key = {}
    for record in read_genref(path):
        by_key.setdefault(pixels(record), record)
    steps, step = [], tarfile.TarFile.next
    monkeypatch.setattr(tarfile.TarFile, "next", lambda self: steps.append(None) or step(self))
    keys = genref_keys(path)
    assert len(keys) == 20
    for key in keys:
        for record in read_pair(path, key):
            assert record.label == by_key[pixels(record)].label
    assert len(steps) < 3 * len(
        files
    )  # each opening takes a few; searches for each pair took 20 times as many
    # A shard that was replaced is searched anew.
    write(path, example("other", 5))
    assert genref_keys(path) == ["other"]


def pixels(record):
    return b"".join(image.tobytes() for image in record.trajectory.images)


def test_pairs_that_lack_a_file(tmp_path):
    path = write(tmp_path / "a.tar", example("1") | example("2", **{"subset.txt": None}))
    assert len(read_pair(path, "1")) == 2
    with pytest.raises(RecordError, match=r"a\.tar: 2 lacks subset\.txt"):
        read_pair(path, "2")


def test_records_are_valid(shard):
    for record in read_genref(shard):
        assert list(faults_of(record)) == []


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_compressed_shards(tmp_path, mode):
    path = write(tmp_path / "shard", example("1"), mode)
    assert len(list(read_genref(path))) == 2


def test_folders_other_files_and_orders_do_not_matter(tmp_path):
    files = (
        example("train/a", 1)
        | {"train/README.md": b"hello", "train/a.meta.json": b"{}"}
        | example("train/b", 2)
    )
    names = list(files)
    random.Random(3).shuffle(names)
    path = tmp_path / "shard.tar"
    with tarfile.open(path, "w") as shard:
        folder = tarfile.TarInfo("train")
        folder.type = tarfile.DIRTYPE
        shard.addfile(folder)
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            shard.addfile(member, io.BytesIO(files[name]))
    assert len(list(read_genref(path))) == 4


def test_pngs_under_a_jpeg_name(tmp_path):
    """GenRef has some."""
    path = write(tmp_path / "a.tar", example("1", **{"good_image.jpg": jpeg(1, kind="PNG")}))
    assert len(list(read_genref(path))) == 2


def test_bytes_that_are_no_text_are_replaced(tmp_path):
    path = write(tmp_path / "a.tar", example("1", **{"reflection.txt": b"a \xff bench"}))
    assert next(read_genref(path)).trajectory.steps[1].message.inspect == "a � bench"


@pytest.mark.parametrize("name", GENREF_FILES)
def test_an_example_without_a_file_is_refused(tmp_path, name):
    path = write(tmp_path / "a.tar", example("000001") | example("000002", **{name: None}))
    with pytest.raises(RecordError, match=rf"a\.tar: 000002 lacks {name}"):
        list(read_genref(path))


@pytest.mark.parametrize("name", ["good_image.jpg", "bad_image.jpg"])
@pytest.mark.parametrize(
    "data", [b"", b"not an image", jpeg(1)[:80], jpeg(1, kind="PNG")[:80], jpeg(1, kind="PPM")]
)
def test_damaged_images_are_refused(tmp_path, name, data):
    path = write(tmp_path / "a.tar", example("000007", **{name: data}))
    with pytest.raises(RecordError, match=rf"a\.tar: 000007\.{name} is not a readable picture"):
        list(read_genref(path))


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"not a tar shard" * 100])
def test_other_files_are_refused(tmp_path, data):
    path = tmp_path / "a.tar"
    path.write_bytes(data)
    with pytest.raises(RecordError, match=r"a\.tar is not a readable tar shard"):
        list(read_genref(path))


def test_missing_shards_are_refused(tmp_path):
    with pytest.raises(RecordError, match=r"none\.tar cannot be read"):
        list(read_genref(tmp_path / "none.tar"))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_truncated_shards_are_refused(tmp_path, mode):
    whole = write(tmp_path / "whole", example("1", 1) | example("2", 2), mode).read_bytes()
    with tarfile.open(tmp_path / "whole") as shard:
        members = shard.getmembers()
    between, last = members[5].offset, members[-1].offset_data
    # What comes last are blocks of zeros, which need not all be read.
    end = len(whole) * 4 // 5 if mode != "w" else last
    for kept in range(100, end, end // 40):
        path = tmp_path / "cut.tar"
        path.write_bytes(whole[:kept])
        if mode == "w" and between <= kept < between + 512:
            assert len(list(read_genref(path))) == 2  # cut between two examples
            continue
        with pytest.raises(RecordError, match=r"cut\.tar"):
            list(read_genref(path))


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_any_changed_byte_is_read_or_refused(tmp_path, mode):
    whole = write(tmp_path / "whole", example("1", 1) | example("2", 2), mode).read_bytes()
    rng = random.Random(mode)
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
        path = tmp_path / "changed.tar"
        path.write_bytes(data)
        try:
            records = list(read_genref(path))
        except RecordError:
            refused += 1
        else:
            assert all(record.subset == "alignment" for record in records)
    assert refused > 0


def test_a_compressed_file_that_is_no_tar(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(gzip.compress(b"not a tar shard" * 100))
    with pytest.raises(RecordError, match=r"a\.tar is not a readable tar shard"):
        list(read_genref(path))
