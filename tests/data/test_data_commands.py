"""The data commands: what they print and write, and one clear line with exit status 2 for what cannot be."""

import io
import json
import re
import tarfile
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.critics import judge_server as fake
from typer.testing import CliRunner

from strokewise.cli.main import app
from strokewise.data import build as building
from strokewise.data import storage
from strokewise.data.canvas_painters import KontextPainter
from strokewise.data.records import to_table_row
from strokewise.data.report import write_records_page
from strokewise.errors import StrokewiseError
from strokewise.io.atomic import write_bytes
from strokewise.trajectory.files import encode_png, save

GOOD, WRONG = fake.GOOD, fake.WRONG


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A built data set of each subset."""
    folder = tmp_path_factory.mktemp("data")
    for subset in building.MAKERS:
        building.build(building.Recipe(subset, 40, 3, 64), folder / subset)
    return folder


def run(*given):
    """The result of a command that succeeds."""
    result = CliRunner().invoke(app, ["data", *map(str, given)])
    assert result.exception is None, result.output
    return result.output


def refused(*given):
    """The message of a command that a user's error ends."""
    result = CliRunner().invoke(app, ["data", *map(str, given)])
    if isinstance(result.exception, SystemExit):  # wrong usage
        assert result.exit_code == 2, result.output
        return result.output
    assert isinstance(result.exception, StrokewiseError), result.output
    return str(result.exception)


@pytest.fixture
def in_process(forks):
    """The end of a command in a process of its own."""
    return partial(forks.run, "-m", "strokewise", "data", text=True)


@pytest.fixture
def kontext(monkeypatch):
    """An image editor of one color in place of FLUX.1-Kontext; what it was loaded as."""
    loaded = []

    def load(*given):
        loaded.append(given)

        def pipeline(**options):
            assert options["image"] is None or options["prompt"]
            picture = Image.new("RGB", (options["width"], options["height"]), "teal")
            return SimpleNamespace(images=[picture])

        return KontextPainter(pipeline, *given[2:])

    monkeypatch.setattr(KontextPainter, "load", load)
    return loaded


@pytest.fixture
def judge(monkeypatch):
    """A judge server, and its address and key where the commands look for them."""
    with fake.serving() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", fake.KEY)
        yield server


def without_digests(folder):
    """Drop the digests of the shards, as somebody has who changes records by hand."""
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"sha256": {}}))


class TestImageEditor:
    def test_builds_with_an_editor(self, kontext, tmp_path):
        run("build", "multi-turn", "--n", 3, "--size", 64, "--painter", "kontext", "--out", tmp_path / "new")
        assert kontext == [("black-forest-labs/FLUX.1-Kontext-dev", "cuda", 64)]
        for _, record in storage.read(tmp_path / "new"):
            assert record.trajectory.images[0].getpixel((5, 5)) == (0, 128, 128)
            assert list(record.truth) == ["prompt"]
        assert "FLUX" in (tmp_path / "new" / "recipe.json").read_text()
        assert "3 records checked, 0 with faults" in run("check", tmp_path / "new")

    @pytest.mark.parametrize(
        ("given", "fault"),
        [
            (("alignment", "--painter", "kontext"), "the faulty sketches"),
            (("multi-turn", "--painter", "oil"), "--painter is 'oil'; it is sprite or kontext"),
            (("multi-turn", "--painter", "kontext", "--workers", 2), "inline executor with one worker"),
        ],
    )
    def test_what_it_cannot_paint(self, kontext, tmp_path, given, fault):
        assert fault in refused("build", *given, "--out", tmp_path / "new")


