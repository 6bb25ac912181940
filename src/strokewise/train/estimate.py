"""What a run will cost, before it starts: parameters, tokens, operations, memory, time.

Counting only. Tokens are those of some samples drawn from the mixture; memory of activations is a rough count
of what the backward pass keeps; the rate of arithmetic is measured here, and the share of it that training
reaches is an assumption that is printed with the figure.
"""

import time
from dataclasses import dataclass
from functools import cache

import torch
from rich.table import Table

from strokewise.datasets.filling import AIM
from strokewise.datasets.mixture import derive_seed
from strokewise.datasets.prepare import PreparedSample
from strokewise.datasets.samples import SampleImage
from strokewise.errors import ConfigError, ContextLengthError
from strokewise.models import ModelSizes
from strokewise.models.attention import DENSE
from strokewise.models.units import human
from strokewise.train.config import TrainConfig
from strokewise.train.run_data import RunData
from strokewise.train.workload import Workload, sample_flops

PROBED, PROBED_WELL = 48, 400
# Largest share of samples that may be left out for their length.
MAX_DROPPED = 0.01
# Share of the matrix-product rate that training is assumed to reach; on the CPU as measured for nano by
# benchmarks/train.py, on GPUs what established trainers reach.
SHARES = {"cpu": 0.05, "cuda": 0.4}
SINGLE, HALF = 4, 2
# Bytes of a weight in NF4: 4 bits; for each block of 64 a scale in 8 bits; for each 256 scales one in 32.
NF4 = 4 / 8 + (1 + 4 / 256) / 64
# Bytes of a trained parameter in a checkpoint: weight, average and two moments.
STORED = 4 * SINGLE


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
        """The sum of all parts."""
        return sum(vars(self).values())


@dataclass(frozen=True)
class Estimate:
    """Costs of a run.

    Attributes:
        trainable, frozen: parameters.
        probed: samples that were looked at.
        dropped, dropped_images: of those, samples that are too long for a pack or the model, and all images
            of such samples.
        images: of all samples that were looked at.
        work: mean counts of one sample.
        samples: per step.
        step_flops: operations of a step, encoding of pictures included.
        memory: of one device.
        speed: of one device.
        seconds: of the whole run on all devices.
    """

    trainable: int
    frozen: int
    probed: int
    dropped: int
    images: int
    dropped_images: int
    work: Workload
    samples: float
    step_flops: float
    memory: Memory
    speed: "Speed"
    seconds: float


@dataclass(frozen=True)
class Speed:
    """Operations a second that training reaches on one device, and where the figure comes from."""

    flops: float
    origin: str

    @classmethod
    def measured(cls, device: torch.device, precision: str) -> "Speed":
        """Return the share of a large matrix product's rate that training is assumed to reach, measured
        here.
        """
        rate, share = _product_rate(device, precision), SHARES[device.type]
        reached = f"{share:.0%} of the {human(rate, 'FLOP/s')} that a matrix product reached here"
        return cls(share * rate, reached)

    @classmethod
    def stated(cls, flops: float) -> "Speed":
        """Return a rate that is known from elsewhere."""
        return cls(flops, f"the stated {human(flops, 'FLOP/s')} each")


