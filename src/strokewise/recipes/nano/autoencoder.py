"""Training of the small autoencoder between pixels and latents, on rendered scenes.

The first stage of nano; afterwards the autoencoder is frozen. It is trained to reconstruct pixels and edges,
and to keep its latents near a unit normal, with room for the errors of a painter: samples of the posterior
are decoded in training. Most steps use crops around things, the last ones whole canvases, because the
normalization and the attention in the middle depend on all places at once.

For the same reason a stroke would change the latents of the whole canvas, and a painter could not leave alone
what it does not paint. So whole canvases come in pairs, before and after a stroke, and the latents of places
that the stroke leaves alone are pulled together.

Shape legend: n images of a step, side x side pixels; latents (n, channels, side/8, side/8).
"""

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn

from strokewise.data.multi_turn import strokes
from strokewise.data.scenes import SceneMix, empty_scene, sample_scene
from strokewise.datasets.mixture import derive_seed
from strokewise.datasets.samples import Pixels
from strokewise.errors import StrokewiseError
from strokewise.io.locks import FolderLock
from strokewise.models.bagel import AutoencoderConfig
from strokewise.models.bagel.vae import Autoencoder
from strokewise.sequence import normalize
from strokewise.train.checkpoint import Checkpoints, read_facts, read_tensors
from strokewise.train.distributed import World
from strokewise.train.interrupts import interrupts_put_off
from strokewise.train.optim import AveragedWeights, Optimizer
from strokewise.world.layout import Box, Scene
from strokewise.world.render import render_array

CROWDED = SceneMix(objects=(0.1, 0.15, 0.25, 0.25, 0.25))
LATENT = 8  # pixels a side
ALONE = World(0, 1, torch.device("cpu"))
MEASURED = 256
# Kernels with three channels, or the latents' channels, on one side: AdamW trains them, Muon the others.
OUTER = ("encoder.conv_in.weight", "conv_out.weight")
BRANCHES, BRANCH_ENDS = (".conv1", ".conv2", ".q", ".k", ".v", ".out"), (".conv2", ".out")


