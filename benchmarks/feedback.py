"""What it changes to feed a painted image back by its latents instead of decoding and encoding it.

    python benchmarks/feedback.py [--minutes 8] [--side 64]

Random weights say nothing here, so a small autoencoder of nano's geometry is first trained on rendered scenes
for some minutes. Then, on scenes it has not seen: how far the latents move in the round trip through 8-bit
pixels, how far the picture moves in one more, and what the round trip costs in velocity evaluations.
"""

import argparse
import random
import time

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from torch import Tensor

import machine
from strokewise.flow import Guidance
from strokewise.inference import Generator, PaintOptions
from strokewise.models.bagel import UnifiedModel, nano
from strokewise.models.bagel.vae import Autoencoder
from strokewise.scene_graph import SceneGraph, SceneObject
from strokewise.sequence import SpecialTokens, to_image, to_tensor
from strokewise.world.layout import place
from strokewise.world.render import render
from strokewise.world.vocabulary import BACKGROUNDS, CLASSES, COLORS


def scenes(count: int, seed: int, side: int) -> Tensor:
    """Return rendered scenes of one to four things, (count, 3, side, side) in [-1, 1]."""
    draw = random.Random(seed)
    pictures = []
    for i in range(count):
        names = draw.sample(CLASSES, draw.randint(1, 4))
        objects = tuple(SceneObject(n, n, draw.choice([None, *COLORS])) for n in names)
        graph = SceneGraph(objects, background=draw.choice(list(BACKGROUNDS)))
        pictures.append(to_tensor(render(place(graph, seed=seed + i), side)))
    return torch.stack(pictures)


def train(coder: Autoencoder, minutes: float, side: int) -> float:
    """Train on fresh scenes: absolute error, and a weak pull of the posterior to a unit Gaussian."""
    autocast = torch.autocast("cpu", torch.bfloat16)
    optimizer = torch.optim.AdamW(coder.parameters(), lr=1e-3)
    stop, step, error = time.monotonic() + 60 * minutes, 0, 1.0
    while time.monotonic() < stop:
        pixels = scenes(8, 1_000_000 + 8 * step, side)
        with autocast:
            mean, log_variance = coder.moments(pixels)
        mean, log_variance = mean.float(), log_variance.float().clamp(-12, 6)
        with autocast:
            decoded = coder.decoder(mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean))
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
        loss = F.l1_loss(decoded.float(), pixels) + 1e-4 * divergence
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(coder.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * max(0.02, (stop - time.monotonic()) / (60 * minutes))
        optimizer.step()
        step, error = step + 1, 0.98 * error + 0.02 * float(F.l1_loss(decoded.detach().float(), pixels))
    print(f"trained {step} steps of 8 scenes; mean absolute error {error:.4f} on a range of 2")
    return error


@torch.inference_mode()
def measure(model: UnifiedModel, side: int, console: Console) -> None:
    """Print the differences."""
    moved, sizes, shifted = [], [], []
    for pixels in track(scenes(64, 7, side), "measuring", console=console):
        tokens = model.encode_image(pixels)
        rows = side // model.config.latent_stride
        picture = to_image(model.decode_image(tokens, rows, rows))
        again = model.encode_image(to_tensor(picture))
        twice = to_image(model.decode_image(again, rows, rows))
        moved.append(float((again - tokens).norm()))
        sizes.append(float(tokens.norm()))
        shifted.append(float((to_tensor(twice) - to_tensor(picture)).abs().mean()) * 127.5)
    relative = sum(moved) / sum(sizes)
    console.print(f"latents after decode, 8 bits, encode: moved by {relative:.3f} of their norm")
    console.print(
        f"picture after one more round trip: moved by {sum(shifted) / len(shifted):.2f} of 255 levels"
    )


def cost(model: UnifiedModel, side: int, console: Console) -> None:
    """Time one image with each feedback."""
    generator = Generator(model.requires_grad_(False), SpecialTokens(1, 2, 3, 4))

    def paint(feedback: str, steps: int) -> None:
        context = generator.context()
        options = PaintOptions(steps, guidance=Guidance.off(), feedback=feedback)  # type: ignore[arg-type]
        for _ in generator.paint([context], [(side, side)], options):
            pass

    times = {f: machine.seconds(lambda f=f: paint(f, 2), "cpu", 5) for f in ("none", "latents", "pixels")}  # type: ignore[misc]
    step = (machine.seconds(lambda: paint("none", 12), "cpu", 5) - times["none"]) / 10
    pixels, latents = ((times[f] - times["none"]) / step for f in ("pixels", "latents"))
    console.print(
        f"reading the image back costs {pixels:.1f} velocity evaluations by pixels, {latents:.1f} by latents"
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--side", type=int, default=64)
    options = parser.parse_args()
    console = Console(width=110)
    console.print(machine.describe("cpu"))
    torch.manual_seed(0)
    model = UnifiedModel(nano()).eval()
    train(model.autoencoder, options.minutes, options.side)
    measure(model, options.side, console)
    cost(model, options.side, console)


if __name__ == "__main__":
    main()
