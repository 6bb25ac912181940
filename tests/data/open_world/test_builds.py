"""Builds of the open world, end to end against a server that paints and judges."""

import importlib.util
import random
import signal
import subprocess
import time
from functools import cache
from pathlib import Path

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from strokewise.cli.main import _run, app
from strokewise.data.canvas_painters import KontextPainter
from strokewise.data.destination import Destination
from strokewise.data.executor import Executor
from strokewise.data.open_world import building
from strokewise.data.open_world.drafts import OpenMultiTurnMix, drafter
from strokewise.data.open_world.multi_turn import MultiTurnWork, build_multi_turn, multi_turn_estimate
from strokewise.data.open_world.overlap import select
from strokewise.data.open_world.scene import OpenScene
from strokewise.data.open_world.taxonomy import load_taxonomy
from strokewise.data.open_world.workshop import PainterChoice
from strokewise.data.storage import read
from strokewise.errors import ConfigError, ServiceError, StrokewiseError
from strokewise.evals.prompt_sets import load_prompts
from strokewise.io.remote import RemoteFolder

TAXONOMY = load_taxonomy()
MEASURED = tuple(one.text for one in load_prompts("geneval"))
N = 20


@pytest.fixture
def make_work(make_workshop):
    def make(seed=1, **workshop):
        return MultiTurnWork(make_workshop(**workshop), seed, OpenMultiTurnMix(), TAXONOMY, MEASURED)

    return make


@pytest.fixture
def picky(studio, studio_server):
    """The judge finds fault with pictures that are too dark, which follows from their words alone."""

    def judge(text, pictures):
        dark = sum(pictures[0].getpixel((0, 0))[:3]) < 240
        return studio_server.BAD if dark else studio_server.GOOD

    studio.judge = judge


