"""Conflict and alignment data of samples, against a server that judges and corrects."""

import io
import json
import tarfile

import pytest
from PIL import Image
from typer.testing import CliRunner

from strokewise.cli.main import app
from strokewise.data.destination import Destination
from strokewise.data.executor import Executor
from strokewise.data.open_world.building import rejects_of
from strokewise.data.open_world.critiqued import CritiqueWork, build_critiqued, critique_estimate
from strokewise.data.open_world.samples import places_of
from strokewise.data.storage import read
from strokewise.datasets.records import Shards
from strokewise.errors import ConfigError, RecordError
from strokewise.trajectory.files import encode_png, save
from strokewise.trajectory.values import Message, Step, Trajectory

WRONG_PLAN = {
    "consistent": False,
    "analysis": "There should be a bus, not a car.",
    "refine": "Replace the car with a bus.",
    "instruction": "Add a bus.",
    "description": "a cat and a bus",
}
WRONG_CANVAS = {**WRONG_PLAN, "analysis": "The cat has no tail.", "refine": "Give the cat a tail."}
WRONG_CANVAS |= {"instruction": None, "description": None}


def picture(color):
    return Image.new("RGB", (24, 16), color)


def painting(kind, number):
    """A trajectory whose second plan says what is wrong with it."""
    second = {"wrong plan": "a car", "wrong canvas": "a tailless cat", "right": "a bus"}[kind]
    steps = (
        Step(Message(ins="Add a cat.", des="a cat"), picture("red")),
        Step(Message("Fine.", None, f"Add {second}.", f"a cat and {second}"), picture("blue")),
    )
    return Trajectory(f"a cat and a bus, {number}", steps, stop="excerpt", model="m")


KINDS = ["right", "wrong plan", "wrong canvas", "wrong plan", "right", "wrong canvas"]


@pytest.fixture
def samples(tmp_path):
    for number, kind in enumerate(KINDS):
        save(painting(kind, number), tmp_path / "samples" / f"{number:02d}")
    return tmp_path / "samples"


@pytest.fixture
def critical(studio, studio_server):
    """A judge that finds these faults."""

    def critic(text, pictures):
        if pictures:
            return WRONG_CANVAS if "tailless" in text else studio_server.FITS
        return WRONG_PLAN if "a car" in text else studio_server.FITS

    studio.critic = critic


@pytest.fixture
def make(make_workshop, tmp_path):
    def build(subset, sources, out="out", **workshop):
        work = CritiqueWork(make_workshop(**workshop), subset)
        found = build_critiqued(work, sources, places_of(sources), Destination(tmp_path / out), Executor())
        return found, [record for _, record in read(tmp_path / out)]

    return build


def test_plans_become_conflict_records(critical, samples, make, tmp_path):
    found, records = make("conflict", [samples])
    assert [record.label for record in records] == ["right", "wrong", "wrong", "right"]
    assert found.reasons == {"fault of the other subset": 2}
    wrong = records[1].trajectory
    wrong.check_protocol()
    last = wrong.steps[-1]
    assert last.message == Message(
        WRONG_PLAN["analysis"], WRONG_PLAN["refine"], WRONG_PLAN["instruction"], WRONG_PLAN["description"]
    )
    assert last.image.size == (24, 16)
    assert (
        "| samples | 15,201 (6,905 right, 8,296 wrong) | 4 (2 right, 2 wrong) |"
        in (tmp_path / "out" / "README.md").read_text()
    )


def test_canvases_become_alignment_records(critical, samples, make):
    _, records = make("alignment", [samples])
    assert [record.label for record in records] == ["positive", "negative", "positive", "negative"]
    assert records[1].trajectory.steps[-1].message == Message(
        WRONG_CANVAS["analysis"], WRONG_CANVAS["refine"]
    )


def test_both_subsets_share_what_is_kept(studio, critical, samples, make):
    make("conflict", [samples])
    asked = studio.count("completions")
    make("alignment", [samples], "other")
    assert studio.count("completions") == asked + 1  # the corrections of both are one picture


def test_corrections_that_fail_are_rejected(studio, studio_server, critical, samples, make, tmp_path):
    studio.judge = lambda text, pictures: studio_server.BAD
    found, records = make("conflict", [samples])
    assert {record.label for record in records} == {"right"}
    assert found.reasons == {"fault of the other subset": 2, "correction: wrong count": 2}


