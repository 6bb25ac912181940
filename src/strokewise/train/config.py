"""The complete description of a training run, as frozen values. Recipes make them; checkpoints keep them."""

import json
from dataclasses import dataclass, field, fields, is_dataclass, replace
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from strokewise.datasets.dropout import Dropout
from strokewise.datasets.samples import SourceConfig
from strokewise.errors import ConfigError
from strokewise.io.bounds import LARGEST, LARGEST_SEED, check_numbers
from strokewise.train.objectives import Objective
from strokewise.train.objectives.sft import SupervisedFineTuning

Config = TypeVar("Config")
PRECISIONS = ("float32", "bfloat16")
# Types of values that the command line can set.
PLAIN = (bool, int, float, str, tuple, NoneType)


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters beside the decoder's linear layers; all else stays as it is.

    Attributes:
        rank: inner size of an adapter.
        alpha: its output is scaled by alpha / rank.
        quantize: None, or ``nf4``: hold the linear layers beside them in 4 bits, on one device.
    """

    rank: int = 64
    alpha: int = 128
    quantize: str | None = None

    def __post_init__(self) -> None:
        """Refuse values that have no meaning."""
        check_numbers(self, rank=(1, LARGEST), alpha=(1, LARGEST))
        if self.quantize not in (None, "nf4"):
            raise ConfigError(f"adapters are trained beside a base in nf4 or none, not {self.quantize!r}")

    def check_devices(self, count: int) -> None:
        """Refuse to share a quantized base among several devices.

        Raises:
            ConfigError: if it would be.
        """
        if self.quantize and count > 1:
            raise ConfigError(
                f"a base in {self.quantize} cannot be sharded over {count} processes; start one, or set"
                " lora.quantize=null"
            )


@dataclass(frozen=True)
class WeightedSource:
    """A source of samples and its share of the mixture."""

    name: str
    weight: float
    source: SourceConfig


@dataclass(frozen=True)
class Running:
    """How a run is carried out. None of it changes the result, so a resumed run may change all of it.

    Attributes:
        workers: processes that read or render samples; with 0 the training process does it.
        cache_mb: memory, in MiB, for latents of images that come again.
        checkpointing: recompute the activations of layers in the backward pass instead of keeping them.
        compile: compile the layers with torch.compile.
        ema_on_cpu: hold the averaged weights in the memory of the host; each update copies the weights there,
            so take a larger ``ema_every`` with it.
        async_save: copy what a checkpoint holds to the memory of the host and write it from there in the
            background, while training continues; one at a time, the next waits for it.
        log_every, save_every, sample_every: intervals in optimizer steps.
        keep: number of checkpoints kept.
        num_samples: images painted at ``sample_every``; 0 paints none.
        sample_steps: velocity evaluations for each of them.
        tensorboard: also write scalars and images for TensorBoard.
    """

    workers: int = 0
    cache_mb: int = 256
    checkpointing: bool = False
    compile: bool = False
    ema_on_cpu: bool = False
    async_save: bool = False
    log_every: int = 10
    save_every: int = 500
    sample_every: int = 500
    keep: int = 2
    num_samples: int = 4
    sample_steps: int = 24
    tensorboard: bool = True

    def __post_init__(self) -> None:
        """Refuse values that have no meaning."""
        intervals = dict.fromkeys(("log_every", "save_every", "sample_every", "keep"), (1, LARGEST))
        amounts = {"workers": (0, 1024), "num_samples": (0, 4096), "cache_mb": (0, LARGEST)}
        check_numbers(self, **intervals, **amounts, sample_steps=(1, 10_000))


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        name: of the recipe.
        model: folder, built-in name or hub id of the checkpoint to start from, tokenizer included.
        sources: data sets, and their shares of the samples.
        objective: the loss.
        steps: optimizer steps in all.
        learning_rate: at its peak.
        warmup_steps: linear warm-up; a cosine follows, down to ``final_lr`` times the peak.
        pack_tokens: tokens in a pack, at most.
        row_tokens: samples share a row of the batch up to this many tokens; one row costs attention over
            all of its tokens, several rows cost padding.
        packs_per_step: packs in an optimizer step over all GPUs and accumulation steps; the result does not
            depend on how many GPUs share them.
        time_shift: timestep shift of training times towards noise.
        noised_copies: how often a supervised image stands in its sample as noised latents, each with its own
            noise and time and unseen by all else: what comes before is then read once for several of them.
        dropout: of conditions.
        betas, eps, weight_decay: AdamW's.
        muon: peak rate of Muon for the matrices within layers, which follows the same schedule; with None
            AdamW trains all.
        clip_norm: largest norm of the gradient over all parameters.
        ema_decay: of the averaged weights, at each of their updates.
        ema_every: optimizer steps from one of these updates to the next.
        precision: of the arithmetic; weights, gradients and averages are float32 (adapters' base: bfloat16).
        lora: adapters, or None to train all weights but the autoencoder's.
        canvas_side: largest side of canvases in pixels, stored with exports; None: the start's own.
        view_side: the same of the ViT's copies of images.
        seed: of data order, noise, times and dropout.
        running: settings that do not change the result.
    """

    name: str
    model: str
    sources: tuple[WeightedSource, ...]
    steps: int
    learning_rate: float
    warmup_steps: int
    pack_tokens: int
    row_tokens: int
    packs_per_step: int
    final_lr: float = 0.0
    objective: Objective = field(default_factory=SupervisedFineTuning)
    time_shift: float = 1.0
    noised_copies: int = 1
    dropout: Dropout = field(default_factory=Dropout)
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.0
    muon: float | None = None
    clip_norm: float = 1.0
    ema_decay: float = 0.9999
    ema_every: int = 1
    precision: str = "bfloat16"
    lora: Lora | None = None
    canvas_side: int | None = None
    view_side: int | None = None
    seed: int = 0
    running: Running = field(default_factory=Running)

    def __post_init__(self) -> None:
        """Refuse values that have no meaning."""
        for name in ("steps", "pack_tokens", "row_tokens", "packs_per_step", "noised_copies", "ema_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        check_numbers(
            self,
            warmup_steps=(0, LARGEST),
            final_lr=(0, 1),
            time_shift=(1e-6, 1e6),
            betas=(0, 1),
            eps=(0, 1),
            weight_decay=(0, LARGEST),
            canvas_side=(1, LARGEST),
            view_side=(1, LARGEST),
            seed=(0, LARGEST_SEED),
        )
        check_numbers(self.objective)
        if len(self.betas) != 2 or 1 in self.betas:
            raise ConfigError(f"betas are {self.betas}; they are two numbers in [0, 1)")
        if self.precision not in PRECISIONS:
            raise ConfigError(f"unknown precision {self.precision!r}; known are {', '.join(PRECISIONS)}")
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"ema_decay is {self.ema_decay}; it must lie in [0, 1)")
        if not self.learning_rate > 0 or not self.clip_norm > 0 or not (self.muon is None or self.muon > 0):
            raise ConfigError("learning_rate, muon and clip_norm must be positive")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; a source or an objective is its class and its fields."""
        return _plain(self)

    def differences(self, stored: dict[str, Any]) -> list[str]:
        """Compare with another run's plain values, ``running`` left out; one line for each difference."""
        ours, theirs = self.to_dict(), dict(stored)
        ours.pop("running"), theirs.pop("running", None)
        names = sorted({*ours, *theirs})
        return [
            f"{n}: {theirs.get(n)} in the checkpoint, {ours.get(n)} now"
            for n in names
            if ours.get(n) != theirs.get(n)
        ]


