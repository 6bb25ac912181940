"""The page docs/replicate.md is followed: every command on it is run, at a tiny size.

Bash itself reads the blocks, so loops, quotes and arithmetic mean what they mean there; every program is a
function that notes its arguments. What was noted is then carried out in order: our own commands for real in
this process (in the slow test, torchrun starts two); programs of others are replaced by what they leave.
"""

import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from strokewise.cli.main import _run
from strokewise.models import find_checkpoint
from strokewise.trajectory.files import encode_png

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
PAGE = ROOT / "docs" / "replicate.md"
PROGRAMS = ["strokewise", "torchrun", "python3", "pip", "hf", "vllm", "curl", "git", "mkdir", "mv"]
# Fewer GPUs in loops. Of two, both halves are there; one stands for either half, which is then done already.
TWO = {"0 1 2 3 4 5 6 7": "0 1", "in 0 1 2 3;": "in 0;", "in 4 5 6 7;": "in 1;", "$i/8": "$i/2"}
ONE = {"0 1 2 3 4 5 6 7": "0", "in 0 1 2 3;": "in 0;", "in 4 5 6 7;": "in 0;", "$i/8": "$i/1"}
TINY_RUN = (
    "canvas_side=64",
    "view_side=64",
    "pack_tokens=1200",
    "row_tokens=1200",
    "precision=float32",
    "steps=1",
    "running.workers=0",
    "running.num_samples=0",
    "running.tensorboard=false",
)
# How the judge answers what is asked of the open world alone, by the names of the schemas.
OPEN_WORLD = {
    "Wording": lambda text: studio.write(text),
    "StatedScene": lambda text: studio.read_scene(text.rpartition("Text: ")[2]),
    "StatedStroke": lambda text: studio.read_stroke(text.rpartition("Text: ")[2]),
    "CanvasCheck": lambda text: studio.GOOD,
}
# Behind the arguments of a call.
END = "//end//"


