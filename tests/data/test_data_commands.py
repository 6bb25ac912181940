"""The data commands: what they print and write, and one clear line with exit status 2 for what cannot be."""

import re
import subprocess
import sys
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from strokewise.cli.main import app
from strokewise.data import building
from strokewise.data.records import to_table_row
from strokewise.data.report import write_page
from strokewise.errors import StrokewiseError
from strokewise.io.atomic import write_bytes

CLI = "from strokewise.cli.main import main; main()"


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
    assert isinstance(result.exception, StrokewiseError), result.output
    return str(result.exception)


def in_process(*given):
    command = [sys.executable, "-c", CLI, "data", *map(str, given)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class TestBuild:
    @pytest.mark.parametrize("subset", building.MAKERS)
    def test_builds_what_the_library_builds(self, built, tmp_path, subset):
        output = run("build", subset, "--n", 40, "--seed", 3, "--size", 64, "--out", tmp_path / "new")
        assert f"40 records in {tmp_path / 'new'}" in output.replace("\n", "")
        for path in (built / subset).iterdir():
            assert (tmp_path / "new" / path.name).read_bytes() == path.read_bytes()

    def test_shares(self, tmp_path):
        run("build", "conflict", "--n", 20, "--size", 64, "--right-share", 1, "--out", tmp_path / "right")
        assert {record.label for _, record in building.read(tmp_path / "right")} == {"right"}
        run("build", "alignment", "--n", 20, "--size", 64, "--right-share", 0, "--out", tmp_path / "negative")
        assert {record.label for _, record in building.read(tmp_path / "negative")} == {"negative"}
        run("build", "multi-turn", "--n", 20, "--size", 64, "--edit-share", 0, "--out", tmp_path / "plain")
        for _, record in building.read(tmp_path / "plain"):
            assert len(record.trajectory.images) == len(record.truth["prompt"]["objects"])

    @pytest.mark.parametrize(
        ("given", "fault"),
        [
            (("another",), "unknown subset 'another'; known are multi-turn, conflict, alignment"),
            (("conflict", "--n", 0), "count is 0; build at least one record"),
            (("conflict", "--size", 8), "size is 8; canvases are 64 to 1024 pixels wide"),
            (("conflict", "--workers", 0), "workers is 0; it must be at least 1"),
            (("conflict", "--right-share", 1.5), "--right-share is 1.5; a share lies in 0..1"),
            (("conflict", "--right-share", "nan"), "--right-share is nan; a share lies in 0..1"),
            (("multi-turn", "--edit-share", -1), "--edit-share is -1.0; a share lies in 0..1"),
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
        records = [record for _, record in building.read(built / "conflict")]
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
        records = [record for _, record in building.read(built / "conflict")][:7]
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
        write_page([hostile], tmp_path / "page.html", "a & b <i>")
        text = (tmp_path / "page.html").read_text()
        assert "<script>" not in text
        assert "a &amp; b &lt;i&gt;" in text

    @pytest.mark.parametrize("n", [0, -1])
    def test_at_least_one(self, built, n):
        assert "show at least one record" in refused("show", built / "conflict", "--n", n)


class TestCheck:
    @pytest.mark.parametrize("subset", building.MAKERS)
    def test_sound_sets(self, built, subset):
        assert "40 records checked, 0 with faults" in run("check", built / subset)

    def test_looking(self, tmp_path):
        building.build(building.Recipe("multi-turn", 3, 3, 128), tmp_path / "built")
        assert "3 records checked, 0 with faults" in run("check", tmp_path / "built", "--look")

    def test_false_claims_are_listed_and_end_with_1(self, built, tmp_path):
        rows = [to_table_row(record) for _, record in building.read(built / "conflict")]
        right, wrong = (
            next(i for i, row in enumerate(rows) if row["label"] == kind) for kind in ("right", "wrong")
        )
        rows[right]["trajectory"] = rows[right]["trajectory"].replace('"plan": true', '"plan": false')
        rows[wrong]["images"][-1] = rows[wrong]["images"][0]
        for path in (built / "conflict").iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        write_bytes(tmp_path / "part-00000.parquet", building.table_bytes(rows))
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
        assert "none.parquet is not a readable parquet file" in message


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
        assert "part-00000.parquet is not a readable parquet file" in refused(command, tmp_path)


class TestProcess:
    """The commands as a shell sees them."""

    def test_build_and_check(self, tmp_path):
        result = in_process("build", "multi-turn", "--n", 5, "--size", 64, "--out", tmp_path / "new")
        assert (result.returncode, result.stderr) == (0, "")
        assert len(list(building.read(tmp_path / "new"))) == 5

    @pytest.mark.parametrize(
        "given",
        [
            ("build", "another", "--out", "new"),
            ("stats", "none"),
            ("convert", "none", "a", "--to", "csv"),
        ],
    )
    def test_errors_are_one_line(self, tmp_path, given):
        result = in_process(*given)
        assert result.returncode == 2
        assert result.stdout == ""
        assert re.fullmatch(r"strokewise: .+\n", result.stderr)

    def test_check_ends_with_1(self, built, tmp_path):
        rows = [to_table_row(record) for _, record in building.read(built / "alignment")]
        rows[0]["images"] = rows[0]["images"][::-1]
        for path in (built / "alignment").iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        write_bytes(tmp_path / "part-00000.parquet", building.table_bytes(rows))
        result = in_process("check", tmp_path)
        assert result.returncode == 1
        assert "Traceback" not in result.stderr
