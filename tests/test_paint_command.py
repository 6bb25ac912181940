"""``strokewise paint``: the folder it writes, what it prints, and its refusals."""

import json
import os
import pty
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from strokewise.cli import main as cli
from strokewise.inference import painter
from strokewise.io import atomic
from strokewise.trajectory import gallery
from strokewise.trajectory.events import Envelope
from strokewise.trajectory.files import load
from strokewise.trajectory.values import Message, Step, Trajectory

FAST = ("--steps", "2", "--device", "cpu")


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the command line in this process and an empty folder: exit status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["strokewise", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capsys.readouterr()
        return caught.value.code or 0, captured.out, captured.err

    return call


@pytest.fixture
def paint(run, tiny_folder):
    """Paint with the tiny model."""
    return lambda *arguments: run("paint", "--model", tiny_folder, *FAST, *arguments)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_painting_is_a_folder(paint, tmp_path):
    status, out, err = paint("a cup", "--single-pass", "--seed", "5", "--out", tmp_path / "mine")
    assert (status, err) == (0, "")
    assert names(tmp_path) == ["mine"]
    assert names(tmp_path / "mine") == ["canvas-1.png", "final.png", "trajectory.html", "trajectory.json"]
    trajectory = load(tmp_path / "mine")
    assert (trajectory.prompt, trajectory.seed, trajectory.stop) == ("a cup", 5, "single-pass")
    assert Image.open(tmp_path / "mine" / "final.png").tobytes() == trajectory.images[-1].tobytes()
    assert out.splitlines()[-1] == str(tmp_path / "mine")
    assert "ended: single-pass" in out
    assert "\x1b" not in out


def test_rounds_hold_every_canvas(paint, tmp_path, random_image):
    random_image(32, 16).save(tmp_path / "source.png")
    edits = (
        "--instruct",
        "a line",
        "--instruct",
        "a dot",
        "--protocol-format",
        "thinkmorph",
        "--max-tokens",
        "4",
    )
    status, out, _ = paint("a cup", "--image", "source.png", *edits, "--out", "mine")
    assert status == 0
    pictures = ["canvas-1.png", "canvas-2.png", "final.png", "source.png"]
    assert names(tmp_path / "mine") == [*pictures, "trajectory.html", "trajectory.json"]
    assert "a line" in out
    assert load(tmp_path / "mine").images[1].size == (16, 8)


def test_without_out_the_folder_is_named_after_the_prompt(paint, tmp_path):
    for name in ("a-cup-3", "a-cup-3-2"):
        _, out, _ = paint("A cup!", "--single-pass", "--seed", "3")
        assert out.splitlines()[-1] == f"paintings/{name}"
        assert (tmp_path / "paintings" / name / "final.png").exists()


def test_several_paintings_have_an_index(paint, tmp_path):
    (tmp_path / "prompts.txt").write_text("a cup\n\n  a <bus>  \n", encoding="utf-8")
    status, out, _ = paint("--prompts", "prompts.txt", "--n", "2", "--single-pass", "--out", "all")
    assert status == 0
    folders = ["0-a-cup-0", "1-a-cup-1", "2-a-bus-0", "3-a-bus-1"]
    assert names(tmp_path / "all") == [*folders, "index.html", "index.json", "requests.json"]
    for folder in folders:
        assert (tmp_path / "all" / folder / "final.png").exists()
        assert load(tmp_path / "all" / folder).stop == "single-pass"
    rows = json.loads((tmp_path / "all" / "index.json").read_text())
    assert [(row["folder"], row["prompt"], row["seed"]) for row in rows][2] == ("2-a-bus-0", "a <bus>", 0)
    page = (tmp_path / "all" / "index.html").read_text()
    assert "a &lt;bus&gt;" in page
    assert "0-a-cup-0/trajectory.html" in page
    assert "[3] ended: single-pass" in out


def test_json_lines_are_events(paint, tmp_path):
    status, out, err = paint("a cup", "--single-pass", "--previews", "1", "--json")
    assert (status, err) == (0, "")
    envelopes = [Envelope.from_json(json.loads(line)) for line in out.splitlines()]
    assert [(one.painting, one.sequence) for one in envelopes] == [("0", i) for i in range(4)]
    events = [one.event for one in envelopes]
    assert [event.type for event in events] == [
        "image_started",
        "image_preview",
        "image_finished",
        "finished",
    ]
    assert events[2].png.startswith(b"\x89PNG")
    assert names(tmp_path) == []


def test_json_lines_of_several_say_whose_they_are(paint, tmp_path):
    _, out, _ = paint("a cup", "--single-pass", "--n", "3", "--batch", "2", "--json", "--out", "all")
    lines = [json.loads(line) for line in out.splitlines()]
    assert {line["painting"] for line in lines} == {"0", "1", "2"}
    finished = [line["painting"] for line in lines if Envelope.from_json(line).event.type == "finished"]
    assert finished == ["0", "1", "2"]
    assert (tmp_path / "all" / "index.html").exists()


def test_an_empty_folder_is_used_and_a_full_one_refused(paint, tmp_path):
    (tmp_path / "mine").mkdir()
    assert paint("a cup", "--single-pass", "--out", "mine")[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "mine").iterdir()}
    status, out, err = paint("a cup", "--single-pass", "--out", "mine")
    assert (status, out) == (2, "")
    assert err == "strokewise: mine is there already and not an empty folder; give another --out\n"
    assert before == {path: path.read_bytes() for path in (tmp_path / "mine").iterdir()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give either a prompt or --prompts FILE"),
        (("a cup", "--prompts", "x.txt"), "give either a prompt or --prompts FILE"),
        (("--prompts", "x.txt"), "x.txt cannot be read"),
        (("--prompts", "empty.txt"), "empty.txt holds no prompts"),
        (("a cup", "--image", "empty.txt"), "empty.txt is not a readable picture"),
        (("a cup", "--out", "empty.txt"), "empty.txt is there already"),
        (("a cup", "--out", "empty.txt/mine"), "empty.txt/mine cannot be made"),
        (("",), "the prompt is empty"),
        (("a cup", "--size", "16"), "size '16' is not of the form"),
        (("a cup", "--size", "18x16"), "image width 18 is not a multiple of 4"),
        (("a cup", "--max-rounds", "0"), "max_rounds is 0"),
        (("a cup", "--previews", "-1"), "Invalid value for '--previews'"),
        (("a cup", "--text-guidance", "nan"), "Invalid value for '--text-guidance'"),
        (("a cup", "--n", "100001"), "Invalid value for '--n'"),
        (("a cup", "--instruct", "<ins>"), "an instruction is plain words"),
        (("a cup", "--instruct", "x", "--single-pass"), "a single pass follows no instructions"),
        (("a cup", "--protocol-format", "latin"), "unknown protocol format 'latin'; known are strokewise"),
        (("a cup", "--dtype", "fp8"), "unknown dtype 'fp8'"),
        (("a cup", "--device", "abacus"), "device 'abacus' cannot be used"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(paint, tmp_path, arguments, message):
    (tmp_path / "empty.txt").write_text("\n")
    status, out, err = paint(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"strokewise: {message}")
    assert err.count("\n") == 1
    assert names(tmp_path) == ["empty.txt"]


def test_a_model_that_is_not_there(run, tmp_path):
    status, out, err = run("paint", "a cup", "--model", "micro")
    assert (status, out) == (2, "")
    assert "no model 'micro'" in err
    assert names(tmp_path) == []


def test_prompts_beyond_the_models_words(run, tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "model")
    (tmp_path / "model" / "vocabulary.json").write_text('{"classes": ["cup"], "colors": ["red"]}')
    status, _, err = run("paint", "a bus", "--model", "model", "--single-pass", *FAST)
    assert status == 2
    assert "not trained: bus. This model knows: cup; in the colors red" in err
    status, _, _ = run("paint", "a bus", "--model", "model", "--single-pass", "--any-prompt", *FAST)
    assert status == 0


def test_all_prompts_are_checked_before_the_first_is_painted(run, tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "model")
    (tmp_path / "model" / "vocabulary.json").write_text('{"classes": ["cup"], "colors": ["red"]}')
    arguments = ("paint", "--prompts", "p.txt", "--model", "model", "--single-pass", "--out", "all", *FAST)
    for bad, said in (("a bus", "not trained: bus"), ("a cup. " * 3000, "positions")):
        (tmp_path / "p.txt").write_text(f"a cup\n\n{bad}\n")
        status, out, err = run(*arguments, *(("--any-prompt",) if said == "positions" else ()))
        assert (status, out) == (2, "")
        assert err.startswith("strokewise: p.txt, line 3: ")
        assert said in err
        assert not list(tmp_path.glob("all/**/*.png"))
        shutil.rmtree(tmp_path / "all", ignore_errors=True)
    (tmp_path / "p.txt").write_text("a cup\n" * 60_000)
    status, _, err = run(*arguments, "--n", "2")
    assert (status, err) == (2, "strokewise: 60,000 prompts, 2 of each, are more than 100,000 paintings\n")


def test_the_wording_that_is_fed_is_shown_and_stored(run, tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "model")
    (tmp_path / "model" / "vocabulary.json").write_text('{"classes": ["cup"], "colors": ["red"]}')
    arguments = ("--model", "model", "--single-pass", "--out", "mine", "--n", "2", *FAST)
    status, _, err = run("paint", "2  RED cups", *arguments)
    assert (status, err) == (0, "read as: two red cups\n")
    for trajectory in map(load, (tmp_path / "mine").glob("*-0")):
        assert (trajectory.prompt, trajectory.original_prompt) == ("two red cups", "2  RED cups")


def test_a_model_that_paints_nothing_is_reported(paint, tmp_path):
    status, _, err = paint("a cup", "--max-tokens", "1", "--out", "mine")
    assert status == 2
    assert err.startswith("strokewise: the model painted nothing (it ended with: ")
    assert "trajectory.json" in names(tmp_path / "mine")


def test_an_interrupted_painting_keeps_what_was_made(paint, tmp_path, monkeypatch):
    from strokewise.inference import Engine

    def run(self):
        self.sessions["0"].painted(Image.new("RGB", (16, 16)), 1, 0.5)
        yield from ()
        raise KeyboardInterrupt

    monkeypatch.setattr(Engine, "run", run)
    status, _, _ = paint("a cup", "--out", "mine")
    assert status == 130
    assert load(tmp_path / "mine").stop == "interrupted"
    assert (tmp_path / "mine" / "final.png").exists()


def test_a_folder_that_cannot_be_finished_leaves_nothing(tmp_path, monkeypatch):
    trajectory = Trajectory("a cup", (Step(Message(), Image.new("RGB", (8, 8))),))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "replace", full)
    with (
        pytest.raises(gallery.InputError, match="No space left"),
        gallery.Gallery(tmp_path / "mine", [("a cup", 0)]) as mine,
    ):
        mine.write(0, trajectory)
    assert names(tmp_path) == []


def test_help_and_a_process_of_its_own(tiny_folder, tmp_path):
    script = Path(sys.executable).with_name("strokewise")
    done = subprocess.run([script, "paint", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "--single-pass" in done.stdout
    arguments = ["paint", "a cup", "--single-pass", "--model", tiny_folder, "--json", *FAST]
    done = subprocess.run([script, *arguments], capture_output=True, text=True, cwd=tmp_path, timeout=100)
    assert done.returncode == 0, done.stderr
    assert all(Envelope.from_json(json.loads(line)) for line in done.stdout.splitlines())


def test_a_terminal_sees_the_canvas_grow(tiny_folder, tmp_path):
    ours, theirs = pty.openpty()
    code = "from strokewise.cli.main import main; main()"
    command = [sys.executable, "-c", code, "paint", "a cup", "--model", str(tiny_folder), *FAST]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    process = subprocess.Popen(
        [*command, "--single-pass", "--out", "mine"],
        cwd=tmp_path, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    output = b""
    try:
        while chunk := os.read(ours, 65536):
            output += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    assert process.wait(60) == 0
    text = output.decode("utf-8", "replace")
    assert "\x1b[" in text
    assert "▀" in text
    assert "a cup" in text
    assert (tmp_path / "mine" / "trajectory.html").exists()


def test_an_interrupted_job_paints_what_is_missing(paint, tmp_path):
    (tmp_path / "prompts.txt").write_text("a cup\na bus\na dog\n")
    arguments = ("--prompts", "prompts.txt", "--single-pass", "--batch", "1", "--out", "all")
    assert paint(*arguments)[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "all").rglob("*.png")}
    (tmp_path / "all" / "1-a-bus-0" / "trajectory.json").unlink()
    status, out, _ = paint(*arguments)
    assert status == 0
    assert "[1] ended" in out
    assert "[0]" not in out
    assert {path: path.read_bytes() for path in (tmp_path / "all").rglob("*.png")} == before
    assert len(json.loads((tmp_path / "all" / "index.json").read_text())) == 3


def test_another_job_does_not_resume_it(paint, tmp_path):
    (tmp_path / "prompts.txt").write_text("a cup\na bus\n")
    arguments = ("--prompts", "prompts.txt", "--single-pass", "--out", "all")
    assert paint(*arguments)[0] == 0
    status, _, err = paint(*arguments, "--text-guidance", "2")
    assert status == 2
    assert "other requests or options" in err


def test_a_folder_is_painted_in_by_one_process(paint, tmp_path):
    with gallery.Gallery(tmp_path / "mine", [("a cup", 0)]):
        status, _, err = paint("a cup", "--single-pass", "--out", "mine")
    assert status == 2
    assert "another process paints in mine" in err
    assert names(tmp_path) == []


def test_a_prompt_that_fails_does_not_end_the_others(paint, tmp_path, monkeypatch):
    monkeypatch.setattr(painter, "check_prompt_room", lambda *_: None)  # only the engine finds it
    (tmp_path / "prompts.txt").write_text(f"a cup\n{'a ' * 9000}\na bus\n")
    status, _, err = paint("--prompts", "prompts.txt", "--single-pass", "--out", "all")
    assert status == 2
    assert "positions" in err
    done = [row["prompt"] for row in json.loads((tmp_path / "all" / "index.json").read_text())]
    assert done == ["a cup", "a bus"]


@pytest.mark.parametrize("after", [0.0, 0.3, 0.8])
def test_a_killed_job_is_resumed_to_the_same_pictures(forks, tiny_folder, tmp_path, after):
    (tmp_path / "prompts.txt").write_text("a cup\na bus\na dog\na cat\n")
    command = ["-m", "strokewise", "paint", "--prompts", "prompts.txt", "--single-pass", "--batch", "1"]
    command = [*command, "--model", tiny_folder, *FAST]
    whole = forks.run(*command, "--out", "whole", cwd=tmp_path)
    assert whole.returncode == 0
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = forks.start(*command, "--out", "cut", cwd=tmp_path, **streams)
    process.stdout.readline()
    time.sleep(after * 0.2)
    process.kill()
    process.wait()
    process.stdout.close()
    again = forks.run(*command, "--out", "cut", cwd=tmp_path)
    assert again.returncode == 0
    for path in sorted((tmp_path / "whole").rglob("*.png")):
        assert (tmp_path / "cut" / path.relative_to(tmp_path / "whole")).read_bytes() == path.read_bytes()
    assert not list((tmp_path / "cut").rglob("*.partial"))


def test_a_reader_who_leaves_does_not_end_the_painting(forks, tiny_folder, tmp_path):
    command = ("-m", "strokewise", "paint", "a cup", "--single-pass", "--json", "--model", tiny_folder)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = forks.start(*command, *FAST, "--out", "mine", cwd=tmp_path, **streams)
    process.stdout.close()
    err = process.stderr.read()
    assert (process.wait(timeout=100), err) == (141, b"")
    assert (tmp_path / "mine" / "final.png").exists()
    assert load(tmp_path / "mine").stop == "single-pass"