def estimate(
    config: TrainConfig, data: RunData, devices: int, speed: Speed, samples_read: int = PROBED
) -> Estimate:
    """Estimate the costs of a run on that many devices of that speed, from its first samples.

    Raises:
        StrokewiseError: if a sample cannot be read, or none fits, or a quantized base would be sharded.
    """
    costs = data.costs
    probed, images, dropped_images = _probe(data, config.pack_tokens, samples_read)
    work = sum((Workload.of(sample.segments) for sample in probed), Workload())
    flops = sum(sample_flops(sample, costs, frozen=config.lora is not None) for sample in probed)
    samples = max(1.0, AIM * config.pack_tokens / (work.tokens / len(probed))) * config.packs_per_step
    step_flops = flops / len(probed) * samples
    if config.lora is not None:
        config.lora.check_devices(devices)
    sizes = costs.sizes
    frozen = sizes.autoencoder + sizes.tables
    trained = sizes.trained
    if config.lora is not None:
        trained, frozen = costs.adapter_parameters(config.lora.rank), frozen + sizes.trained
    return Estimate(
        trainable=trained,
        frozen=frozen,
        probed=samples_read,
        dropped=samples_read - len(probed),
        images=images,
        dropped_images=dropped_images,
        work=Workload(*(round(value / len(probed)) for value in vars(work).values())),
        samples=samples,
        step_flops=step_flops,
        memory=_memory(config, sizes, trained, devices, work.patches / work.tokens),
        speed=speed,
        seconds=config.steps * step_flops / (speed.flops * devices),
    )


def table(config: TrainConfig, found: Estimate, devices: int) -> Table:
    """Lay the figures out for a terminal."""
    shown = Table(title=f"{config.name}: what this run will cost", show_header=False)
    tokens = found.work.tokens * found.samples
    memory, stored = found.memory, STORED * found.trainable
    saves = config.steps // config.running.save_every
    parts = ", ".join(f"{name} {human(value, 'B')}" for name, value in vars(memory).items() if value)
    further = {}
    if config.lora and config.lora.quantize:
        further["base of the adapters"] = (
            f"its linear layers in {config.lora.quantize}, {NF4:.3f} bytes a weight"
        )
    if config.running.ema_on_cpu:
        further["host memory of averages"] = human(SINGLE * found.trainable, "B") + " in all"
    if config.running.async_save:
        further["host memory of saving"] = f"{human(stored, 'B')} in all, the copy that is being written"
    rows = {
        "left out": f"{found.dropped:,} of the first {found.probed:,} samples, with"
        f" {found.dropped_images:,} of {found.images:,} images, are too long for a pack of"
        f" {config.pack_tokens:,} tokens or the model",
        "parameters": f"{found.trainable:,} trained, {found.frozen:,} frozen",
        "a sample": f"{found.work.tokens:,} tokens on average ({found.work.text_losses:,} text tokens and"
        f" {found.work.velocity_losses:,} latent tokens with a loss)",
        "a step": f"{found.samples:,.1f} samples, {tokens:,.0f} tokens, {human(found.step_flops, 'FLOP')}",
        f"{config.steps:,} steps": f"{human(config.steps * found.samples)} samples,"
        f" {human(config.steps * tokens)} tokens, {human(config.steps * found.step_flops, 'FLOP')}",
        "a checkpoint": f"{human(stored, 'B')} (weights, averages and optimizer),"
        f" {config.running.keep} are kept; {human(stored * saves, 'B')} written in all",
        "host memory of export": human(SINGLE * (found.trainable + found.frozen), "B"),
        **further,
        "memory per device": f"at least {human(memory.total, 'B')}: {parts}",
        "time": f"about {duration(found.seconds)} on {devices} device{'s' * (devices > 1)},"
        f" at {found.speed.origin}",
    }
    for name, value in rows.items():
        shown.add_row(name, value)
    return shown


def refuse_dropped(config: TrainConfig, found: Estimate) -> None:
    """Refuse a run that would leave out more than ``MAX_DROPPED`` of its samples for their length.

    Raises:
        ConfigError: if it would.
    """
    if found.dropped > MAX_DROPPED * found.probed:
        raise ConfigError(
            f"{found.dropped:,} of {found.probed:,} samples ({found.dropped / found.probed:.0%}) do not fit a"
            f" pack of {config.pack_tokens:,} tokens; more than {MAX_DROPPED:.0%} would be left out. Raise"
            " pack_tokens, or set canvas_side and view_side lower"
        )