@dataclass(frozen=True)
class AutoencoderRun:
    """A training run of an autoencoder.

    Attributes:
        steps: optimizer steps in all.
        crops: share of the steps, the first ones, that use crops instead of pairs of whole canvases.
        even: share of the scenes without layout jitter (``Scene``), as nano's are.
        side, crop: of canvases and crops, in pixels; crops begin at whole latents, so that things without
            layout jitter lie in them as they do on canvases.
        batch, crop_batch: images in a step; whole canvases are an even number.
        window, fresh: crops are cut from the last ``window`` canvases, of which ``fresh`` are new each step.
        edges: weight of the error of neighboring pixels' differences, reached at half of the steps: an edge
            that is a little off costs twice what no edge does, so at first it would only blur.
        local: weight of the change of latents where a stroke changes nothing, relative to their variance.
        noise: deviation of the posterior as a share of that of the latents. (A fixed or trained deviation
            would drown the latents before the decoder can read them.)
        learning_rate, warmup_steps, final_lr, betas, eps, weight_decay, muon: see ``TrainConfig``.
        seed: of scenes, crops and noise.
    """

    steps: int = 3_000
    crops: float = 0.65
    even: float = 0.5
    side: int = 128
    crop: int = 64
    batch: int = 6
    crop_batch: int = 16
    window: int = 1024
    fresh: int = 2
    edges: float = 0.5
    local: float = 1.0
    noise: float = 0.1
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    final_lr: float = 0.02
    betas: tuple[float, float] = (0.9, 0.99)
    eps: float = 1e-8
    weight_decay: float = 0.0
    muon: float | None = 0.02
    ema_decay: float = 0.997
    seed: int = 0
    save_every: int = 500
    log_every: int = 50

    def pictures(self, step: int) -> Tensor:
        """Return the images of a step: pixels (batch, 3, side, side) in [-1, 1], a function of seed and
        step.
        """
        draw = random.Random(f"autoencoder/{self.seed}/{step}")
        if step >= self.crops * self.steps:
            found = [canvas for _ in range(self.batch // 2) for canvas in self._stroke(draw)]
        else:
            first = self.fresh * step
            numbers = (draw.randrange(first, first + self.window) for _ in range(self.crop_batch))
            found = [self._cropped(*_canvas(self, number), draw) for number in numbers]
        return normalize(torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).contiguous())

    def _cropped(self, pixels: Pixels, boxes: tuple[Box, ...], draw: random.Random) -> Pixels:
        """Return a crop around one of the things, which need not be in its middle."""
        x0, y0, x1, y1 = draw.choice(boxes)
        room, jitter = self.side - self.crop, self.crop / 4
        left, top = (
            min(max(0.0, middle * self.side - self.crop / 2 + draw.uniform(-jitter, jitter)), room)
            for middle in ((x0 + x1) / 2, (y0 + y1) / 2)
        )
        left, top = (LATENT * round(edge / LATENT) for edge in (left, top))
        return pixels[top : top + self.crop, left : left + self.crop]

    def _stroke(self, draw: random.Random) -> tuple[Pixels, Pixels]:
        """Return the canvas before and after some stroke on the way to a random scene."""
        scene = self.scene(draw)
        scenes = [empty_scene(scene), *(canvas.plan for canvas in strokes(scene, draw))]
        at = draw.randrange(1, len(scenes))
        return render_array(scenes[at - 1], self.side), render_array(scenes[at], self.side)

    def scene(self, draw: random.Random) -> Scene:
        """Return a random scene, with or without layout jitter."""
        return sample_scene(draw, replace(CROWDED, layout_jitter=float(draw.random() >= self.even)))


@lru_cache(maxsize=1100)
def _canvas(run: AutoencoderRun, number: int) -> tuple[Pixels, tuple[Box, ...]]:
    """Return a rendered scene of a run and where its things are."""
    scene = run.scene(random.Random(f"autoencoder/{run.seed}/canvas/{number}"))
    return render_array(scene, run.side), tuple(placed.box for placed in scene.placements)


def untouched(before: Tensor, after: Tensor, cell: int) -> Tensor:
    """Return 1 for the latents that a stroke leaves alone, 0 within a latent of it, (n, 1, side/cell,
    side/cell).

    Args:
        before: pixels (n, 3, side, side) in [-1, 1].
        after: the same behind the stroke.
        cell: pixels of a latent.
    """
    changed = ((before - after).abs().amax(1, keepdim=True) > 0.01).float()
    return 1 - F.max_pool2d(F.max_pool2d(changed, cell), 3, stride=1, padding=1)


def train_autoencoder(run: AutoencoderRun, folder: Path, config: AutoencoderConfig) -> Autoencoder:
    """Train, or resume from the folder's last checkpoint; the averaged weights with measured scale and shift.

    Raises:
        StrokewiseError: if the loss is not finite, or a checkpoint does not fit or cannot be written.
    """
    model = fresh_autoencoder(config, run.seed)
    parameters = dict(model.named_parameters())
    inner = [name for name, p in parameters.items() if p.dim() == 4 and not name.endswith(OUTER)]
    optimizer, averages = Optimizer(parameters, run, inner), AveragedWeights(parameters, run.ema_decay)
    tensors = {f"weight/{name}": p.detach() for name, p in parameters.items()}
    tensors |= {f"average/{name}": value for name, value in averages.averages.items()}
    tensors |= optimizer.tensors()

    def step(number: int) -> dict[str, float]:
        losses = _step(model, optimizer, run, number)
        averages.update(number)
        return losses

    with FolderLock(folder, "trains in"), interrupts_put_off() as received:
        _train(run, Checkpoints(folder, 2, ALONE), tensors, step, received)
    if received:
        raise StrokewiseError(f"the training of the autoencoder in {folder} was interrupted; run it again")
    averages._swap()
    return _scaled(model.eval(), run)


def _train(
    run: AutoencoderRun,
    checkpoints: Checkpoints,
    tensors: dict[str, Tensor],
    step: Callable[[int], dict[str, float]],
    received: Sequence[int],
) -> None:
    """Do the steps that are left, with checkpoints, or until a signal is received."""
    first, latest = 0, checkpoints.latest()
    if latest is not None:
        first = read_facts(latest)["step"]
        read_tensors(latest, tensors, ALONE)
    console, since = Console(stderr=True, markup=False), time.monotonic()
    for done in range(first + 1, run.steps + 1):
        losses = step(done - 1)
        if done % run.log_every == 0:
            now = time.monotonic()
            terms = ", ".join(f"{name} {value:.4f}" for name, value in losses.items())
            rate, since = run.log_every / (now - since), now
            left = (run.steps - done) / rate / 60
            line = f"step {done} of {run.steps}: {terms}; {rate:.1f} steps/s, {left:.0f} min left"
            console.print(line, soft_wrap=True, highlight=False)
        if done % run.save_every == 0 or done == run.steps or received:
            checkpoints.save(done, tensors, {"config": asdict(run)})
            since = time.monotonic()
        if received:
            return


def fresh_autoencoder(config: AutoencoderConfig, seed: int) -> Autoencoder:
    """Return random weights that begin as a thumbnail: colors pass straight through, residual branches are
    small.

    With PyTorch's own initialization every convolution outside the residual branches takes two thirds of the
    variance away, and the encoder gets next to no gradient.
    """
    draw = torch.Generator().manual_seed(seed)
    model = Autoencoder(config)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            std = module.weight[0].numel() ** -0.5
            inner = name.endswith(BRANCHES)
            std *= (0.1 if name.endswith(BRANCH_ENDS) else 1.0) if inner else 0.3
            nn.init.normal_(module.weight, std=std, generator=draw)
            nn.init.zeros_(_bias(module))
            if not inner:
                with torch.no_grad():
                    module.weight += nn.init.dirac_(torch.empty_like(module.weight))
    for part in (model.encoder, model.decoder):
        # Constant channels beside the colors, or group normalization would take brightness away.
        nn.init.uniform_(_bias(part.conv_in)[3:], -1, 1, generator=draw)
    with torch.no_grad():
        model.decoder.conv_out.weight *= 0.1  # a signal that is still wrong would only be silenced
    return model


def _bias(module: nn.Conv2d) -> Tensor:
    assert module.bias is not None
    return module.bias


def _step(model: Autoencoder, optimizer: Optimizer, run: AutoencoderRun, step: int) -> dict[str, float]:
    """Return one optimizer step; returns each part of the loss."""
    pixels = run.pictures(step)
    draw = torch.Generator().manual_seed(derive_seed(run.seed, 7, step))
    with torch.autocast("cpu", torch.bfloat16):
        mean = model.moments(pixels)[0].float()
        noise = torch.randn(mean.shape, generator=draw)
        decoded = model.decoder(mean + run.noise * mean.detach().std() * noise).float()
    error = decoded - pixels
    losses = {
        "pixels": error.abs().mean(),
        "squares": error.square().mean(),
        "edges": error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean(),
        "deviation of latents": mean.detach().std(),
    }
    edges = run.edges * min(1.0, step / (0.5 * run.steps))
    loss = losses["pixels"] + losses["squares"] + edges * losses["edges"]
    if step >= run.crops * run.steps:
        alone = untouched(pixels[0::2], pixels[1::2], model.config.downsample)
        changes = (mean[0::2] - mean[1::2]).square().mean(1, keepdim=True)
        losses["local"] = (changes * alone).sum() / alone.sum().clamp(min=1) / mean.detach().var()
        loss = loss + run.local * losses["local"]
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    if not math.isfinite(float(loss.detach() + norm)):
        raise StrokewiseError(
            f"step {step + 1} of the autoencoder gave no finite loss: training has diverged"
        )
    optimizer.update(step)
    return {name: float(value.detach()) for name, value in losses.items()}


@torch.no_grad()
def _scaled(model: Autoencoder, run: AutoencoderRun) -> Autoencoder:
    """Return the same autoencoder, its latents brought to mean 0 and deviation 1 over canvases."""
    pixels = torch.cat([run.pictures(run.steps + i) for i in range(-(-MEASURED // run.batch))])
    means = torch.cat([model.moments(part)[0] for part in pixels.split(16)])
    config = AutoencoderConfig(
        **{**asdict(model.config), "scale": 1 / float(means.std()), "shift": float(means.mean())}
    )
    scaled = Autoencoder(config).eval()
    scaled.load_state_dict(model.state_dict())
    return scaled
