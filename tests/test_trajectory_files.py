"""Trajectories survive the disk; every damage is refused by name, and writing is whole or not at all."""

import json
import shutil
import struct
import zlib
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from strokewise.errors import RecordError
from strokewise.io import atomic
from strokewise.trajectory import files as trajectory_files
from strokewise.trajectory.files import (
    FILE,
    MAX_STEPS,
    all_images,
    decode_png,
    encode_png,
    from_json,
    from_row,
    image_names,
    load,
    save,
    to_json,
    to_row,
)
from strokewise.trajectory.values import Message, Step, StopReason, Trajectory, Verdict


def noise(seed, size=(6, 4), mode="RGB"):
    draw = np.random.default_rng(seed)
    channels = len(Image.new(mode, (1, 1)).getbands())
    return Image.fromarray(draw.integers(0, 256, (size[1], size[0], channels), dtype=np.uint8), mode)


WHOLE = Trajectory(
    "a red cat and a dög 🐕",
    (
        Step(Message(ins="Add a cat.", des="a red cat"), noise(1), seed=7, seconds=1.25),
        Step(
            Message("the cat is blue.", "Make it red.", "Add it\nin red.", 'a "red" cat'),
            noise(2, (4, 6)),
            Verdict(True, False, "the plan fits."),
            seed=2**40,
            seconds=0.0,
        ),
        Step(Message("fine.", ins="Add a dog.", des="both"), noise(3), Verdict(None, True, "")),
        Step(Message("all is there."), None, Verdict(False, None)),
    ),
    source=noise(4, (3, 3), "RGBA"),
    stop=StopReason.ROUNDS,
    original_prompt="A Cup",
    model="nano/step-100",
    seed=3,
)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.none() | st.integers(0, 2**63)
images = st.builds(noise, st.integers(0, 99), st.just((2, 3)), st.sampled_from(["RGB", "RGBA"]))
steps = st.builds(
    Step,
    st.builds(Message, texts, st.none() | texts, st.none() | texts, st.none() | texts),
    st.none() | images,
    st.none() | st.builds(Verdict, st.none() | st.booleans(), st.none() | st.booleans()),
    numbers,
    st.none() | st.floats(0, 1e6),
)
trajectories = st.builds(
    Trajectory,
    texts,
    st.lists(steps, max_size=4).map(tuple),
    st.none() | images,
    st.sampled_from(StopReason),
    texts,
    numbers,
    texts,
)


def assert_same(one, other):
    """Equal in every field, and pixel for pixel."""
    plain = [
        replace(t, source=None, steps=tuple(replace(s, image=None) for s in t.steps)) for t in (one, other)
    ]
    assert plain[0] == plain[1]
    texts = [[s.verdict and s.verdict.plan_text for s in t.steps] for t in plain]
    assert texts[0] == texts[1]
    for left, right in zip(
        [one.source, *(s.image for s in one.steps)],
        [other.source, *(s.image for s in other.steps)],
        strict=True,
    ):
        assert (left is None) == (right is None)
        if left is not None:
            assert left.mode == right.mode
            np.testing.assert_array_equal(np.asarray(left), np.asarray(right))


@pytest.fixture
def folder(tmp_path):
    """A saved trajectory."""
    save(WHOLE, tmp_path / "saved")
    return tmp_path / "saved"


def change(folder, **entries):
    """Change entries of the stored JSON."""
    path = folder / FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


