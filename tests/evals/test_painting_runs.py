"""Runs of strategies: resumed after SIGKILL, in shards, with one line for a user's mistake."""

import json
import os
import signal
import subprocess
import time
from copy import copy
from functools import partial

import numpy as np
import pytest

from strokewise.data.executor import Executor
from strokewise.errors import ConfigError, InputError, PromptError, RecordError
from strokewise.evals.generate import Shard, fingerprint, known_prompts, paint_run, parse_seeds, picture_seed
from strokewise.evals.prompt_sets import Prompt, load_prompts
from strokewise.evals.run_store import Run, find_runs, result_files
from strokewise.evals.strategies.strategies import NEEDS, Helpers, candidate_seed, make_strategy
from strokewise.inference import Request, SinglePass
from strokewise.inference.painter import Painter
from strokewise.inference.prompt_check import Vocabulary
from strokewise.trajectory.values import Message, Step

FAST = {"steps": 3, "max_tokens": 4, "max_rounds": 2, "max_images": 2, "size": (16, 16)}
WORDS = ("--steps", "3", "--max-tokens", "4", "--max-rounds", "2", "--max-images", "2", "--size", "16x16")
PROMPTS = [Prompt("a red bus"), Prompt("two apples"), Prompt("a dog left of a cat")]


class Preference:
    """A verifier that prefers bright pictures and calls every look clear."""

    def clear(self, image):
        return True

    def potential(self, prompt, image):
        return self.score(prompt, image)

    def score(self, prompt, image):
        return sum(image.convert("L").tobytes()) / (255 * image.width * image.height)


@pytest.fixture(scope="module")
def painter(tiny_folder):
    return Painter.load(tiny_folder)


