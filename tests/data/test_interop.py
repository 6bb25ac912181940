"""Others' formats there and back; rows that are damaged or of another form are refused by number."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from strokewise.data import build as building
from strokewise.data import interop, storage
from strokewise.data.interop import from_bagel, from_irg, to_bagel, to_irg
from strokewise.data.records import to_table_row
from strokewise.errors import ConfigError, ProtocolError, RecordError
from strokewise.trajectory.files import encode_png, save
from strokewise.trajectory.values import Message, to_parts

WRITERS = {"irg": to_irg, "bagel": to_bagel}
READERS = {"irg": from_irg, "bagel": from_bagel}


@pytest.fixture(scope="module")
def given(records_of):
    """Trajectories of all subsets, with and without a source image."""
    found = [r.trajectory for name in ("multi-turn", "conflict", "alignment") for r in records_of(name, 12)]
    source = Image.new("RGB", (16, 16), "orange")
    return found + [replace(trajectory, source=source) for trajectory in found[:6]]


@pytest.fixture(params=["irg", "bagel"])
def form(request):
    return request.param


@pytest.fixture
def built(tmp_path):
    """A small data set."""
    building.build(building.Recipe("conflict", 7, seed=3, size=64), tmp_path / "built")
    return tmp_path / "built"


def assert_same_parts(one, other):
    """What a model sees is the same: texts word for word, pictures pixel for pixel."""
    left, right = to_parts(one), to_parts(other)
    assert [part for part in left if isinstance(part, str)] == [
        part for part in right if isinstance(part, str)
    ]
    assert [isinstance(part, str) for part in left] == [isinstance(part, str) for part in right]
    for a, b in zip(left, right, strict=True):
        if not isinstance(a, str):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def write(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_rows_there_and_back(given, form):
    for trajectory in given:
        again = READERS[form](WRITERS[form](trajectory), "here")
        assert again.prompt == trajectory.prompt
        assert (again.source is None) == (trajectory.source is None)
        assert_same_parts(again, trajectory)


def test_through_parquet(given, form, tmp_path):
    path = write(tmp_path / "rows.parquet", [WRITERS[form](trajectory) for trajectory in given])
    again = list(interop.trajectories(path))
    assert len(again) == len(given)
    for one, other in zip(again, given, strict=True):
        assert_same_parts(one, other)


def test_a_built_set_is_converted_and_back(built, form, tmp_path):
    records = [record for _, record in storage.read(built)]
    assert interop.convert(built, tmp_path / "theirs.parquet", form) == 7
    assert interop.convert(tmp_path / "theirs.parquet", tmp_path / "ours.parquet", "strokewise") == 7
    for there in ("theirs", "ours"):
        again = list(interop.trajectories(tmp_path / f"{there}.parquet"))
        for record, trajectory in zip(records, again, strict=True):
            assert_same_parts(record.trajectory, trajectory)


def test_the_conversation_marks_what_is_supervised(given):
    trajectory = given[-1]
    user, assistant = to_irg(trajectory)["conversation"]
    assert (user["role"], assistant["role"]) == ("user", "assistant")
    assert [part["type"] for part in user["content"]] == ["image", "text"]
    assert [part["need_loss"] for part in user["content"]] == [False, False]
    assert all(part["need_loss"] for part in assistant["content"])
    for part in user["content"] + assistant["content"]:
        shown = part["type"] == "image"
        assert (part["need_vae"], part["need_vit"]) == (shown, shown)
    assert user["content"][1]["content"] == trajectory.prompt.encode()
    assert assistant["content"][0]["content"].decode() == trajectory.steps[0].message.text()


def test_the_interleaved_row(given):
    trajectory = next(t for t in given if t.steps[-1].message.refine is not None)
    row = to_bagel(trajectory)
    assert len(row["image_list"]) == len(trajectory.images)
    assert row["output_text_list"] == [step.message.text() for step in trajectory.steps]
    assert row["instruction_list"][0] == [trajectory.steps[0].message.ins]
    assert row["instruction_list"][-1] == [trajectory.steps[-1].message.refine]


class TestTheirRows:
    """Rows as the others write them, not we."""

    def test_an_edit_row_begins_with_the_image_that_is_edited(self):
        images = [Image.new("RGB", (8, 8), color) for color in ("red", "green", "blue")]
        row = {
            "image_list": [encode_png(image) for image in images],
            "instruction_list": [["make it green", "turn it green"], ["make it blue"]],
        }
        trajectory = from_bagel(row, "here")
        assert trajectory.prompt == "make it green. make it blue"
        assert trajectory.source.getpixel((0, 0)) == (255, 0, 0)
        assert [image.getpixel((0, 0)) for image in trajectory.images] == [(0, 128, 0), (0, 0, 255)]
        assert [step.message for step in trajectory.steps] == [
            Message(ins="make it green", des="make it green"),
            Message(ins="make it blue", des="make it blue"),
        ]
        assert trajectory.stop == "excerpt"

    def test_texts_may_be_strings_or_bytes_and_images_of_any_kind(self):
        import io

        buffer = io.BytesIO()
        Image.new("L", (8, 8), 7).save(buffer, "WEBP", lossless=True)
        row = {
            "conversation": [
                {"role": "user", "content": [{"type": "text", "content": "a cat"}]},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "text", "content": b"<ins>a</ins> <des>b</des>"},
                        {"type": "image", "content": buffer.getvalue()},
                        {"type": "text", "content": "fine."},
                    ],
                },
            ]
        }
        trajectory = from_irg(row, "here")
        assert trajectory.images[0].getpixel((0, 0)) == (7, 7, 7)
        assert trajectory.steps[0].message == Message(ins="a", des="b")

    def test_images_as_hugging_face_stores_them(self):
        cells = [{"bytes": PICTURE, "path": "0.png"}, {"bytes": PICTURE, "path": None}]
        trajectory = from_bagel({"image_list": cells, "instruction_list": [["make it green"]]}, "here")
        assert trajectory.source is not None
        assert len(trajectory.images) == 1

    def test_a_plain_text_is_one_wording(self):
        row = {"image_list": [PICTURE, PICTURE], "instruction_list": ["make it green"]}
        assert from_bagel(row, "here").steps[0].message.ins == "make it green"

    @pytest.mark.parametrize("empty", [None, [], [None], [""]])
    def test_an_empty_instruction_for_the_image_that_is_edited(self, empty):
        row = {"image_list": [PICTURE, PICTURE], "instruction_list": [empty, [None, "make it green"]]}
        trajectory = from_bagel(row, "here")
        assert trajectory.source is not None
        assert [step.message.ins for step in trajectory.steps] == ["make it green"]

    @pytest.mark.parametrize("sourced", [True, False])
    def test_a_source_that_is_stated(self, sourced):
        images = [PICTURE] * (3 if sourced else 2)
        row = {"image_list": images, "instruction_list": [["a"], ["b"]], "has_source": sourced}
        trajectory = from_bagel(row, "here")
        assert (trajectory.source is not None) == sourced
        assert len(trajectory.images) == 2

    def test_transparency_is_white(self):
        clear = encode_png(Image.new("RGBA", (4, 4), (255, 0, 0, 0)))
        row = {"image_list": [clear, PICTURE], "instruction_list": [["a"]]}
        assert from_bagel(row, "here").source.getpixel((1, 1)) == (255, 255, 255)


PICTURE = encode_png(Image.new("RGB", (4, 4)))


def talk(*parts):
    return {"conversation": [{"role": "user", "content": list(parts)}]}


class TestDamage:
    @pytest.mark.parametrize(
        "row",
        [
            {},
            {"conversation": None},
            {"conversation": 3},
            {"conversation": [None]},
            {"conversation": [{"role": "user"}]},
            {"conversation": [{"content": None}]},
            talk(None),
            talk({"type": "text"}),
            talk({"content": "a"}),
            talk({"type": "sound", "content": "a"}),
            talk({"type": "text", "content": None}),
            talk({"type": "text", "content": "a cat"}, {"type": "image", "content": "a cat"}),
            talk({"type": "text", "content": "a cat"}, {"type": "image", "content": b"a cat"}),
            talk({"type": "text", "content": "a cat"}, {"type": "image", "content": PICTURE[:40]}),
            talk({"type": "text", "content": "a cat"}, {"type": "image", "content": None}),
        ],
    )
    def test_irg(self, row):
        with pytest.raises(RecordError, match=r"^here"):
            from_irg(row, "here")

    @pytest.mark.parametrize(
        "row",
        [
            {},
            {"image_list": None},
            {"image_list": [None]},
            {"image_list": ["text"]},
            {"image_list": [PICTURE[:40]]},
            {"image_list": [PICTURE]},
            {"image_list": [PICTURE], "instruction_list": [[]]},
            {"image_list": [PICTURE], "instruction_list": [3]},
            {"image_list": [PICTURE], "instruction_list": 3},
            {"image_list": [PICTURE], "output_text_list": [3]},
            {"image_list": [PICTURE], "output_text_list": ["<ins>a</ins>"] * 3},
            {"image_list": [PICTURE] * 3, "output_text_list": ["<ins>a</ins>"]},
            {"image_list": [], "output_text_list": ["<ins>a</ins>"], "has_source": True},
            {"image_list": [PICTURE] * 4, "instruction_list": [["a"]]},
        ],
    )
    def test_bagel(self, row):
        with pytest.raises(RecordError, match=r"^here"):
            from_bagel(row, "here")

    @pytest.mark.parametrize(
        ("row", "fault"),
        [
            (
                {"image_list": [7], "instruction_list": [["a"]]},
                r"image_list\[0\]: expected the bytes .* not 7",
            ),
            ({"image_list": [{"path": "a.png"}]}, r"image_list\[0\]: expected the bytes"),
            ({"image_list": PICTURE}, "image_list: expected a list"),
            (
                {"image_list": [PICTURE] * 2, "instruction_list": [[None]]},
                r"instruction_list\[0\]: .* instruction",
            ),
            (
                {"image_list": [PICTURE] * 2, "instruction_list": [[3]]},
                r"instruction_list\[0\]\[0\]: expected a text",
            ),
            ({"image_list": [PICTURE] * 2, "instruction_list": "make"}, "instruction_list: expected a list"),
            (
                {"image_list": [PICTURE] * 2, "instruction_list": [["a"], ["b"]]},
                "instruction_list: expected wordings",
            ),
            (
                {"image_list": [PICTURE] * 2, "instruction_list": [["a"]], "prompt": 3},
                "prompt: expected a text",
            ),
            (
                {"image_list": [PICTURE], "output_text_list": ["<ins>a</ins> <des>b</des>"]},
                "prompt: expected a text",
            ),
            ({"image_list": [PICTURE], "output_text_list": "a"}, "output_text_list: expected a list"),
            (
                {"image_list": [PICTURE], "output_text_list": [None]},
                r"output_text_list\[0\]: expected a text",
            ),
            ({"image_list": [PICTURE], "has_source": 1}, "has_source: expected true or false"),
        ],
    )
    def test_the_column_is_named_and_nothing_is_coerced(self, row, fault):
        with pytest.raises(RecordError, match=f"^here, {fault}"):
            from_bagel(row, "here")

    @pytest.mark.parametrize(
        ("part", "fault"),
        [
            ({"type": "text", "content": 3}, r"\.content\[0\]\.content: expected a text"),
            ({"type": "text", "content": b"a \xff"}, r"\.content\[0\]\.content: expected a text in UTF-8"),
            ({"type": "image", "content": 16}, r"\.content\[0\]\.content: expected the bytes"),
            ({"type": "sound", "content": "a"}, r"\.content\[0\]\.type: expected 'text' or 'image'"),
        ],
    )
    def test_the_part_of_a_conversation_is_named(self, part, fault):
        with pytest.raises(RecordError, match=rf"^here, conversation\[0\]{fault}"):
            from_irg(talk(part), "here")

    def test_what_is_no_trajectory(self):
        with pytest.raises(ProtocolError):
            from_irg(
                talk({"type": "image", "content": PICTURE}, {"type": "image", "content": PICTURE}), "here"
            )
        with pytest.raises(ProtocolError):
            from_bagel({"image_list": [PICTURE], "output_text_list": ["<ins>a"], "prompt": "a"}, "here")

    def test_the_row_is_named(self, given, form, tmp_path):
        rows = [WRITERS[form](trajectory) for trajectory in given[:3]]
        if form == "irg":
            rows[2]["conversation"][1]["content"][1]["content"] = b"damaged"
        else:
            rows[2]["image_list"][0] = b"damaged"
        path = write(tmp_path / "a.parquet", rows)
        with pytest.raises(RecordError, match=r"a\.parquet, row 2, .*: the image is not a readable picture"):
            list(interop.trajectories(path))

    def test_parquet_of_something_else(self, tmp_path):
        path = write(tmp_path / "a.parquet", [{"city": "Basel"}])
        with pytest.raises(RecordError, match=r"a\.parquet, row 0"):
            list(interop.trajectories(path))

    @pytest.mark.parametrize("data", [b"", b"PAR1", b"not parquet at all" * 9])
    def test_files_that_are_no_parquet(self, tmp_path, data):
        (tmp_path / "a.parquet").write_bytes(data)
        with pytest.raises(RecordError, match=r"a\.parquet is not a readable parquet file"):
            list(interop.trajectories(tmp_path / "a.parquet"))

    def test_truncated_parquet(self, given, tmp_path):
        path = write(tmp_path / "a.parquet", [to_irg(trajectory) for trajectory in given[:3]])
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(RecordError, match=r"a\.parquet is not a readable parquet file"):
            list(interop.trajectories(path))


class TestConvert:
    def test_unknown_formats(self, built, tmp_path):
        with pytest.raises(ConfigError, match="unknown format 'csv'; known are irg, bagel, strokewise"):
            interop.convert(built, tmp_path / "a", "csv")

    def test_nothing_is_overwritten(self, built, tmp_path):
        (tmp_path / "a").write_text("years of work")
        with pytest.raises(ConfigError, match="a exists; give another name"):
            interop.convert(built, tmp_path / "a", "irg")
        assert (tmp_path / "a").read_text() == "years of work"

    def test_nothing_is_written_for_a_damaged_source(self, built, tmp_path):
        shard = next(built.glob("part-*"))
        shard.write_bytes(shard.read_bytes()[:-100])
        with pytest.raises(RecordError, match="part-00000"):
            interop.convert(built, tmp_path / "a.parquet", "irg")
        assert [path.name for path in tmp_path.iterdir()] == ["built"]

    def test_an_empty_file(self, records_of, tmp_path):
        row = to_table_row(records_of("multi-turn", 12)[0])
        pq.write_table(pa.Table.from_pylist([row]).slice(0, 0), tmp_path / "a.parquet")
        with pytest.raises(RecordError, match=r"a\.parquet holds no rows"):
            interop.convert(tmp_path / "a.parquet", tmp_path / "b.parquet", "irg")

    def test_a_folder_that_cannot_be_there(self, built, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(ConfigError, match="file/a cannot be written"):
            interop.convert(built, tmp_path / "file" / "a", "irg")

    def test_folders_of_trajectories(self, records_of, tmp_path):
        records = records_of("multi-turn", 12)[:3]
        for i, record in enumerate(records):
            save(record.trajectory, tmp_path / "run" / f"{i:05}" / "0000")
        assert interop.convert(tmp_path / "run", tmp_path / "a.parquet", "strokewise") == 3
        for record, trajectory in zip(records, interop.trajectories(tmp_path / "a.parquet"), strict=True):
            assert_same_parts(record.trajectory, trajectory)