class TestJudged:
    def test_filter_by_the_oracle(self, tmp_path):
        building.build(building.Recipe("multi-turn", 12, 3, 128), tmp_path / "all")
        output = run("filter", tmp_path / "all", "--judge", "oracle", "--out", tmp_path / "kept")
        count = len(list(storage.read(tmp_path / "kept")))
        assert 0 < count <= 12
        assert f"{count} records in" in output
        assert "0 with faults" in run("check", tmp_path / "kept")

    def test_filter_by_a_model_keeps_its_answers(self, judge, built, tmp_path):
        judge.always = GOOD
        given = ("filter", built / "multi-turn", "--judge", "m", "--out", tmp_path / "kept")
        assert "requests is reached" in refused(*given, "--max-requests", 5)
        run(*given)
        assert len(list(storage.read(tmp_path / "kept"))) == 40
        sent = len(judge.requests)
        run(*given)
        assert len(judge.requests) == sent
        assert not any(fake.KEY in p.read_text() for p in tmp_path.rglob("*.json"))

    def test_critique_of_painted_trajectories(self, judge, kontext, built, tmp_path):
        for i, (_, record) in enumerate(storage.read(built / "multi-turn")):
            save(record.trajectory, tmp_path / "run" / f"{i:05}")

        def answer(handler, body):
            shown = len(body["messages"][1]["content"]) == 2
            wrong = len(body["messages"][1]["content"][0]["text"]) % 3 == (1 if shown else 0)
            fake.completion(WRONG if wrong else GOOD)(handler, body)

        judge.always = answer
        given = ("critique", tmp_path / "run", "--judge", "m", "--out", tmp_path / "made")
        output = run(*given, "--painter-model", "FOLDER", "--device", "cpu")
        assert kontext == [("FOLDER", "cpu")]
        for subset, labels in (("conflict", {"right", "wrong"}), ("alignment", {"positive", "negative"})):
            records = [record for _, record in storage.read(tmp_path / "made" / subset)]
            assert {record.label for record in records} == labels
            assert f"{len(records)} records in" in output
            assert "0 with faults" in run("check", tmp_path / "made" / subset)
        corrected = next(r for r in records if r.label == "negative").trajectory
        assert corrected.images[-1].getpixel((5, 5)) == (0, 128, 128)
        assert corrected.images[-1].size == corrected.images[0].size


def test_import_of_genref(tmp_path):
    def shard(name, keys):
        picture = encode_png(Image.new("RGB", (8, 8)))
        texts = dict.fromkeys(("reflection.txt", "prompt.txt", "subset.txt"), b"a text")
        with tarfile.open(tmp_path / name, "w") as written:
            for key in keys:
                for kind, data in {"good_image.jpg": picture, "bad_image.jpg": picture, **texts}.items():
                    member = tarfile.TarInfo(f"{key}.{kind}")
                    member.size = len(data)
                    written.addfile(member, io.BytesIO(data))
        return tmp_path / name

    shards = [shard("0.tar", "ab"), shard("1.tar", "c")]
    assert "6 records in" in run("import", *shards, "--out", tmp_path / "new")
    assert "6 records checked, 0 with faults" in run("check", tmp_path / "new")
    assert "another recipe" in refused("import", shards[0], "--out", tmp_path / "new")


class TestBuild:
    @pytest.mark.parametrize("subset", building.MAKERS)
    def test_builds_what_the_library_builds(self, built, tmp_path, subset):
        output = run("build", subset, "--n", 40, "--seed", 3, "--size", 64, "--out", tmp_path / "new")
        assert f"40 records in {tmp_path / 'new'}" in output.replace("\n", "")
        for path in (built / subset).iterdir():
            assert (tmp_path / "new" / path.name).read_bytes() == path.read_bytes()

    def test_shares(self, tmp_path):
        run("build", "conflict", "--n", 20, "--size", 64, "--right-share", 1, "--out", tmp_path / "right")
        assert {record.label for _, record in storage.read(tmp_path / "right")} == {"right"}
        run("build", "alignment", "--n", 20, "--size", 64, "--right-share", 0, "--out", tmp_path / "negative")
        assert {record.label for _, record in storage.read(tmp_path / "negative")} == {"negative"}
        run("build", "multi-turn", "--n", 20, "--size", 64, "--edit-share", 0, "--out", tmp_path / "plain")
        for _, record in storage.read(tmp_path / "plain"):
            assert len(record.trajectory.images) == len(record.truth["prompt"]["objects"])

    @pytest.mark.parametrize(
        ("given", "fault"),
        [
            (("another",), "unknown subset 'another'; known are multi-turn, conflict, alignment"),
            (("conflict", "--n", 0), "Invalid value for '--n'"),
            (("conflict", "--workers", 0), "Invalid value for '--workers'"),
            (("conflict", "--size", 8), "size is 8; canvases are 64 to 1024 pixels wide"),
            (("conflict", "--right-share", 1.5), "Invalid value for '--right-share'"),
            (("conflict", "--right-share", "nan"), "Invalid value for '--right-share'"),
            (("multi-turn", "--edit-share", -1), "Invalid value for '--edit-share'"),
            (("conflict", "--edit-share", 0.5), "--edit-share does not apply to the conflict subset"),
            (("multi-turn", "--right-share", 0.5), "--right-share does not apply to the multi-turn subset"),
        ],
    )
    def test_what_cannot_be_built(self, tmp_path, given, fault):
        assert fault in refused("build", *given, "--out", tmp_path / "new")
        assert not (tmp_path / "new").exists()

    def test_another_recipe_in_the_folder(self, built):
        message = refused(
            "build", "conflict", "--n", 41, "--seed", 3, "--size", 64, "--out", built / "conflict"
        )
        assert "holds a build of another recipe" in message