class TestRoundTrips:
    def test_every_field_is_set_in_the_example(self):
        """Otherwise the tests below could not see that one is lost."""
        assert all(getattr(WHOLE, f.name) != f.default for f in fields(Trajectory))
        for field in fields(Step):
            assert any(getattr(step, field.name) is not None for step in WHOLE.steps)

    def test_folder(self, folder):
        assert_same(load(folder), WHOLE)
        assert sorted(path.name for path in folder.iterdir()) == [
            "canvas-1.png",
            "canvas-2.png",
            "canvas-3.png",
            "source.png",
            FILE,
        ]
        assert [path.name for path in folder.parent.iterdir()] == ["saved"]

    def test_without_a_source(self, tmp_path):
        given = replace(WHOLE, source=None)
        save(given, tmp_path / "saved")
        assert_same(load(tmp_path / "saved"), given)
        assert not (tmp_path / "saved" / "source.png").exists()

    @settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(trajectories)
    def test_any_folder(self, tmp_path, trajectory):
        save(trajectory, tmp_path / "saved")
        assert_same(load(tmp_path / "saved"), trajectory)

    @settings(max_examples=40)
    @given(trajectories)
    def test_any_row(self, trajectory):
        row = to_row(trajectory)
        assert row["prompt"] == trajectory.prompt
        assert_same(from_row(row, "here"), trajectory)

    def test_row_through_parquet(self, tmp_path):
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        pq.write_table(pa.Table.from_pylist([to_row(WHOLE), to_row(replace(WHOLE, seed=9))]), tmp_path / "t")
        rows = pq.read_table(tmp_path / "t").to_pylist()
        assert_same(from_row(rows[0], "row 0"), WHOLE)
        assert from_row(rows[1], "row 1").seed == 9

    def test_rows_are_deterministic(self):
        assert to_row(WHOLE) == to_row(from_row(to_row(WHOLE), "here"))

    def test_images_are_the_source_then_the_canvases(self):
        assert all_images(WHOLE) == [WHOLE.source, *WHOLE.images]
        assert list(image_names(WHOLE)) == ["source.png", "canvas-1.png", "canvas-2.png", "canvas-3.png"]
        assert to_json(WHOLE)["source"] == 0
        assert [step.get("image") for step in to_json(WHOLE)["steps"]] == [1, 2, 3, None]

    def test_more_steps_than_are_read_are_not_written(self, tmp_path):
        step = Step(Message("fine."))
        save(Trajectory("a", (step,) * MAX_STEPS), tmp_path / "most")
        assert len(load(tmp_path / "most").steps) == MAX_STEPS
        with pytest.raises(RecordError, match="65 steps; at most 64"):
            save(Trajectory("a", (step,) * (MAX_STEPS + 1)), tmp_path / "more")
        assert not (tmp_path / "more").exists()


