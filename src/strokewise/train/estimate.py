"""What a run will cost, before it starts: parameters, tokens, operations, memory, time. Counting only.

Tokens are those of some samples drawn from the mixture; memory of activations is a rough count of what the
backward pass keeps; the rate of arithmetic is measured here, and the share of it that training reaches is an
assumption that is printed with the figure.
"""

import time
from dataclasses import dataclass
from itertools import count

import torch
from rich.table import Table

from strokewise.datasets.mixture import Mixture, derive_seed
from strokewise.datasets.prepare import Prepared, Preparer
from strokewise.errors import ContextLengthError
from strokewise.models.bagel import ModelConfig
from strokewise.models.bagel.costs import expert_weights, parameters
from strokewise.models.bagel.describe import human
from strokewise.train.config import Lora, TrainConfig
from strokewise.train.inputs import Inputs
from strokewise.train.objectives.sft import TEXTS_AT_ONCE
from strokewise.train.work import Work, encoding_flops

PROBED = 48
# Share of the matrix-product rate that training is assumed to reach; on the CPU as measured for nano by
# benchmarks/train.py, on GPUs what well-kept trainers reach.
SHARES = {"cpu": 0.05, "cuda": 0.4}
SINGLE, HALF = 4, 2


@dataclass(frozen=True)
class Memory:
    """Bytes on one device."""

    weights: float
    gradients: float
    optimizer: float
    average: float
    gathered: float
    activations: float

    @property
    def total(self) -> float:
        """All of it."""
        return sum(vars(self).values())


@dataclass(frozen=True)
class Estimate:
    """Costs of a run.

    Attributes:
        trainable, frozen: parameters.
        work: mean counts of one sample.
        samples: per step.
        step_flops: operations of a step, encoding of pictures included.
        memory: of one device.
        rate: operations a second of a large matrix product on one device, measured.
        share: of that rate which the run is assumed to reach.
        seconds: of the whole run on all devices.
    """

    trainable: int
    frozen: int
    work: Work
    samples: float
    step_flops: float
    memory: Memory
    rate: float
    share: float
    seconds: float


def estimate(config: TrainConfig, inputs: Inputs, devices: int, device: torch.device) -> Estimate:
    """Costs of a run on that many devices of this kind.

    Raises:
        StrokewiseError: if a sample cannot be read.
    """
    model, probed = inputs.model, _probe(inputs.mixture, inputs.preparer)
    work = sum((Work.of(sample.segments) for sample in probed), Work())
    canvases = [canvas.shape for sample in probed for canvas in sample.canvases]
    encoding = sum(encoding_flops(model.autoencoder, height, width) for _, height, width in canvases)
    flops = work.flops(model, frozen=config.lora is not None) + encoding
    # A pack ends before the first sample that does not fit: half a sample is left free on average.
    mean = work.tokens / len(probed)
    samples = max(1.0, (config.pack_tokens - mean / 2) / mean) * config.packs_per_step
    step_flops = flops / len(probed) * samples
    counts = parameters(model)
    tables = counts["position tables"]
    every = sum(counts.values()) - tables
    learnt = every - counts["autoencoder"] if config.lora is None else adapter_parameters(model, config.lora)
    rate, share = measured_rate(device, config.precision), SHARES[device.type]
    return Estimate(
        trainable=learnt,
        frozen=every + tables - learnt + (learnt if config.lora else 0),
        work=Work(*(round(value / len(probed)) for value in vars(work).values())),
        samples=samples,
        step_flops=step_flops,
        memory=_memory(config, model, learnt, every, devices),
        rate=rate,
        share=share,
        seconds=config.steps * step_flops / (share * rate * devices),
    )