@pytest.fixture
def prompts_file(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("".join(prompt.text + "\n" for prompt in PROMPTS))
    return path


def settings(**more):
    return {"model": "tiny", "strategy": "process", "seeds": [0, 7], "world": "real", **more}


def contents(folder):
    """Pictures and trajectories, without what differs between two runs (seconds)."""
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*.png"))}


def facts(folder):
    """The entries of a run without seconds."""
    return [(e.prompt, e.sample, e.seed, e.cost.images, e.cost.text_tokens) for e in Run(folder).entries()]


def close(one, other):
    """Whether two pictures are the same but for rounding: a batch and one alone differ in the last bits."""
    return int(np.abs(np.asarray(one, int) - np.asarray(other, int)).max()) <= 1


# --- the runner -------------------------------------------------------------------------------------------


def test_every_prompt_with_every_seed(painter, tmp_path):
    progress = []
    made = paint_run(
        tmp_path,
        settings(),
        PROMPTS,
        make_strategy("process", painter, **FAST),
        batch=4,
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert made == 6
    assert progress[0] == (0, 6)
    assert progress[-1] == (6, 6)
    run = Run(tmp_path)
    assert [(e.prompt, e.sample, e.seed) for e in run.entries()] == [
        (i, k, picture_seed(PROMPTS[i].text, seed)) for i in range(3) for k, seed in enumerate((0, 7))
    ]
    assert len({entry.seed for entry in run.entries()}) == 6  # no two pictures begin with the same noise
    for entry in run.entries():
        assert (tmp_path / run.picture_name(entry)).exists() == entry.painted
        trajectory = run.trajectory(entry)
        assert trajectory.prompt == PROMPTS[entry.prompt].text
        assert len(trajectory.images) == entry.cost.images
    assert paint_run(tmp_path, settings(), PROMPTS, make_strategy("process", painter, **FAST)) == 0


def loaded(folder, log):
    """The strategy in a worker, which says that it loaded the model."""
    (log / f"{os.getpid()}").touch()
    return make_strategy("process", Painter.load(folder), **FAST)


@pytest.fixture
def on_ray():
    """A small cluster of this machine."""
    ray = pytest.importorskip("ray")
    ray.init(
        num_cpus=2,
        object_store_memory=100 << 20,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
    )
    yield
    ray.shutdown()


@pytest.mark.parametrize("kind", ["processes", pytest.param("ray", marks=pytest.mark.slow)])
def test_executors_paint_what_one_process_paints(painter, tiny_folder, tmp_path, request, kind):
    if kind == "ray":
        request.getfixturevalue("on_ray")
    log = tmp_path / "log"
    log.mkdir()
    strategy = make_strategy("process", painter, **FAST)
    paint_run(tmp_path / "here", settings(), PROMPTS, strategy, batch=2)
    load = partial(loaded, tiny_folder, log)
    paint_run(
        tmp_path / "there", settings(), PROMPTS, strategy, batch=2, executor=Executor(kind, 2), load=load
    )
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert facts(tmp_path / "there") == facts(tmp_path / "here")
    workers = {int(path.name) for path in log.iterdir()}
    assert 1 <= len(workers) <= 2
    assert os.getpid() not in workers


def test_the_command_paints_in_processes(call, tiny_folder, prompts_file, tmp_path):
    """Everything that a worker needs to load the strategy is sent there; the others' options are refused."""
    arguments = ("run", tiny_folder, "--prompts", prompts_file, "--seeds", "0", "--batch", "2", *WORDS)
    for name, more in (("here", ()), ("there", ("--workers", "2"))):
        status, _, err = call(*arguments, "--out", tmp_path / name, *more)
        assert status == 0, err
    assert contents(tmp_path / "there") == contents(tmp_path / "here")
    assert facts(tmp_path / "there" / "process") == facts(tmp_path / "here" / "process")
    status, _, err = call(*arguments, "--out", tmp_path / "no", "--workers", "2", "--max-requests", "5")
    assert status == 2
    assert "--max-requests is counted in one process" in err


def test_shards_paint_what_one_run_paints(painter, tmp_path):
    strategy = make_strategy("single-pass", painter, **FAST)
    paint_run(tmp_path / "whole", settings(), PROMPTS, strategy)
    for number in range(2):
        paint_run(tmp_path / "parts", settings(), PROMPTS, strategy, shard=Shard(number, 2))
    assert len(result_files(tmp_path / "parts")) == 2
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert facts(tmp_path / "parts") == facts(tmp_path / "whole")


def test_killed_and_resumed_loses_and_repeats_nothing(forks, tiny_folder, painter, prompts_file, tmp_path):
    arguments = ["eval", "run", tiny_folder, "--out", tmp_path / "killed", "--prompts", prompts_file]
    arguments += ["--seeds", "0-3", "--batch", "5", "--device", "cpu", *WORDS]
    process = forks.start("-m", "strokewise", *arguments, stderr=subprocess.DEVNULL)
    results = tmp_path / "killed" / "process" / "results-0-of-1.jsonl"
    while not results.exists() or results.read_bytes().count(b"\n") < 2:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = results.read_bytes().splitlines()
    assert 2 <= len(before) < 12
    with results.open("ab") as file:
        file.write(b'{"prompt": 2, "sam')  # a line that was being written
    assert forks.run("-m", "strokewise", *arguments).returncode == 0
    lines = results.read_bytes().splitlines()
    assert lines[: len(before) - 1] == before[: len(before) - 1]
    keys = [(line["prompt"], line["sample"]) for line in map(json.loads, lines)]
    assert len(keys) == len(set(keys)) == 12
    options = {**FAST, "size": (16, 16)}
    whole = make_strategy("process", painter, **options)
    paint_run(tmp_path / "whole", settings(seeds=[0, 1, 2, 3]), PROMPTS, whole, batch=5)
    assert contents(tmp_path / "killed" / "process") == contents(tmp_path / "whole")


def test_a_batch_that_was_cut_short_is_painted_again_as_a_whole(painter, tmp_path):
    """Else what is left would be batched anew, and its pictures would differ by rounding."""
    inner = make_strategy("process", painter, **FAST)
    batches = []

    class Watched:
        def paint(self, requests):
            batches.append([(one.prompt, one.seed) for one in requests])
            return inner.paint(requests)

    def stop(done, total):
        if done == 5:
            raise KeyboardInterrupt

    paint_run(tmp_path / "whole", settings(), PROMPTS, Watched(), batch=4)
    wanted, batches = batches, []
    with pytest.raises(KeyboardInterrupt):
        paint_run(tmp_path / "cut", settings(), PROMPTS, Watched(), batch=4, on_progress=stop)
    before = contents(tmp_path / "cut")
    assert paint_run(tmp_path / "cut", settings(), PROMPTS, Watched(), batch=4) == 1
    assert batches == [*wanted, wanted[1]]
    assert before.items() <= contents(tmp_path / "cut").items()
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_a_folder_of_other_pictures_is_refused(painter, tmp_path):
    strategy = make_strategy("single-pass", painter, **FAST)
    paint_run(tmp_path, settings(), PROMPTS, strategy)
    with pytest.raises(ConfigError, match="another strategy; give another --out"):
        paint_run(tmp_path, settings(strategy="think"), PROMPTS, strategy)
    with pytest.raises(ConfigError, match="another prompts"):
        paint_run(tmp_path, settings(), PROMPTS[:2], strategy)


def test_damaged_results_are_errors(painter, tmp_path):
    paint_run(tmp_path, settings(), PROMPTS[:1], make_strategy("single-pass", painter, **FAST))
    results = tmp_path / "results-0-of-1.jsonl"
    results.write_text('{"prompt": 0}\n' + results.read_text())
    with pytest.raises(RecordError, match="line 1: not a line of results"):
        Run(tmp_path).entries()


@pytest.mark.parametrize("text", ["", "a", "1-", "3,3", "0-2,1", "-1"])
def test_seeds_that_are_none(text):
    with pytest.raises(ConfigError):
        parse_seeds(text)


def test_seeds_and_shards_in_words():
    assert parse_seeds("0-2,9") == [0, 1, 2, 9]
    assert Shard.parse("1/4") == Shard(1, 4)
    for wrong in ("4/4", "1", "a/b", "-1/2"):
        with pytest.raises(ConfigError):
            Shard.parse(wrong)


def test_prompts_outside_the_vocabulary(tiny_folder):
    painter = Painter.load(tiny_folder)
    painter.vocabulary = Vocabulary(("bus",), ("red",))
    lines = []
    assert known_prompts(painter, PROMPTS, "skip", lines.append) == PROMPTS[:1]
    assert [line.partition(": not trained")[0] for line in lines] == [
        "left out: prompt 2, 'two apples'",
        "left out: prompt 3, 'a dog left of a cat'",
    ]
    assert known_prompts(painter, PROMPTS, "paint") == PROMPTS
    with pytest.raises(PromptError, match=r"2 of 3 prompts cannot be painted; the first is prompt 2"):
        known_prompts(painter, PROMPTS, "refuse")
    with pytest.raises(ConfigError):
        known_prompts(painter, PROMPTS, "perhaps")


def test_a_prompt_too_long_is_found_before_anything_is_painted(painter):
    prompts = [*PROMPTS, Prompt("bus " * 4000)]
    for unknown in ("refuse", "paint"):
        with pytest.raises(PromptError, match=r"1 of 4 .* prompt 4, 'bus .*positions"):
            known_prompts(painter, prompts, unknown)
    assert known_prompts(painter, prompts, "skip") == PROMPTS


def test_strategies_feed_the_trained_wording(painter):
    knowing = copy(painter)
    knowing.vocabulary = Vocabulary(("bus",), ("red",))
    request = Request("A photo of 1  RED bus", 3)
    for name in ("single-pass", "best-of-n"):
        (outcome,) = make_strategy(name, knowing, Helpers(Preference()), 2, **FAST).paint([request])
        assert (outcome.trajectory.prompt, outcome.trajectory.original_prompt) == (
            "a photo of a red bus",
            request.prompt,
        )
        (raw,) = make_strategy(name, knowing.unchecked(), Helpers(Preference()), 2, **FAST).paint([request])
        assert (raw.trajectory.prompt, raw.trajectory.original_prompt) == (request.prompt, "")


def test_other_weights_have_another_fingerprint(tiny_folder, make_model, tiny_config, tmp_path):
    from strokewise.models.bagel import save_model

    save_model(make_model(tiny_config, 1), tmp_path)
    assert fingerprint(tiny_folder) != fingerprint(tmp_path)
    assert fingerprint(tiny_folder) == fingerprint(tiny_folder)


# --- strategies -------------------------------------------------------------------------------------------


def test_single_pass_is_the_painters(painter):
    requests = [Request("a red bus", 3), Request("two apples", 4)]
    found = make_strategy("single-pass", painter, **FAST).paint(requests)
    for request, outcome in zip(requests, found, strict=True):
        alone = painter.paint(request.prompt, request.seed, policy=SinglePass(), **FAST)
        assert close(outcome.image, alone.images[-1])
        assert outcome.cost.images == 1
        assert outcome.cost.text_tokens == 0


def test_the_best_candidate_wins_and_all_are_paid_for(painter):
    request, verifier = Request("a red bus", 3), Preference()
    helpers = Helpers(verifier)
    (outcome,) = make_strategy("best-of-n", painter, helpers, 4, **FAST).paint([request])
    candidates = [
        painter.paint(request.prompt, candidate_seed(3, k), policy=SinglePass(), **FAST).images[-1]
        for k in range(4)
    ]
    scores = [verifier.score("", image) for image in candidates]
    assert outcome.notes["chosen"] == scores.index(max(scores))
    assert close(outcome.image, candidates[outcome.notes["chosen"]])
    assert outcome.notes["scores"] == pytest.approx(scores, abs=1e-4)
    once = painter.defaults.changed(FAST).painting(False).passes(False)
    assert (outcome.cost.images, outcome.cost.questions) == (4, 4)
    assert outcome.cost.passes == 4 * once
    assert close(candidates[0], painter.paint("a red bus", 3, policy=SinglePass(), **FAST).images[0])


def test_parm_prefers_what_is_promising(painter):
    class Looks(Preference):
        def potential(self, prompt, image):
            return super().potential(prompt, image) * 0  # nothing is

    request = Request("a red bus", 3)
    (hopeless,) = make_strategy("parm", painter, Helpers(Looks()), 3, **FAST).paint([request])
    assert hopeless.notes["scores"] == [None] * 3
    assert hopeless.notes["chosen"] == 0
    (outcome,) = make_strategy("parm", painter, Helpers(Preference()), 3, **FAST).paint([request])
    assert len(outcome.notes["potentials"]) == 3
    assert outcome.cost.images == 3


def test_thinking_comes_before_one_image(painter):
    (outcome,) = make_strategy("think", painter, **FAST).paint([Request("a red bus", 3)])
    assert outcome.trajectory.stop in ("think", "tokens")  # the tiny model was never trained
    assert outcome.cost.images <= 1


class Accepting:
    """An inspector and planner that knows one stroke, and finds nothing wrong with it."""

    def inspect(self, trajectory):
        return Message("the sketch shows the plan.")

    def plan(self, prompt, seed):
        return [PLAN, Message("the sketch shows the plan.")]


PLAN = Message("", ins="add a red bus", des="a red bus.")
EVERYBODY = Helpers(Preference(), Accepting(), Accepting())


@pytest.mark.parametrize("name", NEEDS)
def test_every_strategy_paints_on_a_picture_that_is_given(painter, random_image, name):
    strategy, source = make_strategy(name, painter, EVERYBODY, 2, **FAST), random_image(16, 16)
    plain, edited = strategy.paint([Request("a red bus", 3), Request("a red bus", 3, source=source)])
    assert (plain.trajectory.source, edited.trajectory.source.tobytes()) == (None, source.tobytes())
    if name in ("single-pass", "best-of-n", "parm", "external-planner"):  # these always paint
        assert not close(plain.image, edited.image)


@pytest.mark.parametrize("name", NEEDS)
def test_every_strategy_continues_earlier_steps_or_says_that_it_does_not(painter, random_image, name):
    strategy = make_strategy(name, painter, EVERYBODY, 2, **FAST)
    request = Request("a red bus", 3, before=(Step(PLAN, random_image(16, 16)),))
    if name in ("single-pass", "best-of-n", "parm"):
        with pytest.raises(ConfigError, match="continues no earlier steps"):
            strategy.paint([request])
        return
    (outcome,) = strategy.paint([request])
    assert outcome.trajectory.steps[0].message == PLAN
    if name != "process":  # the tiny model was never trained, and ends at once
        assert len(outcome.trajectory.steps) > 1
    assert outcome.cost.images == sum(step.image is not None for step in outcome.trajectory.steps[1:])


@pytest.mark.parametrize("name", [name for name, need in NEEDS.items() if need])
def test_strategies_that_need_somebody(painter, name):
    with pytest.raises(ConfigError, match=f"{name} needs a"):
        make_strategy(name, painter)


def test_strategies_that_are_not_there(painter):
    with pytest.raises(ConfigError, match="unknown strategy 'luck'"):
        make_strategy("luck", painter)
    with pytest.raises(ConfigError, match="candidates is 0"):
        make_strategy("best-of-n", painter, Helpers(Preference()), 0)
    with pytest.raises(ConfigError, match="unknown options"):
        make_strategy("process", painter, stepz=3)


# --- prompts and commands ---------------------------------------------------------------------------------


def test_prompts_of_three_kinds(tmp_path):
    assert len(load_prompts("geneval")) == 553
    lines = tmp_path / "a.jsonl"
    lines.write_text(json.dumps({"tag": "colors", "prompt": "x", "include": [{"class": "bus", "count": 1}]}))
    assert load_prompts(str(lines))[0].geneval
    wise = tmp_path / "b.json"
    wise.write_text(json.dumps([{"Prompt": "x", "prompt_id": 1, "Explanation": "y", "Category": "time"}]))
    assert load_prompts(str(wise))[0].tag == "time"
    (tmp_path / "c.txt").write_text("\n\n")
    for wrong in ("nothing.txt", "c.txt"):
        with pytest.raises(InputError):
            load_prompts(str(tmp_path / wrong))
    wise.write_text('[{"Prompt": "x"}]')
    with pytest.raises(
        InputError, match=r"no list of WISE's prompts: 0\.prompt_id: is missing; 0\.Explanation: is missing"
    ):
        load_prompts(str(wise))


def test_the_command_paints_and_resumes(call, tiny_folder, prompts_file, tmp_path):
    arguments = (
        "run",
        tiny_folder,
        "--out",
        tmp_path / "out",
        "--prompts",
        prompts_file,
        "--seeds",
        "0",
        *WORDS,
    )
    both = (*arguments, "--strategy", "single-pass", "--strategy", "think")
    status, out, err = call(*both)
    assert status == 0, err
    assert out.count("3 pictures painted") == 2
    assert [run.folder.name for run in find_runs([tmp_path / "out"])] == ["single-pass", "think"]
    assert call(*both)[1].count("0 pictures painted") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--strategy", "luck"), "unknown strategy"),
        (("--seeds", "x"), "seeds 'x'"),
        (("--shard", "2/2"), "shard"),
        (("--world", "moon"), "--world is 'moon'"),
        (("--size", "x"), "size 'x'"),
        (("--prompts", "missing.txt"), "cannot be read"),
        (("--strategy", "parm"), "parm needs a verifier"),
        (("--steps", "0"), "steps"),
    ],
)
def test_mistakes_are_one_line(call, tiny_folder, prompts_file, tmp_path, words, message):
    arguments = ("run", tiny_folder, "--out", tmp_path / "out", "--prompts", prompts_file, *WORDS)
    status, _, err = call(*arguments, *words)
    assert status == 2
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err