class TestDamagedFolders:
    def test_missing_folder(self, tmp_path):
        with pytest.raises(RecordError, match=r"none/trajectory.json cannot be read"):
            load(tmp_path / "none")

    @pytest.mark.parametrize("text", ["", "{", "not JSON", '{"format": 1', "[" * 100_000, "\udcff"])
    def test_not_json(self, folder, text):
        (folder / FILE).write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(RecordError, match=r"saved/trajectory.json cannot be read"):
            load(folder)

    @pytest.mark.parametrize("text", ["[]", "3", "null", '"text"', "{}"])
    def test_json_of_something_else(self, folder, text):
        (folder / FILE).write_text(text)
        with pytest.raises(RecordError, match=r"saved/trajectory.json: 'images' must list"):
            load(folder)

    def test_missing_png(self, folder):
        (folder / "canvas-2.png").unlink()
        with pytest.raises(RecordError, match=r"saved/canvas-2.png cannot be read"):
            load(folder)

    @pytest.mark.parametrize("kept", [0, 4, 8, 20, 33, 50, 80])
    def test_truncated_png(self, folder, kept):
        path = folder / "canvas-2.png"
        path.write_bytes(path.read_bytes()[:kept])
        with pytest.raises(RecordError, match=r"saved/canvas-2.png is not a readable PNG"):
            load(folder)

    def test_another_kind_of_image(self, folder):
        noise(1).save(folder / "canvas-1.png", "JPEG")
        with pytest.raises(RecordError, match=r"saved/canvas-1.png is not a readable PNG"):
            load(folder)

    @pytest.mark.parametrize(
        "name", ["../x.png", "/x.png", "a/x.png", "..", ".", "", "../saved/source.png", None, 3, ["x.png"]]
    )
    def test_names_cannot_lead_out(self, folder, name):
        shutil.copy(folder / "source.png", folder.parent / "x.png")
        change(folder, images=[name, "canvas-1.png", "canvas-2.png", "canvas-3.png"])
        with pytest.raises(
            RecordError, match=r"saved/trajectory.json: image name .* leads out of the folder"
        ):
            load(folder)

    def test_absolute_names_are_refused(self, folder):
        change(folder, images=[str(folder / "source.png")] * 4)
        with pytest.raises(RecordError, match="leads out of the folder"):
            load(folder)

    def test_a_name_that_no_file_can_have(self, folder):
        change(folder, images=["a\0.png"] * 4)
        with pytest.raises(RecordError, match=r"a\0.png cannot be read"):
            load(folder)

    @pytest.mark.parametrize("version", [0, 2, "1", None])
    def test_other_versions(self, folder, version):
        change(folder, format=version)
        with pytest.raises(RecordError, match=r"trajectory.json: format .*; this version reads 1"):
            load(folder)

    @pytest.mark.parametrize(
        ("entries", "fault"),
        [
            ({"other": 1}, "trajectory.json: other: is unknown"),
            ({"prompt": None}, "prompt: input should be a valid string"),
            ({"prompt": ["a"]}, "prompt: input should be a valid string"),
            ({"stop": 1}, "stop: input should be a valid string"),
            ({"model": None}, "model: input should be a valid string"),
            ({"seed": "1"}, "seed: input should be a valid integer"),
            ({"seed": 1.5}, "seed: input should be a valid integer"),
            ({"steps": {}}, "steps: input should be a valid array"),
            ({"steps": None}, "steps: input should be a valid array"),
            ({"steps": [{}] * (MAX_STEPS + 1)}, "65 steps; at most 64"),
            ({"steps": [3]}, "steps.0: input should be an object, not 3"),
            ({"steps": [{}, {"other": 1}]}, "steps.1.other: is unknown"),
            ({"steps": [{"ins": 1}]}, "steps.0.ins: input should be a valid string, not 1"),
            ({"steps": [{"inspect": None}]}, "steps.0.inspect: input should be a valid string"),
            ({"steps": [{"refine": None}]}, "steps.0.refine: input should be a valid string"),
            ({"steps": [{"verdict": None}]}, "steps.0.verdict: input should be"),
            ({"steps": [{"image": 4}]}, "steps.0.image: there is no image 4, only 4 images"),
            ({"steps": [{"image": -1}]}, "steps.0.image: there is no image -1, only 4 images"),
            (
                {"steps": [{"image": "canvas-1.png"}]},
                "steps.0.image: input should be a valid integer, not 'canvas-1.png'",
            ),
            ({"steps": [{"image": True}]}, "steps.0.image: input should be a valid integer, not True"),
            ({"steps": [{"verdict": True}]}, "steps.0.verdict: input should be an object"),
            ({"steps": [{"verdict": {"plan": True}}]}, "steps.0.verdict.sketch: is missing"),
            (
                {"steps": [{"verdict": {"plan": 1, "sketch": None}}]},
                "steps.0.verdict.plan: input should be a valid boolean",
            ),
            (
                {"steps": [{"verdict": {"plan": None, "sketch": None, "plan_text": 1}}]},
                "steps.0.verdict.plan_text: input should be a valid string",
            ),
            (
                {"steps": [{"verdict": {"plan": None, "sketch": None, "x": 1}}]},
                "steps.0.verdict.x: is unknown",
            ),
            ({"steps": [{"seed": "1"}]}, "steps.0.seed: input should be a valid integer"),
            ({"steps": [{"seed": True}]}, "steps.0.seed: input should be a valid integer"),
            ({"steps": [{"seconds": "1"}]}, "steps.0.seconds: input should be a valid number"),
            ({"source": 9}, "there is no image 9, only 4 images"),
            ({"images": "source.png"}, "'images' must list the image files"),
            ({"images": []}, "there is no image 1, only 0 images"),
        ],
    )
    def test_wrong_entries(self, folder, entries, fault):
        change(folder, **entries)
        with pytest.raises(RecordError) as caught:
            load(folder)
        assert str(caught.value).startswith(str(folder / FILE))
        assert fault in str(caught.value)

    @pytest.mark.parametrize("key", ["prompt", "steps", "stop", "model", "seed", "images", "format"])
    def test_missing_entries(self, folder, key):
        value = json.loads((folder / FILE).read_text())
        del value[key]
        (folder / FILE).write_text(json.dumps(value))
        with pytest.raises(RecordError, match=f"trajectory.json: .*{key}"):
            load(folder)


