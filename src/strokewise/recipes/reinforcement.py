"""Reinforcement of nano and of BAGEL-7B: the same rounds, with figures of their own.

Each recipe takes the checkpoint to start from, one of ``OBJECTIVES`` and the prompts; figures without a
source are choices of this project, stated in docs/reinforcement.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from strokewise.data.rollouts import Prompts, RolloutSampling, ScenePrompts
from strokewise.datasets.dropout import Dropout
from strokewise.errors import ConfigError
from strokewise.inference.options import OptionChanges
from strokewise.recipes.nano.stages import NANO_SCENES, NANO_TIME_SHIFT
from strokewise.train.config import Lora, Running, TrainConfig
from strokewise.train.objectives import Objective
from strokewise.train.objectives.nft import DiffusionNFT
from strokewise.train.objectives.policy_gradient import PolicyGradient
from strokewise.train.objectives.sft import SupervisedFineTuning
from strokewise.train.reinforcement import ReinforcementConfig

# Texts are sampled from the model's own distribution, so that log-probabilities need no other temperature.
TEMPERATURE = 1.0
# The conditions of a rollout are those it was painted under; none is left out.
KEPT = Dropout(text=0.0, vit=0.0, latents=0.0, cut=0.0)


@dataclass(frozen=True)
class Reinforced:
    """What an objective of reinforcement changes in a run.

    Attributes:
        objective: the loss.
        rate: learning rate, as a multiple of the recipe's.
        old: share of the old policy that a round keeps.
    """

    objective: Objective
    rate: float
    old: float


OBJECTIVES = {
    "raft": Reinforced(SupervisedFineTuning(), 2.0, 0.0),
    "grpo": Reinforced(PolicyGradient(temperature=TEMPERATURE), 1.0, 0.0),
    # The old policy follows slowly: the implicit negative one is unstable near the trained one.
    "nft": Reinforced(DiffusionNFT(), 2.0, 0.5),
}


def nano_rl(model: str, objective: str, prompts: Prompts | None = None) -> ReinforcementConfig:
    """Return nano on two CPU cores: 20 rounds of 384 rollouts, all weights, four unguided flow steps."""
    training = TrainConfig(
        name=f"nano-rl-{objective}",
        model=model,
        sources=(),
        steps=160,
        learning_rate=2e-5,
        warmup_steps=4,
        final_lr=1.0,
        pack_tokens=4096,
        row_tokens=768,
        packs_per_step=4,
        time_shift=NANO_TIME_SHIFT,
        noised_copies=2,
        dropout=KEPT,
        precision="float32",
        running=Running(log_every=1, save_every=4, num_samples=0),
    )
    painting: OptionChanges = {
        "steps": 4,
        "text_guidance": 1.0,
        "image_guidance": 1.0,
        "temperature": TEMPERATURE,
        "max_tokens": 256,
        "max_images": 8,
    }
    sampling = RolloutSampling(prompts or ScenePrompts(NANO_SCENES), 48, 8, 48, painting)
    return _with_objective(training, sampling, objective, rounds=20)


def bagel_7b_rl(model: str, objective: str, prompts: Prompts | None = None) -> ReinforcementConfig:
    """Return BAGEL-7B on one GPU of 80 GB: 50 rounds of 128 rollouts at 512 pixels, adapters.

    The flow is trained without guidance, and so painted without it where it is what learns.
    """
    training = TrainConfig(
        name=f"bagel-7b-rl-{objective}",
        model=model,
        sources=(),
        steps=200,
        learning_rate=1e-5,
        warmup_steps=4,
        final_lr=1.0,
        pack_tokens=16_384,
        row_tokens=16_384,
        packs_per_step=4,
        time_shift=3.0,
        dropout=KEPT,
        lora=Lora(),
        running=Running(workers=2, checkpointing=True, log_every=1, save_every=4, num_samples=0),
    )
    painting: OptionChanges = {"steps": 24, "size": (512, 512), "temperature": TEMPERATURE, "max_images": 8}
    if objective == "nft":
        painting |= {"text_guidance": 1.0, "image_guidance": 1.0}
    sampling = RolloutSampling(prompts or ScenePrompts(), 16, 8, 16, painting)
    return _with_objective(training, sampling, objective, rounds=50)


def _with_objective(
    training: TrainConfig, sampling: RolloutSampling, objective: str, rounds: int
) -> ReinforcementConfig:
    if objective not in OBJECTIVES:
        raise ConfigError(f"unknown objective {objective!r}; known are {', '.join(OBJECTIVES)}")
    chosen = OBJECTIVES[objective]
    changed = replace(
        training,
        objective=chosen.objective,
        learning_rate=chosen.rate * training.learning_rate,
        ema_decay=chosen.old,
    )
    return ReinforcementConfig(changed, sampling, objective, rounds)


REINFORCEMENT: dict[str, Callable[[str, str, Prompts | None], ReinforcementConfig]] = {
    "nano-rl": nano_rl,
    "bagel-7b-rl": bagel_7b_rl,
}