def beside(*parts):
    """A module of helpers among the tests."""
    spec = importlib.util.spec_from_file_location(parts[-1], TESTS.joinpath(*parts).with_suffix(".py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def beside_benchmarks(name):
    """A module of the benchmarks."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


server = beside("critics", "judge_server")
studio = beside("data", "open_world", "studio_server")


def blocks():
    return re.findall(r"^```bash\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


def noted(text, fewer, folder):
    """The calls that bash makes of a text: (variables set for it, program, arguments)."""
    for before, after in fewer.items():
        text = text.replace(before, after)
    functions = "".join(
        f'{name}() {{ printf "%s\\0" "$OPENAI_API_KEY" {name} "$@" "{END}" >> calls; }}\n'
        for name in PROGRAMS
    )
    # What concerns processes that are not started here.
    functions += "source() { :; }; kill() { :; }; wait() { builtin wait; }\n"
    script = f"set -euo pipefail\nshopt -s nullglob\nOPENAI_API_KEY=\n{functions}{text}\nbuiltin wait\n"
    (folder / "calls").write_bytes(b"")
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"{text}\n{done.stderr}"
    calls = (folder / "calls").read_text().split(f"{END}\0")
    return [call.split("\0")[:-1] for call in calls if call]


class Machine:
    """The empty machine: carries calls out in a folder."""

    def __init__(self, judge):
        self.judge, self.processes = judge, 1

    def call(self, key, program, *arguments):
        os.environ["OPENAI_API_KEY"] = key or server.KEY
        getattr(self, program)(*arguments)

    # --- ours ----------------------------------------------------------------------------------------------

    def strokewise(self, *given):
        self.judge.wrong = given[:2] == ("data", "critique") or given[:3] == ("data", "build", "conflict")
        arguments = self.smaller(given)
        assert _run(arguments) == 0, " ".join(arguments)

    def smaller(self, given):
        """The same command for a tiny model on the CPU."""
        replaced = {"6000": "2", "12000": "2", "512": "64", "http://localhost:8000/v1": self.judge.url}
        found = [replaced.get(value, re.sub(r"^cuda(:\d)?$", "cpu", value)) for value in given]
        changes = (*TINY_RUN, f"packs_per_step={self.processes}")
        more = {
            ("train", "run"): [part for change in changes for part in ("--set", change)],
            ("eval", "run"): ["--steps", "2", "--max-tokens", "160", "--max-rounds", "2"],
        }.get(given[:2], [])
        if given[:2] == ("eval", "run") and "--prompts" not in given:
            more = [*more, "--prompts", "geneval.jsonl"]
        return [*found, *more]

    def torchrun(self, option, count, m, module, *given):
        assert (option, count, m, module) == ("--nproc-per-node", "8", "-m", "strokewise")
        if self.processes == 1:
            self.strokewise(*given)
        else:
            command = [sys.executable, "-m", "torch.distributed.run", "--standalone", option, "2", m, module]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
            done = subprocess.run(
                [*command, *self.smaller(given)], capture_output=True, text=True, env=environment
            )
            assert done.returncode == 0, done.stderr[-3000:]
        run = Path(given[given.index("--out") + 1])
        assert (run / "latest").read_text() == "step_00000001\n"

    # --- others' -------------------------------------------------------------------------------------------

    def python3(self, *arguments):
        if arguments[:2] != ("-m", "venv"):
            subprocess.run([sys.executable, *arguments], check=True)

    def pip(self, install, *packages):
        assert install == "install"
        extras = re.search(r"strokewise\[([\w,]+)\]", " ".join(packages)).group(1).split(",")
        declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set(extras) <= set(declared)

    def hf(self, download, repo, *options):
        assert download == "download"
        place = Path(options[-1]) if options else None
        if repo == "ByteDance-Seed/BAGEL-7B-MoT":
            # Without the statement of its vocabulary, it is a model of the open world.
            kept = ("model.safetensors", "strokewise.json", "tokenizer.json")
            place.mkdir(parents=True)
            for name in kept:
                shutil.copyfile(find_checkpoint("nano") / name, place / name)
        elif repo == "black-forest-labs/FLUX.1-Kontext-dev":
            beside("data", "tiny_kontext").tiny_pipeline().save_pretrained(place)
        elif repo == "diffusion-cot/GenRef-wds":
            place.mkdir()
            write_genref(place / "genref_0.tar")
        else:
            assert repo in ("Qwen/Qwen2.5-VL-32B-Instruct", "openai/clip-vit-large-patch14")

    def vllm(self, serve, model, *options):
        assert (serve, model) == ("serve", "models/judge")
        named = dict(zip(options[::2], options[1::2], strict=True))
        assert (named["--served-model-name"], named["--port"]) == ("judge", "8000")

    def curl(self, option, path, address):
        import torch

        assert option == "-o"
        assert address.startswith("https://download.openmmlab.com/")
        shapes = beside("critics", "test_mmdet_weights").shapes_of_mmdetection()
        state = {name: torch.randn(shape) for name, shape in shapes.items()}
        torch.save({"meta": {}, "state_dict": state}, path)

    def git(self, clone, address):
        assert (clone, address) == ("clone", "https://github.com/PKU-YuanGroup/WISE")
        prompts = [
            {"prompt_id": number, "Prompt": "a photo of a cup", "Explanation": "a cup"} for number in (1, 900)
        ]
        Path("WISE/data").mkdir(parents=True)
        for name, prompt in zip(("one", "two"), prompts, strict=True):
            Path(f"WISE/data/{name}.json").write_text(json.dumps([prompt]))

    def mkdir(self, *arguments):
        subprocess.run(["mkdir", *arguments], check=True)

    def mv(self, *arguments):
        subprocess.run(["mv", *arguments], check=True)


def write_genref(path):
    """A tar shard of one example."""
    picture = encode_png(Image.new("RGB", (64, 64), "teal"))
    texts = dict.fromkeys(("reflection.txt", "prompt.txt", "subset.txt"), b"a text")
    with tarfile.open(path, "w") as shard:
        for kind, data in {"good_image.jpg": picture, "bad_image.jpg": picture, **texts}.items():
            member = tarfile.TarInfo(f"a.{kind}")
            member.size = len(data)
            shard.addfile(member, io.BytesIO(data))


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """An empty folder, a judge, and small numbers where only Python can set them."""
    from strokewise.critics.clip_colors import ClipColors
    from strokewise.data.canvas_painters import KontextPainter
    from strokewise.world.language import geneval_metadata, geneval_prompts

    pytest.importorskip("diffusers")
    monkeypatch.chdir(tmp_path)
    load = KontextPainter.load

    def quick(*given):
        painter = load(*given)
        painter.num_steps = 2
        painter.pipeline.set_progress_bar_config(disable=True)
        return painter

    monkeypatch.setattr(KontextPainter, "load", quick)
    monkeypatch.setattr("strokewise.train.estimate.PROBED_WELL", 20)
    monkeypatch.setattr(ClipColors, "load", lambda *_: type("Colors", (), {"name": lambda *_: []})())
    prompt = geneval_prompts()[0]
    (tmp_path / "geneval.jsonl").write_text(json.dumps({"prompt": prompt.text, **geneval_metadata(prompt)}))
    with server.serving() as judge:
        monkeypatch.setenv("OPENAI_BASE_URL", judge.url)
        monkeypatch.setenv("OPENAI_API_KEY", server.KEY)
        monkeypatch.setenv("OPENAI_KEY", server.KEY)
        judge.wrong = False

        def answer(handler, body):
            asked = body["response_format"]["json_schema"]["name"] if "response_format" in body else ""
            if "consistency:" in str(body["messages"][0]["content"]):
                given = {"consistency": 2, "realism": 1, "aesthetics": 2}
            elif asked in OPEN_WORLD:
                given = OPEN_WORLD[asked](body["messages"][1]["content"][0]["text"])
            else:
                given = server.WRONG if judge.wrong else server.GOOD
                judge.wrong = False
            server.completion(given)(handler, body)

        judge.always = answer
        yield Machine(judge)


def follow(machine, folder):
    for block in blocks():
        for call in noted(block, ONE if machine.processes == 1 else TWO, folder):
            print("$", *call[1:], flush=True)
            machine.call(*call)
    kept = {path.parent.parent.name for path in folder.glob("open/*/*/manifest.json")}
    assert kept == {"multi-turn", "conflict", "alignment"}
    report = (folder / "report" / "report.md").read_text()
    assert "bagel" in report
    assert "process" in report


def test_the_page_is_followed(machine, tmp_path):
    follow(machine, tmp_path)


@pytest.mark.slow
def test_the_page_is_followed_by_two_processes(machine, tmp_path):
    machine.processes = 2
    follow(machine, tmp_path)


def test_the_table_adds_up():
    """Hours, gigabytes and euros of the stages to those of all; stages without a training as counted now."""
    replicate = beside_benchmarks("replicate")
    lines = re.findall(r"^\| (.+?) \| ([\d.]+) \| ([\d,]+) \| ([\d,]+) \|$", PAGE.read_text(), re.M)
    stages = {name: [float(cell.replace(",", "")) for cell in cells] for name, *cells in lines}
    whole = stages.pop("all")
    assert sum(row[0] for row in stages.values()) == pytest.approx(whole[0], abs=0.5)
    assert sum(row[1] for row in stages.values()) == pytest.approx(whole[1], abs=5)
    for hours, _, euros in (*stages.values(), whole):
        assert euros == pytest.approx(replicate.euros(hours), abs=2)
    counted = {stage.row() for stage in (*replicate.building(), *replicate.scoring())}
    assert counted <= {*PAGE.read_text().splitlines()}
    assert len(stages) == len(counted) + 2