class TestDamagedValues:
    @settings(max_examples=150)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-2, 9) | st.floats() | st.text(max_size=4),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from([*to_json(WHOLE), "ins", "image", "verdict", "plan"]), inner
                )
            ),
            max_leaves=12,
        ),
        st.sampled_from(sorted(to_json(WHOLE))),
    )
    def test_any_value_is_read_or_refused(self, value, key):
        for given_value in (value, to_json(WHOLE) | {key: value}):
            try:
                trajectory = from_json(given_value, all_images(WHOLE), "here")
            except RecordError:
                continue
            assert_same(from_row(to_row(trajectory), "here"), trajectory)

    @settings(max_examples=200)
    @given(st.integers(0, len(encode_png(WHOLE.steps[0].image)) - 1), st.integers(0, 255), st.booleans())
    def test_any_changed_byte_of_a_png_is_read_or_refused(self, position, byte, cut):
        data = bytearray(encode_png(WHOLE.steps[0].image))
        data[position] = byte
        try:
            image = decode_png(bytes(data[: position + 1] if cut else data), "a.png")
        except RecordError:
            return
        assert np.asarray(image).shape == (4, 6, 3)

    def test_a_png_that_would_fill_the_memory(self):
        header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n"
        for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
            bomb += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        with pytest.raises(RecordError, match=r"a.png is not a readable PNG"):
            decode_png(bomb, "a.png")

    @pytest.mark.parametrize(
        "changed",
        [
            {"trajectory": None},
            {"trajectory": "{"},
            {"trajectory": "[" * 100_000},
            {"images": None},
            {"images": 3},
            {"images": [None]},
            {"images": ["text"]},
            {"images": [7]},
            {"images": [b""]},
            {"images": []},
        ],
    )
    def test_damaged_rows(self, changed):
        with pytest.raises(RecordError, match=r"^here"):
            from_row(to_row(WHOLE) | changed, "here")

    @pytest.mark.parametrize("key", ["trajectory", "images"])
    def test_rows_without_a_column(self, key):
        row = to_row(WHOLE)
        del row[key]
        with pytest.raises(RecordError, match=f"^here: not a row of trajectories.*{key}"):
            from_row(row, "here")

    def test_the_damaged_image_of_a_row_is_named(self):
        row = to_row(WHOLE)
        row["images"][2] = row["images"][2][:30]
        with pytest.raises(RecordError, match="here, image 2 is not a readable PNG"):
            from_row(row, "here")


class TestWholeOrNot:
    """What is in the folder after a crash at any write or rename."""

    @pytest.fixture(params=range(7))
    def crash(self, request, monkeypatch):
        """Let the nth step of writing raise."""
        done = iter(range(100))

        def fail_at(real):
            def step(*given, **named):
                if next(done) == request.param:
                    raise OSError("no space left")
                return real(*given, **named)

            return step

        for owner, name in (
            (trajectory_files, "encode_png"),
            (atomic.os, "replace"),
            (trajectory_files.json, "dumps"),
        ):
            monkeypatch.setattr(owner, name, fail_at(getattr(owner, name)))
        return request.param

    def test_nothing_or_all_of_a_new_one(self, tmp_path, crash, monkeypatch):
        # The text, four pictures, one rename.
        if crash == 6:
            save(WHOLE, tmp_path / "saved")
            monkeypatch.undo()
            assert_same(load(tmp_path / "saved"), WHOLE)
            return
        with pytest.raises((OSError, RecordError), match="no space left"):
            save(WHOLE, tmp_path / "saved")
        assert list(tmp_path.iterdir()) == []

    def test_the_old_stays_where_one_stood(self, folder, crash, monkeypatch):
        # The text, four pictures, two renames; the first of them is taken back where the second fails.
        with pytest.raises((OSError, RecordError), match="no space left"):
            save(replace(WHOLE, prompt="another"), folder)
        monkeypatch.undo()
        assert_same(load(folder), WHOLE)
        assert [path.name for path in folder.parent.iterdir()] == ["saved"]

    def test_what_a_crash_left_is_no_hindrance(self, folder, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(atomic.os, "replace", lambda *_: 1 / 0)
            patch.setattr(atomic.shutil, "rmtree", lambda *_, **__: None)  # a killed process cleans nothing
            with pytest.raises(ZeroDivisionError):
                save(replace(WHOLE, prompt="another"), folder)
        assert_same(load(folder), WHOLE)
        save(replace(WHOLE, prompt="a third"), folder)
        assert load(folder).prompt == "a third"
        assert sorted(path.name.rpartition(".")[2] for path in folder.parent.iterdir()) == [
            "partial",
            "saved",
        ]


def test_an_older_one_is_replaced_whole(folder):
    save(replace(WHOLE, source=None, steps=WHOLE.steps[:1]), folder)
    assert sorted(path.name for path in folder.iterdir()) == ["canvas-1.png", FILE]


def test_other_folders_are_not_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RecordError, match="holds other files"):
        save(WHOLE, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "empty").mkdir()
    save(WHOLE, tmp_path / "empty")
    assert_same(load(tmp_path / "empty"), WHOLE)