def test_faults_without_correction_are_rejected(studio, studio_server, samples, make):
    silent = {**WRONG_PLAN, "refine": None}
    studio.critic = lambda text, pictures: silent if "a car" in text else studio_server.FITS
    assert make("conflict", [samples])[0].reasons == {"no correction": 2}


def test_data_sets_and_parquet_files_are_samples_too(critical, samples, make, tmp_path):
    _, records = make("conflict", [samples])
    again, _ = make("conflict", [tmp_path / "out", next((tmp_path / "out").glob("part-*"))], "again")
    assert again.tried == 2 * len(records)


def test_they_are_trained_on(critical, samples, make, tmp_path, tiny_tokenizer):
    for subset in ("conflict", "alignment"):
        _, records = make(subset, [samples], subset)
        source = Shards(str(tmp_path / subset), "process").open(tiny_tokenizer)
        assert source.size == len(records)
        for number, record in enumerate(records):
            losses = [part.loss for part in source.sample(number).parts]
            assert losses[0] is False
            # A wrong plan is a condition, as is a wrong canvas.
            assert all(losses[1:]) == (record.label in ("right", "positive"))


class TestGenRef:
    @pytest.fixture
    def shard(self, tmp_path):
        colors = {"a": ("red", "green"), "b": ("red", "red"), "c": ("green", "green")}
        with tarfile.open(tmp_path / "genref_0.tar", "w") as shard:
            for key, (good, bad) in colors.items():
                files = {
                    "good_image.jpg": encode_png(picture(good)),
                    "bad_image.jpg": encode_png(picture(bad)),
                    "reflection.txt": b"It is green.",
                    "prompt.txt": f"a red wall {key}".encode(),
                    "subset.txt": b"general",
                }
                for name, data in files.items():
                    member = tarfile.TarInfo(f"{key}.{name}")
                    member.size = len(data)
                    shard.addfile(member, io.BytesIO(data))
        return tmp_path / "genref_0.tar"

    def test_reflections_are_rewritten_by_the_judge(self, studio, studio_server, shard, make, tmp_path):
        def judge(text, pictures):
            return studio_server.GOOD if pictures[0].getpixel((0, 0))[0] > 200 else studio_server.BAD

        studio.judge = judge
        found, records = make("alignment", [shard])
        assert found.tried == 3
        assert found.reasons == {"bad image without a fault": 1, "good image: wrong count": 1}
        assert [(r.label, r.trajectory.prompt, r.fault) for r in records] == [
            ("positive", "a red wall a", ""),
            ("negative", "a red wall a", "wrong count"),
            ("positive", "a red wall b", ""),
        ]
        assert records[0].trajectory.steps[-1].message == Message("All is as described.")
        assert records[1].trajectory.steps[-1].message == Message("One too few.", "Add another one.")
        assert studio.count("edits") == 0
        assert [one.prompt[-1] for one in rejects_of(tmp_path / "out")] == ["b", "c"]

    def test_a_damaged_shard(self, shard):
        shard.write_bytes(shard.read_bytes()[:3000])
        with pytest.raises(RecordError, match=r"genref_0\.tar"):
            places_of([shard])


class TestSources:
    def test_the_estimate_bounds_what_is_spent(self, studio, critical, samples, make_workshop, make):
        work = CritiqueWork(make_workshop(), "conflict")
        expected = critique_estimate(work, places_of([samples]))
        make("conflict", [samples])
        assert len(studio.seen) <= expected.requests

    def test_nothing_is_there(self, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(RecordError, match="is no data set"):
            places_of([tmp_path / "empty"])

    def test_multi_turn_data_are_not_made_of_samples(self, make_workshop):
        with pytest.raises(ConfigError, match="multi-turn data are not made of samples"):
            CritiqueWork(make_workshop(), "multi-turn")

    def test_the_command(self, studio, critical, samples, tmp_path):
        given = ("--world", "open", "--painter", "served", "--painter-model", "b", "--judge", "j", "--n", 4)
        where = ("--judge-url", studio.url, "--painter-url", studio.url, "--out", tmp_path / "out")
        command = ["data", "build", "conflict", *given, *where]
        result = CliRunner().invoke(app, list(map(str, command)))
        assert isinstance(result.exception, ConfigError)
        assert "give --samples" in str(result.exception)
        result = CliRunner().invoke(app, list(map(str, [*command, "--samples", samples])))
        assert result.exception is None, result.output
        assert "3 records of 4 tried in" in result.output
        recipe = json.loads((tmp_path / "out" / "recipe.json").read_text())
        assert (recipe["samples"], recipe["count"]) == (["samples"], 4)