class TestStats:
    def test_figures(self, built):
        records = [record for _, record in storage.read(built / "conflict")]
        output = run("stats", built / "conflict")
        figures = dict(re.findall(r"│ +(\S.*?) +│ +(\S.*?) +│", output))
        assert figures["records"] == "40"
        assert int(figures["right"]) == sum(record.label == "right" for record in records)
        assert int(figures["wrong"]) == sum(record.label == "wrong" for record in records)
        images = [len(record.trajectory.images) for record in records]
        assert figures["images, average"] == f"{sum(images) / 40:.2f}"
        assert figures["images, most"] == str(max(images))
        words = sum(len(record.trajectory.prompt.split()) for record in records) / 40
        assert figures["words in a prompt, average"] == f"{words:.1f}"
        plans = [s.message.ins for r in records for s in r.trajectory.steps if s.message.ins is not None]
        different = len({" ".join(re.findall(r"\w+", plan)) for plan in plans}) / len(plans)
        assert figures[f"instructions, different among {len(plans)}"] == f"{different:.1%}"
        faults = [record.fault for record in records if record.fault]
        assert {name: int(n) for name, n in figures.items() if name.startswith("fault: ")} == {
            f"fault: {fault}": faults.count(fault) for fault in faults
        }


class TestShow:
    def test_the_page_holds_the_records(self, built, tmp_path):
        page = tmp_path / "page.html"
        output = run("show", built / "conflict", "--out", page, "--n", 7)
        assert "page.html" in output
        text = page.read_text()
        records = [record for _, record in storage.read(built / "conflict")][:7]
        assert text.count("<article ") == 7
        assert text.count("data:image/png;base64,") == sum(len(r.trajectory.images) for r in records)
        for record in records:
            assert record.trajectory.prompt in text
        assert "http" not in text.replace("http-equiv", "")  # nothing is loaded from elsewhere

    def test_beside_the_folder_by_default(self, built, monkeypatch):
        monkeypatch.chdir(built / "alignment")
        run("show", ".")
        assert (built / "alignment.html").exists()

    def test_texts_are_escaped(self, records_of, tmp_path):
        record = records_of("multi-turn", 1)[0]
        hostile = replace(record, trajectory=replace(record.trajectory, prompt="<script>alert(1)</script>"))
        write_records_page([hostile], tmp_path / "page.html", "a & b <i>")
        text = (tmp_path / "page.html").read_text()
        assert "<script>" not in text
        assert "a &amp; b &lt;i&gt;" in text

    @pytest.mark.parametrize("n", [0, -1])
    def test_at_least_one(self, built, n):
        assert "Invalid value for '--n'" in refused("show", built / "conflict", "--n", n)


class TestCheck:
    @pytest.mark.parametrize("subset", building.MAKERS)
    def test_sound_sets(self, built, subset):
        assert "40 records checked, 0 with faults" in run("check", built / subset)

    def test_looking(self, tmp_path):
        building.build(building.Recipe("multi-turn", 3, 3, 128), tmp_path / "built")
        assert "3 records checked, 0 with faults" in run("check", tmp_path / "built", "--look")

    def test_false_claims_are_listed_and_end_with_1(self, built, tmp_path):
        rows = [to_table_row(record) for _, record in storage.read(built / "conflict")]
        right, wrong = (
            next(i for i, row in enumerate(rows) if row["label"] == kind) for kind in ("right", "wrong")
        )
        rows[right]["trajectory"] = rows[right]["trajectory"].replace('"plan": true', '"plan": false')
        rows[wrong]["images"][-1] = rows[wrong]["images"][0]
        for path in (built / "conflict").iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        write_bytes(tmp_path / "part-00000.parquet", storage.table_bytes(rows))
        without_digests(tmp_path)
        result = CliRunner().invoke(app, ["data", "check", str(tmp_path)])
        assert result.exit_code == 1
        assert "2 with faults" in result.output
        assert f"row {right}: step 1: the verdict is not what the inspection says" in result.output.replace(
            "\n", " "
        )
        assert f"row {wrong}: picture" in result.output

    def test_lost_rows(self, built, tmp_path):
        for path in (built / "conflict").iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        table = pq.read_table(tmp_path / "part-00000.parquet")
        pq.write_table(table.slice(0, 39), tmp_path / "part-00000.parquet")
        without_digests(tmp_path)
        assert "the manifest states 40 records, 39 are there" in refused("check", tmp_path)


