"""Reinforcement: credits of groups, objectives on problems with a known optimum, rounds that resume."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from strokewise.cli.train import app
from strokewise.critics.rewards import RewardCritic, Rewards, agreement
from strokewise.data.rollouts import (
    ListedPrompts,
    Rollout,
    RolloutSampling,
    read_rollout_facts,
    read_trajectories,
    round_files,
    sample,
)
from strokewise.datasets import rollouts as credit_rules
from strokewise.datasets.dropout import Dropout
from strokewise.datasets.rollouts import Credits, credited, supervised
from strokewise.errors import ConfigError, LanguageError
from strokewise.inference.painter import Painter
from strokewise.inference.policies import Begin, Policy, Say
from strokewise.models import load_model
from strokewise.recipes.reinforcement import OBJECTIVES
from strokewise.sequence import Segment, Tokenizer, pack
from strokewise.train.config import Lora, Running, TrainConfig, override
from strokewise.train.objectives.nft import DiffusionNFT
from strokewise.train.objectives.policy_gradient import PolicyGradient, text_ratios
from strokewise.train.reinforcement import Reinforcement, ReinforcementConfig
from strokewise.trajectory.values import Message, Step, StopReason, Trajectory, Verdict

WHITE, BLACK = Image.new("RGB", (8, 8), "white"), Image.new("RGB", (8, 8), "black")


def rewards(picture, verdicts=(), first=0.0, canvases=()):
    return Rewards(first, picture, (None, *verdicts), (1.0, *canvases))


# --- the critic ---------------------------------------------------------------------------------------------


class Lists:
    """A judge and verifier of the toy language: a canvas is right if it is white."""

    def plan(self, prompt, message):
        if "?" in message.des:
            raise LanguageError("what?")
        return type("Found", (), {"consistent": message.des in prompt})

    def sketch(self, message, canvas):
        return type("Found", (), {"consistent": canvas.getpixel((0, 0)) == (255, 255, 255)})

    def score(self, prompt, image):
        return float(image.getpixel((0, 0)) == (255, 255, 255))


def test_rewards_are_kept_apart():
    plan = Message(ins="paint", des="a b")
    steps = (
        Step(plan, BLACK),
        Step(Message("it is black", refine="make it white"), WHITE, Verdict(True, True)),
        Step(Message("fine"), None, Verdict(None, True)),
    )
    found = RewardCritic(Lists(), Lists()).rewards(
        [Trajectory("a b c", steps), Trajectory("a b c", steps[:2], stop=StopReason.TOKENS)]
    )
    assert found[0] == Rewards(0.0, 1.0, (None, 0.5, 1.0), (0.0, 1.0, None))
    assert found[1].picture == 0.0, "it did not end by itself"


def test_verdicts_in_words_that_nobody_reads_count_by_what_they_lead_to():
    corrects = Step(Message("hm", refine="better"), WHITE)
    accepts = Step(Message("fine"))
    assert [agreement(step, True, False) for step in (corrects, accepts)] == [1.0, 0.0]
    assert [agreement(step, True, True) for step in (corrects, accepts)] == [0.0, 1.0]
    assert agreement(accepts, None, True) is None


# --- credits ------------------------------------------------------------------------------------------------


def test_a_picture_no_better_than_its_wrong_first_canvas_has_the_least_reward():
    group = [rewards(0.5, first=0.5), rewards(0.3, first=0.5), rewards(1.0, first=0.5)]
    assert credit_rules.pictures(group) == [0.3, 0.3, 1.0]
    assert credit_rules.pictures([replace(r, first=1.0) for r in group]) == [0.5, 0.3, 1.0]


def test_verdicts_and_pictures_are_credited_apart():
    one, two = credit_rules.grpo([rewards(1.0, (0.0, 1.0)), rewards(0.0, (1.0, 1.0))])
    assert one.actions == (None, 1.0, 1.0)
    assert two.actions == (None, -1.0, -1.0)
    assert one.inspections == pytest.approx((None, -math.sqrt(3), 1 / math.sqrt(3)))
    assert all(c.empty for c in credit_rules.grpo([rewards(1.0, (1.0,)), rewards(1.0, (1.0,))]))


def test_raft_takes_what_is_right_throughout_in_mixed_groups():
    group = [rewards(1.0, (1.0,)), rewards(1.0, (0.0,)), rewards(0.5, (1.0,))]
    assert [not c.empty for c in credit_rules.raft(group)] == [True, False, False]
    assert all(c.empty for c in credit_rules.raft(group[:1] * 3))


def test_canvases_are_credited_between_zero_and_one():
    found = credit_rules.nft([rewards(0, canvases=(1.0, None)), rewards(0, canvases=(0.0, 0.0))])
    low = 0.5 - 0.5 * math.sqrt(0.5)
    assert found[0].canvases == (None, 1.0, None)
    assert found[1].canvases == pytest.approx((None, low, low))


def test_samples_train_only_what_siblings_do_not_share(tiny_tokenizer):
    plan = Message(ins="a", des="b")
    steps = (
        Step(plan, BLACK),
        Step(Message("no", refine="c"), WHITE, Verdict(True, False)),
        Step(Message("yes"), None, Verdict(True, True)),
    )
    trajectory = Trajectory("p", steps)
    found = credited(trajectory, Credits((None, 2.0, 3.0), (None, -1.0, -1.0)), tiny_tokenizer)
    assert [part.loss for part in found.parts] == [False, False, False, True, False, True]
    assert found.parts[3].credits == (
        2.0,
        2.0,
        -1.0,
        -1.0,
        -1.0,
        -1.0,
        -1.0,
    )  # n o, then _ <refine> c </refine> end
    assert found.parts[5].credits == (3.0, 3.0, 3.0, -1.0)
    canvases = credited(trajectory, Credits(canvases=(None, 0.9, None)), tiny_tokenizer)
    assert [(part.loss, getattr(part, "credit", None)) for part in canvases.parts][-1] == (True, 0.9)
    assert len(canvases.parts) == 5
    assert not any(part.loss for part in canvases.parts[:-1])
    whole = supervised(trajectory, tiny_tokenizer)
    assert [part.loss for part in whole.parts] == [False, False, False, True, True, True]
    assert whole.ends


# --- objectives ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packed(tiny_model, special):
    spec = tiny_model.pack_spec(special)
    texts = [
        Segment.text([9, 8, 7], loss=True, credits=(1.0, 1.0, -2.0, -2.0)),
        Segment.text([6, 6], loss=True, credits=(0.5,) * 3),
    ]
    return pack([[[Segment.text([5]), *texts]], [[Segment.text([4, 4]), texts[1]]]], spec)


def test_log_probabilities_are_those_of_a_plain_forward_pass(tiny_model, generator, packed):
    found = PolicyGradient(temperature=0.7).outputs(tiny_model, packed)
    context, special = generator.context(), generator.special
    generator.read([context], [[5]])
    wanted = []
    for ids in ([9, 8, 7], [6, 6]):
        for end, label in enumerate([*ids, special.text_end]):
            part = context.fork()
            generator.append([part], [[Segment.text(ids[:end], closes=False)]])
            logits = tiny_model.text_logits(part.entries[-1].last) / 0.7
            wanted.append(float(logits.log_softmax(-1)[label]))
        generator.read([context], [ids])
    assert found[:7].tolist() == pytest.approx(wanted, abs=1e-4)


def test_ratios_are_those_of_whole_texts(packed):
    found = text_ratios(torch.arange(10.0), packed).log()
    assert found.tolist() == pytest.approx([1.5] * 4 + [5.0] * 3 + [8.0] * 3)


@pytest.mark.parametrize(("shift", "active"), [(0.0, (1, 1)), (0.5, (0, 1)), (-0.5, (1, 0))])
def test_the_gradient_is_the_advantage_until_it_is_clipped(tiny_model, packed, monkeypatch, shift, active):
    objective = PolicyGradient()
    old = objective.outputs(tiny_model, packed)
    new = (old + shift).requires_grad_()
    module = "strokewise.train.objectives.policy_gradient"
    monkeypatch.setattr(f"{module}.outputs_of", lambda *_: (new, old[:0]))
    objective.sums(tiny_model, replace(packed, old=old))["policy"].backward()
    wanted = [-math.exp(shift) * float(a) * active[0 if a > 0 else 1] for a in packed.text_credits]
    assert new.grad.tolist() == pytest.approx(wanted, abs=1e-5)


def test_the_flow_moves_to_the_rewarded_mode():
    """Two equally likely canvases of which one is rewarded: the optimum at β = 1 is that one's velocity."""
    modes, noise = torch.tensor([[1.0, -1.0], [-1.0, 3.0]]), torch.tensor([0.3, 0.2])
    old = noise - modes.mean(0)
    new = old.clone().requires_grad_()
    fields = {
        "old": old.expand(2, 2),
        "latent_targets": noise - modes,
        "latent_credits": torch.tensor([1.0, 0.0]),
    }
    batch = type("Batch", (), fields)
    optimizer = torch.optim.SGD([new], 0.25)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "strokewise.train.objectives.nft.outputs_of", lambda *_: (torch.zeros(0), new.expand(2, 2))
        )
        for _ in range(60):
            optimizer.zero_grad()
            DiffusionNFT().sums(None, batch)["velocity"].backward()
            optimizer.step()
    torch.testing.assert_close(new.detach(), noise - modes[0])