def _probe(data: RunData, pack_tokens: int, count: int) -> tuple[list[PreparedSample], int, int]:
    """Return those of the first ``count`` samples that fit; images of all of them, and of those that do not
    fit.
    """
    mixture, found, images, dropped = data.mixture, list[PreparedSample](), 0, 0
    for position in range(count):
        sample = mixture.sample(position)
        pictures = sum(isinstance(part, SampleImage) for part in sample.parts)
        images += pictures
        try:
            prepared = data.preparer.prepare(sample, derive_seed(mixture.seed, 3, position))
        except ContextLengthError:
            dropped += pictures
            continue
        if prepared.length <= pack_tokens:
            found.append(prepared)
        else:
            dropped += pictures
    if not found:
        raise ContextLengthError(
            f"none of the first {count} training samples fits a pack and the model's positions; raise"
            " pack_tokens, set canvas_side and view_side lower, or shorten the samples"
        )
    return found, images, dropped


def _memory(config: TrainConfig, model: ModelSizes, trained: int, devices: int, patches: float) -> Memory:
    """Return bytes on each of ``devices`` that share the weights; ``patches`` of views for each token of a
    pack.
    """
    itemsize = HALF if config.precision == "bfloat16" else SINGLE
    if config.lora:
        packed = model.quantized if config.lora.quantize else 0
        whole = model.trained + model.autoencoder - packed
        weights = packed * NF4 + (whole * itemsize + trained * SINGLE) / devices
    else:
        weights = trained * SINGLE / devices + model.autoencoder * SINGLE
    gathered = 0.0
    if config.lora and config.lora.quantize:
        gathered = float(model.layer * itemsize)  # unpacked as they are used, at most a layer at a time
    if devices > 1:
        # Two layers and the root are whole at a time, and so are the gradients of a layer and of the root,
        # unless all gradients are.
        gathered = (2 * model.layer + model.root) * itemsize
        if not _gradients_wait(config, devices):
            gathered += (model.layer + model.root) * SINGLE
    activations = _activations(config, model, itemsize, patches)
    return Memory(
        weights=weights,
        gradients=_gradients(config, trained, devices, activations),
        optimizer=2 * trained * SINGLE / devices,
        average=0.0 if config.running.ema_on_cpu else trained * SINGLE / devices,
        gathered=gathered,
        activations=activations,
    )


def _gradients_wait(config: TrainConfig, devices: int) -> bool:
    """Return whether a rank takes several packs a step: gradients are then reduced to its share after the
    last of them only.
    """
    return config.packs_per_step > devices


def _gradients(config: TrainConfig, trained: int, devices: int, activations: float) -> float:
    """Return bytes of gradients beside the activations of a pack."""
    if _gradients_wait(config, devices):
        return trained * SINGLE
    # They appear as the backward pass frees activations, so only what is larger than those adds to the peak.
    return max(0.0, trained * SINGLE / devices - activations)


def _activations(config: TrainConfig, model: ModelSizes, itemsize: int, patches: float) -> float:
    """Return bytes for one pack: what the layers of decoder and ViT keep, the mask, and what the loss
    keeps.
    """
    kept, kept_patch = model.kept, model.kept_patch
    if config.running.checkpointing:
        kept, kept_patch = model.kept_checkpointing, model.kept_patch_checkpointing
    row = min(config.row_tokens, config.pack_tokens)
    mask = config.pack_tokens / row * row**2 if row**2 <= DENSE else 0
    loss = config.objective.working_bytes(config.pack_tokens, model.vocabulary)
    layers = config.pack_tokens * (kept + patches * kept_patch) * itemsize
    return layers + mask * (1 + itemsize) + loss


def duration(seconds: float) -> str:
    """Return a time in the unit in which it is read most easily."""
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} seconds"


@cache
def _product_rate(device: torch.device, precision: str) -> float:
    """Return operations a second of a large matrix product, measured once a process."""
    side = 8192 if device.type == "cuda" else 1024
    a = torch.randn(side, side, device=device, dtype=getattr(torch, precision))
    fastest = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        product = a @ a
        float(product[0, 0])  # waits for the device
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * side**3 / fastest