class TestConvert:
    @pytest.mark.parametrize("form", ["irg", "bagel"])
    def test_there_and_back(self, built, tmp_path, form):
        output = run("convert", built / "conflict", tmp_path / "a.parquet", "--to", form)
        assert "40 records in" in output
        run("convert", tmp_path / "a.parquet", tmp_path / "b.parquet", "--to", "strokewise")
        assert pq.read_table(tmp_path / "b.parquet").num_rows == 40

    def test_refusals(self, built, tmp_path):
        assert "unknown format 'csv'" in refused("convert", built / "conflict", tmp_path / "a", "--to", "csv")
        message = refused("convert", tmp_path / "none.parquet", tmp_path / "a", "--to", "irg")
        assert re.search(r"none\.parquet cannot be read: .*No such file", message)


def test_prompts_are_written_once_and_none_of_genevals(records_of, tmp_path):
    one, other = records_of("multi-turn")[:2]
    measured = replace(one, trajectory=replace(one.trajectory, prompt="a photo of a bench"))
    storage.claim(tmp_path / "set", "{}")
    storage.write_shard(tmp_path / "set", 0, [one, other, one, measured])
    storage.write_manifest(tmp_path / "set", "multi-turn", 4)
    assert "2 prompts in" in run("prompts", tmp_path / "set", "--out", tmp_path / "new" / "prompts.txt")
    wanted = [one.trajectory.prompt, other.trajectory.prompt]
    assert (tmp_path / "new" / "prompts.txt").read_text().splitlines() == wanted


def test_data_sets_in_a_folder_are_one(tmp_path):
    """Built apart, as on several GPUs; one that is not finished is an error, not left out."""
    for seed in (1, 2):
        building.build(building.Recipe("multi-turn", 3, seed, 64), tmp_path / "all" / str(seed))
    apart = [[r.trajectory.prompt for _, r in storage.read(tmp_path / "all" / name)] for name in ("1", "2")]
    assert [r.trajectory.prompt for _, r in storage.read(tmp_path / "all")] == [*apart[0], *apart[1]]
    assert "6 records checked, 0 with faults" in run("check", tmp_path / "all")
    building.build(building.Recipe("conflict", 1, 1, 64), tmp_path / "all" / "3")
    assert "of several subsets: conflict, multi-turn" in refused("stats", tmp_path / "all")
    (tmp_path / "all" / "2" / "manifest.json").unlink()
    assert "2 is no data set" in refused("prompts", tmp_path / "all", "--out", tmp_path / "prompts.txt")


@pytest.mark.parametrize("command", ["stats", "show", "check"])
class TestWhatIsNoDataSet:
    def test_missing(self, tmp_path, command):
        assert "is no data set: it has no manifest.json" in refused(command, tmp_path / "none")

    def test_unfinished(self, built, tmp_path, command):
        (tmp_path / "recipe.json").write_bytes((built / "conflict" / "recipe.json").read_bytes())
        assert "its build was not finished: run it again" in refused(command, tmp_path)

    def test_damaged(self, built, tmp_path, command):
        for path in (built / "conflict").iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / "part-00000.parquet").write_bytes(b"damaged")
        assert "part-00000.parquet is damaged" in refused(command, tmp_path)


class TestProcess:
    """The commands as a shell sees them."""

    def test_build_and_check(self, in_process, tmp_path):
        result = in_process("build", "multi-turn", "--n", 5, "--size", 64, "--out", tmp_path / "new")
        assert (result.returncode, result.stderr) == (0, "")
        assert len(list(storage.read(tmp_path / "new"))) == 5

    @pytest.mark.parametrize(
        "given",
        [
            ("build", "another", "--out", "new"),
            ("stats", "none"),
            ("convert", "none", "a", "--to", "csv"),
        ],
    )
    def test_errors_are_one_line(self, in_process, tmp_path, given):
        result = in_process(*given)
        assert result.returncode == 2
        assert result.stdout == ""
        assert re.fullmatch(r"strokewise: .+\n", result.stderr)

    def test_check_ends_with_1(self, in_process, built, tmp_path):
        rows = [to_table_row(record) for _, record in storage.read(built / "alignment")]
        rows[0]["images"] = rows[0]["images"][::-1]
        for path in (built / "alignment").iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        write_bytes(tmp_path / "part-00000.parquet", storage.table_bytes(rows))
        without_digests(tmp_path)
        result = in_process("check", tmp_path)
        assert result.returncode == 1
        assert "Traceback" not in result.stderr
