"""Damaged files of every format that is read from outside raise errors of ours, and nothing else.

Each format is a valid file and what reads it. The quick test damages each a few times; the long one, 20,000
times in all. Mutations follow from their seed, so a failure's message is enough to make it again.
"""

import gzip
import io
import json
import random
import tarfile
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from strokewise.data.genref import read_genref
from strokewise.data.interop import to_bagel, to_irg, trajectories
from strokewise.data.records import Record
from strokewise.data.storage import read, read_shard, write_manifest, write_shard
from strokewise.errors import StrokewiseError
from strokewise.evals.image_folders import read_pictures
from strokewise.evals.prompt_sets import load_prompts
from strokewise.evals.run_store import Run
from strokewise.inference.prompt_check import Vocabulary
from strokewise.io.outside import read_picture
from strokewise.trajectory.files import load, save
from strokewise.trajectory.values import Message, Step, Trajectory, Verdict

QUICK, LONG = 12, 20_000
PIECES = [
    *(b"null", b"-1", b"1e999", b"NaN", b"true", b'"', b"{", b"]", b"[" * 5_000, b"9" * 5_000, b'"\\ud800"'),
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\x7f\xff\xff\xff", b"\xff" * 8, b"<des>", b"../../x", b"\n"),
]


def noise(mode="RGB", size=(24, 16), seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(kind, mode="RGB", seed=0, **options):
    buffer = io.BytesIO()
    noise(mode, seed=seed).save(buffer, kind, **options)
    return buffer.getvalue()


TRAJECTORY = Trajectory(
    "a red cup",
    (
        Step(Message(ins="add a red cup", des="a red cup"), noise(seed=1), None, 3, 0.5),
        Step(Message("all fits.", "brighten it"), noise(seed=2), Verdict(True, False), 4, 0.5),
        Step(Message("the plan fits the prompt.")),
    ),
    None,
    "end",
    "nano",
    3,
)


# --- the formats: each makes a valid file in a folder, and returns its path and what reads it -------------


def picture(kind, mode="RGB", **options):
    def make(folder):
        path = folder / "picture"
        path.write_bytes(encoded(kind, mode, **options))
        return path, lambda: read_picture(path)

    return make


def prompts(name, text):
    def make(folder):
        path = folder / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path, lambda: load_prompts(str(path))

    return make


def stored_trajectory(name):
    def make(folder):
        save(TRAJECTORY, folder / "t")
        return folder / "t" / name, lambda: load(folder / "t")

    return make


def foreign_rows(rows):
    def make(folder):
        path = folder / "rows.parquet"
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path, lambda: list(trajectories(path))

    return make


def data_set(name):
    def make(folder):
        write_shard(folder, 0, [Record("multi-turn", "complete", TRAJECTORY)] * 2)
        write_manifest(folder, "multi-turn", 2)
        path = next(folder.glob(name))
        if name == "manifest.json":
            return path, lambda: list(read(folder))
        return path, lambda: list(read_shard(path))

    return make


def tar_shard(mode):
    def make(folder):
        path = folder / "00000.tar"
        files = {
            "1.good_image.jpg": encoded("JPEG"),
            "1.bad_image.jpg": encoded("JPEG", seed=1),
            "1.reflection.txt": b"The second bench is missing.\n",
            "1.prompt.txt": b"a photo of two benches",
            "1.subset.txt": b"counting\n",
        }
        with tarfile.open(path, mode) as shard:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                shard.addfile(member, io.BytesIO(data))
        return path, lambda: list(read_genref(path))

    return make


def weights(folder):
    import torch
    from safetensors.torch import save_file

    from strokewise.models.bagel.checkpoint import read_header, read_tensor

    path = folder / "model.safetensors"
    save_file({"a": torch.ones(2, 3), "b": torch.zeros(4, dtype=torch.bfloat16)}, path)
    return path, lambda: [read_tensor(entry, name) for name, entry in read_header(path).items()]


def tokenizer(folder):
    from tokenizers import Tokenizer as RawTokenizer
    from tokenizers import models

    from strokewise.sequence import Tokenizer

    RawTokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")])).save(str(folder / "tokenizer.json"))
    return folder / "tokenizer.json", lambda: Tokenizer.load(folder)


def vocabulary(folder):
    path = folder / "vocabulary.json"
    path.write_text(json.dumps({"classes": ["cup", "bus"], "colors": ["red"]}))
    return path, lambda: Vocabulary.read(folder)


def run_file(name):
    def make(folder):
        cost = {"flow_steps": 3, "passes": 3, "text_tokens": 4, "images": 1, "questions": 0, "seconds": 0.5}
        entry = {"prompt": 0, "sample": 0, "seed": 3, "cost": cost, "stop": "end", "painted": True}
        files = {
            "run.json": {"model": "nano", "strategy": "process", "seeds": [3], "world": "sprite"},
            "prompts.jsonl": {"prompt": "a red cup", "metadata": {}},
            "results-0-of-1.jsonl": {**entry, "notes": {}},
        }
        for file, value in files.items():
            (folder / file).write_text(json.dumps(value) + "\n")
        return folder / name, lambda: (Run(folder).name, Run(folder).expected, Run(folder).entries())

    return make


def geneval_folder(folder):
    (folder / "00000" / "samples").mkdir(parents=True)
    (folder / "00000" / "samples" / "0000.png").write_bytes(encoded("PNG"))
    path = folder / "00000" / "metadata.jsonl"
    path.write_text(json.dumps(GENEVAL))
    return path, lambda: read_pictures(folder)


GENEVAL = {"tag": "colors", "prompt": "x", "include": [{"class": "bus", "count": 1, "color": "red"}]}
GENEVAL2 = {"prompt": "two red cups", "atom_count": 3}
GENEVAL2 |= {"vqa_list": [["How many cups?", "two"], ["Is it red?", "Yes"]], "skills": ["count", "attribute"]}
WISE = [{"Prompt": "x", "prompt_id": 1, "Explanation": "y", "Category": "time"}]
FORMATS = {
    "png": picture("PNG", "RGBA"),
    "png-palette": picture("PNG", "P", transparency=3),
    "jpeg": picture("JPEG"),
    "webp": picture("WEBP"),
    "bmp": picture("BMP"),
    "gif": picture("GIF", "P"),
    "tiff": picture("TIFF", compression="tiff_lzw"),
    "prompts": prompts("p.txt", "a red cup\r\n\u201ctwo buses\u201d\n"),
    "prompts-gzip": prompts("p.txt.gz", "a red cup\n" * 9),
    "geneval-prompts": prompts("p.jsonl", json.dumps(GENEVAL) + "\n"),
    "geneval2-prompts": prompts("p.jsonl", json.dumps(GENEVAL2) + "\n"),
    "wise-prompts": prompts("p.json", json.dumps(WISE)),
    "trajectory": stored_trajectory("trajectory.json"),
    "canvas": stored_trajectory("canvas-1.png"),
    "irg-parquet": foreign_rows([to_irg(TRAJECTORY)]),
    "bagel-parquet": foreign_rows([to_bagel(TRAJECTORY)]),
    "shard": data_set("*.parquet"),
    "manifest": data_set("manifest.json"),
    "tar": tar_shard("w"),
    "tar-gzip": tar_shard("w:gz"),
    "safetensors": weights,
    "tokenizer": tokenizer,
    "vocabulary": vocabulary,
    "run": run_file("run.json"),
    "run-prompts": run_file("prompts.jsonl"),
    "run-results": run_file("results-0-of-1.jsonl"),
    "geneval-folder": geneval_folder,
}


def mutated(data, rng):
    """The data with one to four damages: bytes changed, cut off, left out, doubled, or put in."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(min(len(data), rng.choice((64, 10**6))) + 1)
        end = at + rng.choice((1, 4, 16, len(data)))
        kind = rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data[at : at + 4] = rng.randbytes(4)
        elif kind == 2:
            del data[at:end]
        elif kind == 3:
            data[at:at] = data[at:end]
        elif kind == 4:
            data[at:at] = rng.choice(PIECES)
        else:
            piece = rng.choice(PIECES)
            data[at : at + len(piece)] = piece
    return bytes(data)


def refuses(read, what):
    """Whether reading ends in an error of ours; any other fails, with ``what`` was damaged."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read()
    except StrokewiseError:
        return True
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    return False


def attack(make, folder, seeds, name):
    """Read damaged copies of a valid file; the number that was refused."""
    folder.mkdir()
    path, read = make(folder)
    whole, refused = path.read_bytes(), 0
    read()
    for seed in seeds:
        path.write_bytes(mutated(whole, random.Random(f"{name}/{seed}")))
        refused += refuses(read, f"{name}, seed {seed}")
    return refused


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_raise_errors_of_ours(tmp_path, name):
    assert attack(FORMATS[name], tmp_path / name, range(QUICK), name) > 0


@pytest.mark.parametrize("name", FORMATS)
def test_what_stands_in_place_of_a_file_is_named(tmp_path, name):
    path, read = FORMATS[name](tmp_path)
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    for data, kind in (
        (pointer, "a Git LFS pointer"),
        (b"\xef\xbb\xbf\n<!DOCTYPE HTML><html>", "a web page"),
        (b"<html>", "a web page"),
    ):
        path.write_bytes(data)
        with pytest.raises(StrokewiseError, match=f"{kind}; download the file itself"):
            read()


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_files_damaged_20000_times_raise_errors_of_ours(tmp_path, name):
    count = -(-LONG // len(FORMATS))
    refused = attack(FORMATS[name], tmp_path / name, range(QUICK, QUICK + count), name)
    print(f"{name}: {count} damaged, {refused} refused")