@cache
def chosen(count, seed=1):
    return select(drafter(seed, OpenMultiTurnMix(), TAXONOMY), count, [])


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class TestMultiTurn:
    def test_records_are_the_drafts_and_rejects_say_why(self, studio, picky, make_work, tmp_path):
        work = make_work()
        found = build_multi_turn(work, chosen(N), Destination(tmp_path / "out"), Executor())
        records = [record for _, record in read(tmp_path / "out")]
        rejects = list(building.rejects_of(tmp_path / "out"))
        assert len(records) == found.records >= 3
        assert len(rejects) == N - len(records) >= 3
        assert found.reasons == {"wrong count": len(rejects)}
        assert {one.analysis for one in rejects} == {"One too few."}
        draft = drafter(1, OpenMultiTurnMix(), TAXONOMY)
        drafts = {draft(number).prompt: draft(number) for number in range(N)}
        for record in records:
            trajectory = record.trajectory
            trajectory.check_protocol()
            steps = drafts.pop(trajectory.prompt).steps
            assert [s.message.ins for s in trajectory.steps[:-1]] == [s.instruction for s in steps]
            assert [s.verdict for s in trajectory.steps[1:]] == [s.verdict for s in steps]
            assert OpenScene.from_json(record.truth["open"][-1]) == steps[-1].scene
            assert 3 <= len(trajectory.images) <= 5
        assert set(drafts) == {one.prompt for one in rejects}

    def test_a_reject_costs_no_more_than_its_step(self, studio, studio_server, make_work, tmp_path):
        studio.judge = lambda text, pictures: studio_server.BAD
        with pytest.raises(
            ConfigError, match=r"all of the 20 that were tried are rejected \(wrong count: 20\)"
        ):
            build_multi_turn(make_work(), chosen(N), Destination(tmp_path / "out"), Executor())
        assert (studio.count("generations"), studio.count("edits"), studio.count("completions")) == (N, 0, N)

    def test_the_estimate_is_what_it_costs_if_all_is_well(self, studio, make_work, tmp_path):
        work = make_work()
        expected = multi_turn_estimate(work, chosen(N))
        build_multi_turn(work, chosen(N), Destination(tmp_path / "out"), Executor())
        assert len(studio.seen) == expected.requests == expected.canvases + expected.queries
        assert expected.cost > 0

    def test_what_a_service_refuses_to_paint_is_left_out(self, studio, studio_server, make_work, tmp_path):
        studio.faults = [studio_server.status(400, "not allowed", "content_policy_violation")]
        found = build_multi_turn(make_work(), chosen(N), Destination(tmp_path / "out"), Executor())
        assert found.reasons == {"not decided": 1}

    @pytest.mark.parametrize("limit", [{"requests": 40}, {"tokens": 1500}, {"cost": 1.0}])
    def test_limits_hold_over_runs_and_nothing_is_paid_twice(self, studio, picky, make_work, tmp_path, limit):
        whole = build_multi_turn(
            make_work(cache="other"), chosen(N), Destination(tmp_path / "whole"), Executor()
        )
        needed = len(studio.seen)
        studio.seen.clear()
        for _ in range(2):
            with pytest.raises(ServiceError, match=r"limit of .* is reached"):
                build_multi_turn(make_work(**limit), chosen(N), Destination(tmp_path / "out"), Executor())
        spent = len(studio.seen)
        assert spent < needed
        if "requests" in limit:
            assert spent == 40
        assert not (tmp_path / "out" / "manifest.json").exists()
        assert build_multi_turn(make_work(), chosen(N), Destination(tmp_path / "out"), Executor()) == whole
        # Queries that were under way when the limit was reached were answered, and kept.
        assert len(studio.seen) == needed
        assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")

    def test_other_recipes_are_refused(self, make_work, tmp_path):
        build_multi_turn(make_work(), chosen(4), Destination(tmp_path / "out"), Executor())
        with pytest.raises(ConfigError, match="another recipe"):
            build_multi_turn(make_work(seed=2), chosen(4), Destination(tmp_path / "out"), Executor())

    def test_the_card(self, picky, make_work, tmp_path):
        found = build_multi_turn(make_work(), chosen(N), Destination(tmp_path / "out"), Executor())
        card = (tmp_path / "out" / "README.md").read_text()
        head, _, body = card.removeprefix("---\n").partition("\n---\n")
        assert "data_files: part-*.parquet" in head
        assert f"| samples | 32,012 | {found.records} |" in body
        assert "| instructions, different among" in body
        assert "| their different first words |" in body
        assert f"| wrong count | {N - found.records} |" in body
        assert '"painter": "served brush-1 16"' in body

    def test_at_a_url(self, picky, make_work, tmp_path, monkeypatch):
        """Records and rejects are there when they are made, and the build is continued on another machine."""
        monkeypatch.setattr(building, "SHARD", 4)
        build_multi_turn(make_work(), chosen(N), Destination(tmp_path / "whole"), Executor())
        remote = RemoteFolder(f"file://{tmp_path}/bucket/photos")
        work, place = make_work(cache="other", requests=60), Destination(tmp_path / "one", remote)
        with pytest.raises(ServiceError, match="limit of 60 requests is reached"):
            build_multi_turn(work, chosen(N), place, Executor())
        assert {"part-00000.parquet", "recipe.json", "rejects-00000.jsonl"} <= set(remote.names())
        assert not {"manifest.json", "rejects-00004.jsonl"} & set(remote.names())
        build_multi_turn(make_work(), chosen(N), Destination(tmp_path / "two", remote), Executor())
        assert files_of(tmp_path / "bucket" / "photos") == files_of(tmp_path / "whole")

    def test_kontext_paints(self, studio, make_work, tmp_path, monkeypatch):
        """The real pipeline's code, at random weights."""
        pytest.importorskip("diffusers"), pytest.importorskip("transformers")
        path = Path(__file__).parents[1] / "tiny_kontext.py"
        spec = importlib.util.spec_from_file_location("tiny_kontext", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        tiny = KontextPainter(module.tiny_pipeline(), 32, num_steps=1)
        monkeypatch.setattr(KontextPainter, "load", lambda model, device, size: tiny)
        choice = PainterChoice("kontext", "tiny", 32, device="cpu")
        build_multi_turn(make_work(painter=choice), chosen(2), Destination(tmp_path / "out"), Executor())
        images = [image for _, record in read(tmp_path / "out") for image in record.trajectory.images]
        assert len(images) >= 6
        assert all(image.size == (32, 32) and np.asarray(image).std() > 0 for image in images)
        assert {path.rpartition("/")[2] for path, _ in studio.seen} == {"completions"}


class TestCommand:
    @pytest.fixture
    def command(self, studio, tmp_path):
        where = ("--judge-url", studio.url, "--painter-url", studio.url)
        given = ("--world", "open", "--painter", "served", "--painter-model", "brush-1", "--judge", "judge-1")
        return ("data", "build", "multi-turn", *given, *where, "--out", tmp_path / "out", "--size", 64)

    def test_tells_the_cost_builds_and_tells_the_yield(self, studio, picky, command, tmp_path):
        prices = ("--judge-price", "1000,5000", "--painter-price", 0.02)
        told = self.run(*command, *prices, "--n", N, "--dry-run")
        assert "at most 76 canvases and 76 queries to the judge" in told
        assert "by the prices given" in told
        assert not (tmp_path / "out").exists()
        assert not studio.seen
        told = self.run(*command, *prices, "--n", N)
        assert f"of {N} tried in" in told
        assert "rejected, wrong count:" in told
        assert f"spent, with all runs before: {len(studio.seen)} requests" in told

    @pytest.mark.parametrize(
        ("given", "fault"),
        [
            (("--world", "moon"), "--world is 'moon'"),
            (("--world", "open"), "give --judge MODEL"),
            (("--world", "open", "--judge", "j"), "name the painter's model"),
            (("--world", "open", "--judge", "j", "--painter-model", "m"), "it is kontext or served"),
            (("--judge", "j"), "--judge is for --world open"),
            (
                ("--world", "open", "--judge", "j", "--painter", "kontext", "--max-cost", 3),
                "limit of cost needs prices",
            ),
            (
                ("--world", "open", "--judge", "j", "--painter", "kontext", "--judge-price", "cheap"),
                "--judge-price is 'cheap'",
            ),
            (("--executor", "abacus"), "unknown executor 'abacus'"),
            (("--executor", "inline", "--workers", 2), "the inline executor is one worker"),
        ],
    )
    def test_what_cannot_be(self, given, fault, tmp_path):
        command = ("data", "build", "multi-turn", "--n", 1, "--out", tmp_path / "out", *given)
        result = CliRunner().invoke(app, list(map(str, command)))
        assert isinstance(result.exception, StrokewiseError), result.output
        assert fault in str(result.exception)

    def test_is_trained_on(self, command, tmp_path):
        """From prompts to a training step: the whole way of the data."""
        self.run(*command, "--n", 4)
        tiny = (
            "canvas_side=64",
            "view_side=64",
            "pack_tokens=3000",
            "row_tokens=3000",
            "packs_per_step=1",
            "precision=float32",
            "steps=1",
            "running.workers=0",
            "running.num_samples=0",
            "running.tensorboard=false",
        )
        (tmp_path / "data").mkdir()
        (tmp_path / "out").rename(tmp_path / "data" / "multi-turn")
        given = [part for setting in tiny for part in ("--set", setting)]
        data, out = ("--data", tmp_path / "data"), ("--out", tmp_path / "run")
        told = self.run("train", "run", "bagel-7b-multi-turn", "--model", "nano", *data, *out, *given)
        assert told is not None
        assert list((tmp_path / "run").rglob("*.distcp")) or list((tmp_path / "run").rglob("*.safetensors"))

    def run(self, *command):
        result = CliRunner().invoke(app, list(map(str, command)))
        assert result.exception is None, result.output + repr(result.exception)
        return result.output


class TestInterruptions:
    def test_a_build_that_is_killed_is_resumed_and_the_same(self, forks, studio, picky, make_work, tmp_path):
        build_multi_turn(make_work(cache="other"), chosen(N), Destination(tmp_path / "whole"), Executor())
        needed = len(studio.seen)
        given = ("--world", "open", "--painter", "served", "--painter-model", "brush-1", "--judge", "judge-1")
        where = ("--judge-url", studio.url, "--painter-url", studio.url, "--cache", tmp_path / "cache")
        command = ("data", "build", "multi-turn", *given, *where, "--n", N, "--size", 16, "--seed", 1)
        rng = random.Random(0)
        for _ in range(2):
            studio.seen.clear()
            enough = rng.randrange(5, 40)
            process = forks.start(
                *("-m", "strokewise", *command, "--out", tmp_path / "out"),
                stderr=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            while process.poll() is None and len(studio.seen) < enough:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
            process.wait()
        studio.seen.clear()
        _run(list(map(str, (*command, "--out", tmp_path / "out"))))
        assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
        assert len(studio.seen) < needed

    @pytest.mark.slow
    def test_workers_share_the_work_and_the_limits(self, studio, picky, make_work, tmp_path):
        here, two = N * 2, Executor("processes", 2)
        build_multi_turn(make_work(cache="other"), chosen(here), Destination(tmp_path / "whole"), Executor())
        with pytest.raises(ServiceError, match="limit of 60 requests is reached"):
            build_multi_turn(
                make_work(workers=2, requests=60), chosen(here), Destination(tmp_path / "out"), two
            )
        build_multi_turn(make_work(workers=2), chosen(here), Destination(tmp_path / "out"), two)
        assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")

    @pytest.mark.slow
    def test_actors_on_ray_that_are_killed(self, studio, picky, make_work, tmp_path):
        """Nothing is lost and nothing is there twice, whenever actors die."""
        ray, here = pytest.importorskip("ray"), N * 4
        build_multi_turn(make_work(cache="other"), chosen(here), Destination(tmp_path / "whole"), Executor())
        ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, configure_logging=False)
        killed: list[int] = []

        def kill(done):
            if done and len(killed) < 4:  # after the first shard, and again after others
                ours = psutil.Process().children(recursive=True)
                actors = [one for one in ours if one.name().startswith("ray::_Actor")]
                killed.extend(one.pid for one in actors[:1])
                for one in actors[:1]:
                    one.kill()

        try:
            work, executor = make_work(workers=2), Executor("ray", 2)
            build_multi_turn(work, chosen(here), Destination(tmp_path / "out"), executor, kill)
        finally:
            ray.shutdown()
        assert killed
        assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")