# --- rounds -------------------------------------------------------------------------------------------------

PLAN = Message(ins="a", des="a")


class Opening(Policy):
    """The first plan and its canvas are given; the model inspects."""

    def message(self, session):
        return Begin("a") if session.number else Say(PLAN)

    def canvas(self, session):
        return None if session.number else WHITE


REWARDED = "abcdefgh"


def likes_letters(trajectories):
    """The reward of an inspection: the share of the first letters among the four that the model writes."""
    shares = [sum(map(REWARDED.count, t.steps[1].message.inspect[1:])) / 4 for t in trajectories]
    return [Rewards(0.0, share, (None, share), (None, None)) for share in shares]


def reinforced(folder, objective="grpo", rounds=3, steps=2, rate=3e-3, lora=None, saving=1):
    training = TrainConfig(
        name="toy",
        model=str(folder),
        sources=(),
        steps=rounds * steps,
        learning_rate=rate,
        warmup_steps=0,
        final_lr=1.0,
        pack_tokens=600,
        row_tokens=300,
        packs_per_step=1,
        objective=OBJECTIVES[objective].objective,
        ema_decay=OBJECTIVES[objective].old,
        dropout=Dropout(0.0, 0.0, 0.0, 0.0),
        precision="float32",
        lora=lora,
        running=Running(log_every=1, save_every=saving, num_samples=0, tensorboard=False),
    )
    painting = {"temperature": 1.0, "max_tokens": 4, "steps": 2, "size": (8, 8), "text_guidance": 1.0}
    sampling = RolloutSampling(ListedPrompts(("a", "b a")), 4, 8, 2, painting)
    return ReinforcementConfig(training, sampling, objective, rounds)