def table(config: TrainConfig, found: Estimate, devices: int) -> Table:
    """The figures for a terminal."""
    shown = Table(title=f"{config.name}: what this run will cost", show_header=False)
    tokens = found.work.tokens * found.samples
    memory = found.memory
    parts = ", ".join(f"{name} {human(value, 'B')}" for name, value in vars(memory).items() if value)
    rows = {
        "parameters": f"{found.trainable:,} trained, {found.frozen:,} frozen",
        "a sample": f"{found.work.tokens:,} tokens on average ({found.work.text_losses:,} text tokens and"
        f" {found.work.velocity_losses:,} latent tokens with a loss)",
        "a step": f"{found.samples:,.1f} samples, {tokens:,.0f} tokens, {human(found.step_flops, 'FLOP')}",
        f"{config.steps:,} steps": f"{human(config.steps * found.samples)} samples,"
        f" {human(config.steps * tokens)} tokens, {human(config.steps * found.step_flops, 'FLOP')}",
        "memory per device": f"at least {human(memory.total, 'B')}: {parts}",
        "time": f"about {_duration(found.seconds)} on {devices} device{'s' * (devices > 1)},"
        f" at {found.share:.0%} of the {human(found.rate, 'FLOP/s')} that a matrix product reached here",
    }
    for name, value in rows.items():
        shown.add_row(name, value)
    return shown


def adapter_parameters(model: ModelConfig, lora: Lora) -> int:
    """Parameters of the adapters of both experts of all layers."""
    language = model.language
    size, wide = language.hidden_size, language.intermediate_size
    qkv = (language.num_heads + 2 * language.num_kv_heads) * language.head_dim
    heads = language.num_heads * language.head_dim
    sides = (size + qkv) + (heads + size) + (size + 2 * wide) + (wide + size)
    return 2 * language.num_layers * lora.rank * sides


def measured_rate(device: torch.device, precision: str) -> float:
    """Operations a second of a large matrix product."""
    side = 8192 if device.type == "cuda" else 1024
    a = torch.randn(side, side, device=device, dtype=getattr(torch, precision))
    fastest = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        product = a @ a
        float(product[0, 0])  # waits for the device
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * side**3 / fastest


def _probe(mixture: Mixture, preparer: Preparer) -> list[Prepared]:
    """The first samples of the run that fit the model."""
    found: list[Prepared] = []
    for position in count():
        if len(found) == PROBED or position == 10 * PROBED:
            break
        try:
            found.append(preparer.prepare(mixture.sample(position), derive_seed(mixture.seed, 3, position)))
        except ContextLengthError:
            continue
    if not found:
        raise ContextLengthError(
            "none of the first training samples fits the model's positions; shorten them"
        )
    return found


def _memory(config: TrainConfig, model: ModelConfig, learnt: int, every: int, devices: int) -> Memory:
    itemsize = HALF if config.precision == "bfloat16" else SINGLE
    coder = parameters(model)["autoencoder"]
    if config.lora:
        weights = every * itemsize / devices + learnt * SINGLE / devices
    else:
        weights = learnt * SINGLE / devices + coder * SINGLE
    gathered = 0.0
    if devices > 1:
        language = model.language
        layers = 2 * expert_weights(language) // language.num_layers
        root = 2 * language.vocab_size * language.hidden_size
        # Two layers and the root are whole at a time, and so are the gradients of a layer and of the root.
        gathered = (2 * layers + root) * itemsize + (layers + root) * SINGLE
    return Memory(
        weights=weights,
        gradients=learnt * SINGLE / devices,
        optimizer=2 * learnt * SINGLE / devices,
        average=learnt * SINGLE / devices,
        gathered=gathered,
        activations=_activations(config, model, itemsize),
    )


def _activations(config: TrainConfig, model: ModelConfig, itemsize: int) -> float:
    """Of one pack: what the layers keep, the mask, and the logits of one piece of the texts."""
    language = model.language
    size, wide = language.hidden_size, language.intermediate_size
    layer = (14 * size + 4 * wide) * itemsize
    kept = language.num_layers * size * itemsize + layer
    if not config.running.checkpointing:
        kept = language.num_layers * layer
    mask = config.pack_tokens * min(config.row_tokens, config.pack_tokens)
    logits = 3 * min(TEXTS_AT_ONCE, config.pack_tokens) * language.vocab_size * SINGLE
    return config.pack_tokens * kept + mask * (1 + itemsize) + logits


def _duration(seconds: float) -> str:
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} seconds"