def override(config: Config, assignment: str) -> Config:
    """Change one value of a configuration.

    Args:
        config: what to change, a frozen dataclass.
        assignment: ``name=value`` or ``part.name=value``, the value as in JSON (a bare word is a string).

    Raises:
        ConfigError: if there is no such value, or it cannot be that.
    """
    name, equals, text = assignment.partition("=")
    if not equals:
        raise _no_value(assignment)
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    return _changed(config, name.split("."), value, assignment)


def _changed(owner: Any, path: list[str], value: Any, assignment: str) -> Any:
    """Return a configuration with the value at a path of names."""
    name, *rest = path
    if rest:
        part = getattr(owner, name, None)
        return replace(owner, **{name: _changed(part, rest, value, assignment)})
    kinds = _value_kinds(owner, name)
    if not kinds:
        raise _no_value(assignment)
    if type(value) is int and float in kinds and int not in kinds:
        value = float(value)
    if type(value) is list and tuple in kinds:
        value = tuple(value)
    if type(value) not in kinds:
        names = " or ".join("null" if kind is NoneType else kind.__name__ for kind in kinds)
        raise ConfigError(f"--set {assignment}: {name} is a {names}, such as {getattr(owner, name)!r}")
    return replace(owner, **{name: value})


def _no_value(assignment: str) -> ConfigError:
    return ConfigError(
        f"--set {assignment}: expected name=value of a number, a word or a list, as running.workers=4"
    )


def _value_kinds(owner: Any, name: str) -> list[type]:
    """Return the plain types that a field may have, None included; empty if there is no such field."""
    if not is_dataclass(owner) or name not in {entry.name for entry in fields(owner)}:
        return []
    hint = get_type_hints(type(owner))[name]
    options = get_args(hint) if get_origin(hint) is UnionType else (hint,)
    kinds = [get_origin(option) or option for option in options]
    numbers = set(get_args(hint)) <= {float} if tuple in kinds else True
    return kinds if numbers and all(kind in PLAIN for kind in kinds) else []


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        entries = {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
        known = isinstance(value, TrainConfig | Dropout | Lora | Running | WeightedSource)
        return entries if known else {"kind": type(value).__name__, **entries}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