def started(config, folder):
    return Reinforcement(config, likes_letters, folder, Opening(), report=lambda line: None)


def state(run):
    return {name: tensor.clone() for name, tensor in run.trainer._tensors().items()}


def mean_reward(folder, number):
    return np.mean(
        [f.rewards.picture for path in round_files(folder, number) for f in read_rollout_facts(path)]
    )


def test_a_random_model_learns_to_write_the_rewarded_letters(tiny_folder, tmp_path):
    config = reinforced(tiny_folder, rounds=10, steps=2, rate=5e-3, saving=100)
    started(config, tmp_path).fit()
    first, last = (mean_reward(tmp_path / "rollouts", number) for number in (0, 9))
    assert first < 0.4
    assert last > 0.8


def test_resumed_equals_unbroken(tiny_folder, tmp_path):
    config = reinforced(tiny_folder)
    unbroken = started(config, tmp_path / "one")
    unbroken.fit()
    for _ in range(2):  # in the midst of a round, then in the midst of its rollouts
        run = started(config, tmp_path / "two")
        run._sample(run.trainer.step // 2, math.inf)
        if not run.trainer.step % 2:
            run.trainer.skip_to(run.trainer.step // 2 * credit_rules.ROUND)
        run.trainer.train_to(run.trainer.step + 1)
        run.trainer.lock.release()  # as its process would, when it is killed
    run = started(config, tmp_path / "two")
    assert run.trainer.step == 2
    painted = run._paint(1, 1)
    run._sample(1, math.inf)
    run.trainer.lock.release()
    late = started(config, tmp_path / "two")
    assert not late._sample(2, -math.inf), "there is no time for another round"
    late.trainer.lock.release()
    started(config, tmp_path / "two").fit()
    resumed = started(config, tmp_path / "two")
    assert resumed.trainer.step == 6
    wanted = state(unbroken)
    for name, tensor in state(resumed).items():
        assert torch.equal(tensor, wanted[name]), name
    file = round_files(tmp_path / "one" / "rollouts", 1)[1]
    assert [t.steps[-1].message for t in read_trajectories(file)] == [
        r.trajectory.steps[-1].message for r in painted
    ]


@pytest.mark.parametrize(("objective", "lora"), [("raft", None), ("nft", None), ("grpo", Lora(2, 4))])
def test_every_objective_runs_a_round(tiny_folder, tmp_path, objective, lora):
    def mixed(trajectories):
        found = [i % 2 for i in range(len(trajectories))]
        return [Rewards(0.0, float(x), (None, float(x)), (None, float(x))) for x in found]

    class Refining(Opening):
        def message(self, session):
            return {0: Say(PLAN), 1: Say(Message("no", refine="b"))}.get(session.number)

    config = reinforced(tiny_folder, objective, rounds=1, lora=lora)
    run = Reinforcement(config, mixed, tmp_path, Refining(), report=lambda line: None)
    before = state(run)
    run.fit()
    after = state(run)
    assert any(not torch.equal(after[name], before[name]) for name in after if name.startswith("weight/"))
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines
    assert all(math.isfinite(line["loss"]) for line in lines)


def test_siblings_share_their_first_step_and_nothing_more(tiny_folder):
    painter = Painter(load_model(tiny_folder, dtype=torch.float32), Tokenizer.load(tiny_folder))
    config = reinforced(tiny_folder).sampling
    found: list[Rollout] = sample(painter, likes_letters, config, 0, 0, Opening())
    assert [rollout.facts.group for rollout in found] == [0] * 8 + [1] * 8
    assert len({rollout.trajectory.steps[0].message for rollout in found}) == 1
    assert len({rollout.trajectory.steps[1].message.inspect for rollout in found[:8]}) > 4
    again = sample(painter, likes_letters, config, 0, 0, Opening())
    assert [r.trajectory.steps[1].message for r in again] == [r.trajectory.steps[1].message for r in found]


def test_what_cannot_be(tiny_folder, tmp_path):
    config = reinforced(tiny_folder)
    with pytest.raises(ConfigError, match="shared evenly"):
        replace(config, rounds=4)
    with pytest.raises(ConfigError, match="two siblings"):
        override(config, "sampling.siblings=1")
    started(config, tmp_path)
    with pytest.raises(ConfigError, match="another recipe"):
        started(override(config, "sampling.seed=1"), tmp_path)
    equal = Reinforcement(
        config,
        lambda ts: [Rewards(0, 0, (None, 0), (None,))] * len(ts),
        tmp_path / "e",
        Opening(),
        lambda _: None,
    )
    with pytest.raises(ConfigError, match="has no training signal"):
        equal.fit()
    shown = CliRunner().invoke(
        app, ["reinforce", "nano-rl", "--model", "nano", "--out", str(tmp_path / "x"), "--objective", "ppo"]
    )
    assert isinstance(shown.exception, ConfigError)
    assert "raft, grpo, nft" in str(shown.exception)
