"""Compare our numbers with recorded ones of the official BAGEL code, component by component.

    python benchmarks/parity.py DIR

DIR holds ``meta.json``, ``model.safetensors``, ``vae.safetensors`` (weights under the released names) and
``tensors.safetensors`` (inputs and results). Exit status 0 only if every number is within 1e-4 of the
recorded one, relative to its tensor's largest, and every order, position, mask, length, loss place and token
is equal.
"""

import json
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from torch import Tensor

from strokewise.flow import Guidance, training_times
from strokewise.inference import Context, Generator, Painted, PaintOptions, WriteOptions, Written
from strokewise.models import Visible
from strokewise.models.bagel import ModelConfig, UnifiedModel
from strokewise.models.bagel.checkpoint import autoencoder_names, bagel_names, read_header, split_names
from strokewise.models.bagel.layouts import bagel_config
from strokewise.models.bagel.loading import fill_model
from strokewise.models.visibility import block_mask, pieces
from strokewise.sequence import Kind, Packed, Segment, SpecialTokens, grid_positions, pack, patchify

TOLERANCE = 1e-4


@dataclass
class Report:
    """What was compared so far."""

    rows: list[tuple[str, float, bool]] = field(default_factory=list)

    def close(self, name: str, ours: Tensor, recorded: Tensor) -> None:
        """Compare numbers, relative to the largest recorded one."""
        if ours.shape != recorded.shape:
            self.rows.append(
                (f"{name} (shape {list(ours.shape)} for {list(recorded.shape)})", torch.inf, False)
            )
            return
        scale = float(recorded.abs().max().clamp(min=1e-12)) if recorded.numel() else 1.0
        ours = ours.detach()
        difference = float((ours - recorded).abs().max()) / scale if recorded.numel() else 0.0
        self.rows.append((name, difference, difference <= TOLERANCE))

    def equal(self, name: str, ours: Any, recorded: Any) -> None:
        """Compare whole numbers."""
        ours, recorded = torch.as_tensor(ours), torch.as_tensor(recorded)
        same = ours.shape == recorded.shape and bool((ours == recorded).all())
        self.rows.append((name, 0.0 if same else torch.inf, same))

    @property
    def passed(self) -> bool:
        """Whether all agreed."""
        return bool(self.rows) and all(ok for _, _, ok in self.rows)

    def show(self, title: str) -> None:
        """Print the table."""
        table = Table("component", "largest difference", "", title=title)
        for name, difference, ok in self.rows:
            table.add_row(name, f"{difference:.2e}" if difference else "equal", "ok" if ok else "[red]FAILS")
        Console(width=110).print(table)


class Recorded:
    """A folder of recorded numbers, and our model with its weights."""

    def __init__(self, folder: Path) -> None:
        self.meta: dict[str, Any] = json.loads((folder / "meta.json").read_text())
        self.tensors = load_file(str(folder / "tensors.safetensors"))
        config = self.meta["config"]
        weights, coder = read_header(folder / "model.safetensors"), read_header(folder / "vae.safetensors")
        self.config: ModelConfig = bagel_config(config["llm"], config["vit"], weights, coder)
        scaled = replace(
            self.config.autoencoder,
            scale=config["vae"]["scale_factor"],
            shift=config["vae"]["shift_factor"],
        )
        self.config = replace(self.config, autoencoder=scaled)
        names = bagel_names(self.config) | autoencoder_names(self.config.autoencoder)
        self.model: UnifiedModel = fill_model(
            self.config, names, weights | coder, torch.device("cpu"), torch.float32
        )
        ids = self.meta["special_tokens"]
        self.special = SpecialTokens(ids["bos"], ids["eos"], ids["start_of_image"], ids["end_of_image"])
        self.spec = self.model.pack_spec(self.special)

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def below(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose names begin with ``prefix``, without it."""
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}

    def vit_segment(self, pixels: Tensor, **options: Any) -> Segment:
        """Return an image (3, height, width) as ViT patches."""
        patch = self.config.vision.patch_size
        grid = (pixels.shape[1] // patch, pixels.shape[2] // patch)
        return Segment(Kind.VIT, patchify(pixels, patch), grid=grid, **options)


def compare_images(recorded: Recorded, report: Report) -> None:
    """Autoencoder, ViT and connector."""
    model = recorded.model
    report.close(
        "vae moments", torch.cat(model.autoencoder.moments(recorded["vae.image"]), 1), recorded["vae.moments"]
    )
    report.close(
        "vae encode",
        model.autoencoder.encode(recorded["vae.image"], recorded["vae.noise"]),
        recorded["vae.latents"],
    )
    report.close("vae decode", model.autoencoder.decode(recorded["vae.latents"]), recorded["vae.decoded"])
    images = [recorded[f"vit.image{i}"] for i in range(len(recorded["vit.seqlens"]))]
    segments = [recorded.vit_segment(image) for image in images]
    packed = pack([[[segment] for segment in segments]], recorded.spec)
    report.equal("vit patch count", packed.patch_lengths, recorded["vit.seqlens"])
    report.equal("vit positions", packed.patch_places, recorded["vit.position_ids"])
    report.close("vit patches", packed.patches, recorded["vit.patches"])
    hidden = model.vision(packed.patches, packed.patch_places, packed.patch_lengths)
    report.close("vit hidden", hidden, recorded["vit.hidden"])
    embedded = model.read_patches(packed.patches, packed.patch_places, packed.patch_lengths)
    report.close("vit + connector", embedded, recorded["vit.embedded"])


def training_samples(recorded: Recorded) -> list[list[Segment]]:
    """Return the recorded training plans as segments, with the recorded latents, noise and timesteps."""
    meta, patch = recorded.meta, recorded.config.latent_patch
    latents, shapes = iter(recorded["train.padded_latents"]), iter(meta["train.latent_shapes"])
    times = training_times(recorded["train.raw_timesteps"], meta["config"]["timestep_shift"])
    at = 0
    samples = []
    for plan, used in zip(meta["train.samples"], meta["train.sample_images"], strict=True):
        texts, images, segments = iter(plan["texts"]), iter(used), []
        gap = 0
        for item in plan["plan"]:
            is_text, dropped = item["type"] == "text", bool(item.get("enable_cfg"))
            text, image = (next(texts), 0) if is_text else ([], next(images))
            if dropped:  # recorded with every droppable condition dropped; an image leaves its position free
                gap += not is_text
                continue
            label = item["special_token_label"] if item["special_token_loss"] else None
            place: dict[str, Any] = {"end_label": label, "gap": gap}
            gap = 0
            if is_text:
                segments.append(Segment.text(text, loss=bool(item["loss"]), **place))
                continue
            if item["type"] == "vit_image":
                segments.append(recorded.vit_segment(recorded.tensors[f"vit.image{image}"], **place))
                continue
            rows, columns = next(shapes)
            clean = patchify(next(latents)[:, : rows * patch, : columns * patch], patch)
            here = slice(at, at + len(clean))
            at = here.stop
            noised = bool(item["loss"])
            segments.append(
                Segment(
                    Kind.NOISED if noised else Kind.CLEAN,
                    clean,
                    grid=(rows, columns),
                    loss=noised,
                    **place,
                    noise=recorded["train.noise"][here] if noised else None,
                    time=float(times[here.start]),
                )
            )
        samples.append(segments)
    return samples


def compare_packing(packed: Packed, recorded: Recorded, report: Report) -> None:
    """Token order, positions, masks and loss places of the training pack."""
    layout, width = packed.layout, packed.num_understanding
    place = layout.place[0]
    order = place.argsort()
    is_text = torch.ones(width, dtype=torch.bool)
    is_text[packed.patch_slots] = False
    text_places, at = place[:width][is_text].sort()
    recorded_places, recorded_at = recorded["train.packed_text_indexes"].sort()
    report.equal("token order: text", text_places, recorded_places)
    report.equal("token ids", packed.ids[0][is_text][at], recorded["train.packed_text_ids"][recorded_at])
    report.equal("token order: vit", place[packed.patch_slots], recorded["train.packed_vit_token_indexes"])
    report.equal("token order: latents", place[width:], recorded["train.packed_vae_token_indexes"])
    report.equal("latent positions", packed.latent_places[0], recorded["train.packed_latent_position_ids"])
    report.equal("vit positions in pack", packed.patch_places, recorded["train.packed_vit_position_ids"])
    report.close("vit patches in pack", packed.patches, recorded["train.packed_vit_tokens"])
    report.equal("position ids", packed.positions[0][order], recorded["train.packed_position_ids"])
    mask, start = layout.mask()[0][order][:, order], 0
    for i, length in enumerate(recorded.meta["train.sample_lens"]):
        here = slice(start, start + length)
        report.equal(f"attention mask {i}", mask[here, here], recorded[f"train.attention_mask{i}"])
        mask[here, here] = False
        start += length
    report.equal("nothing seen across samples", mask.any(), False)
    report.equal("sample lengths", start, mask.shape[0])
    report.equal("text loss places", place[packed.text_slots], recorded["train.ce_loss_indexes"])
    report.equal("text labels", packed.text_labels, recorded["train.packed_label_ids"])
    report.equal(
        "velocity loss places", place[width + packed.latent_slots], recorded["train.mse_loss_indexes"]
    )


def compare_training(recorded: Recorded, report: Report) -> None:
    """Hidden states, losses and gradients of the training pack."""
    model, tensors = recorded.model, recorded.tensors
    report.close(
        "latents of training images",
        model.autoencoder.encode(tensors["train.padded_images"]),
        tensors["train.padded_latents"],
    )
    packed = pack([training_samples(recorded)], recorded.spec)
    compare_packing(packed, recorded, report)
    forms: dict[str, Visible] = {
        "dense": packed.layout.mask(),
        "pieces": pieces(packed.layout),
        "blocks": block_mask(packed.layout),
    }
    for name, seen in forms.items():
        compare_step(packed, name, seen, recorded, report)


def compare_step(packed: Packed, form: str, seen: Visible, recorded: Recorded, report: Report) -> None:
    """Hidden states, losses and gradients, with attention in one of its forms."""
    model, tensors = recorded.model, recorded.tensors
    model.zero_grad()
    model.requires_grad_(True)
    hidden = model(packed, seen)
    order = packed.layout.place[0].argsort()
    report.close(
        f"training hidden states, {form}",
        torch.cat([hidden.understanding[0], hidden.generation[0]])[order],
        tensors["train.hidden"],
    )
    logits = model.text_logits(hidden.understanding.flatten(0, 1)[packed.text_slots])
    ce = F.cross_entropy(logits, packed.text_labels, reduction="none")
    velocity = model.velocity(hidden.generation.flatten(0, 1)[packed.latent_slots])
    mse = (velocity - packed.latent_targets) ** 2
    report.close(f"CE of each token, {form}", ce, tensors["train.ce"])
    report.close(f"MSE of each element, {form}", mse, tensors["train.mse"])
    (ce.mean() + mse.mean()).backward()
    gradients: dict[str, Tensor] = {}
    parameters = dict(model.named_parameters())
    for ours, theirs in bagel_names(recorded.config).items():
        if ours in parameters and (gradient := parameters[ours].grad) is not None:
            gradients |= dict(split_names(ours, theirs, gradient, recorded.config))
    for name, gradient in recorded.below("train.grad.").items():
        short = name.removeprefix("language_model.model.")
        report.close(f"grad {short}, {form}", gradients[name], gradient)
    model.requires_grad_(False)


def build_context(generator: Generator, recorded: Recorded, report: Report) -> Context:
    """Return the recorded context: system text, prompt, image, plan; positions and lengths compared on the
    way.
    """
    context = generator.context()

    texts, pixels = recorded.meta["infer.texts"], recorded["vit.image0"]
    order = recorded.meta.get("infer.order", ["system", "prompt", "vae_image", "vit_image", "plan"])
    for name in order:
        if name == "vae_image":
            latents = recorded.model.encode_image(pixels)
            segment = generator.clean_segment(latents, pixels.shape[1], pixels.shape[2])
        else:
            segment = recorded.vit_segment(pixels) if name == "vit_image" else Segment.text(texts[name])
        before = context.position
        report.equal(f"context before {name}", context.length, recorded[f"infer.{name}.key_values_lens"][0])
        packed = pack([[[segment]]], recorded.spec, [before])
        found = packed.positions[0][packed.layout.place[0].argsort()]
        stem = "packed_text_position_ids" if name in texts else "packed_position_ids"
        report.equal(f"positions of {name}", found, recorded[f"infer.{name}.{stem}"])
        # The recorded context without text lacks the last text alone.
        generator.append([context], [[segment]], guided=name == order[-1])
    return context


def compare_contexts(generator: Generator, context: Context, recorded: Recorded, report: Report) -> None:
    """Lengths, positions and cached keys and values of the full and the two guidance contexts."""
    generator.read_texts_alone([context])
    prefix = context.without_text()
    # Without images the texts alone are the context itself, and the generator computes nothing anew.
    alone = (
        [entry.alone for entry in context.entries if entry.is_text] if context.has_image else context.blocks
    )
    texts = [block for block in alone if block is not None]
    found = {
        "full": (context.blocks, context.position),
        "without_text": (prefix.blocks, prefix.position),
        "without_image": (texts, sum(len(block) for block in texts)),
    }
    for name, (blocks, position) in found.items():
        stated = recorded.meta[f"infer.{name}"]
        report.equal(f"{name}: length", sum(len(b) for b in blocks), stated["length"])
        report.equal(f"{name}: next position", position, stated["next_position"])
        blocks = [generator.model.empty_block(), *blocks]
        keys = torch.cat([b.keys for b in blocks], dim=2).transpose(1, 2)
        values = torch.cat([b.values for b in blocks], dim=2).transpose(1, 2)
        for key, ours in {
            "first_layer_keys": keys[0],
            "last_layer_keys": keys[-1],
            "first_layer_values": values[0],
            "last_layer_values": values[-1],
        }.items():
            if f"infer.{name}.{key}" in recorded.tensors:
                report.close(f"{name}: {key.replace('_', ' ')}", ours, recorded[f"infer.{name}.{key}"])


def compare_text(generator: Generator, context: Context, recorded: Recorded, report: Report) -> None:
    """First logits and greedy tokens; the recorded run does not stop at the end of the text."""
    model, wanted = recorded.model, recorded["infer.greedy_tokens"].tolist()
    fork = context.fork()
    tokens = wanted[:1]
    for step in range(len(wanted)):
        generator.append([fork], [[Segment.text(tokens[-1:], opens=False, closes=False)]])
        logits = model.text_logits(fork.entries[-1].last)
        if step == 0:
            report.close("first logits", logits, recorded["infer.first_logits"])
        tokens.append(int(logits.argmax()))
    report.equal("greedy tokens, fed one by one", tokens[:-1], wanted)
    *_, written = generator.write([context.fork()], WriteOptions(max_tokens=len(wanted) - 1))
    assert isinstance(written, Written)
    ends = [recorded.special.text_end] if written.stop_ids[0] is not None else []
    expected = [*wanted[:1], *written.ids[0], *ends]
    report.equal("greedy tokens, written", expected, wanted[: len(expected)])


def compare_painting(generator: Generator, context: Context, recorded: Recorded, report: Report) -> None:
    """Return final latents for each sampler setting, and the last decoded image."""
    size = tuple(recorded.meta["infer.image_size"])
    stride = recorded.config.latent_stride
    grid = (size[0] // stride, size[1] // stride)
    report.equal(
        "latent places",
        grid_positions(*grid, recorded.config.latent_side),
        recorded["infer.latent.packed_vae_position_ids"],
    )
    for name, at in (
        ("latent.packed_position_ids", context.position),
        ("latent_without_text.cfg_packed_position_ids", context.without_text().position),
        (
            "latent_without_image.cfg_packed_position_ids",
            recorded.meta["infer.without_image"]["next_position"],
        ),
    ):
        positions = recorded[f"infer.{name}"]
        report.equal(f"positions of {name.split('.')[0]}", torch.full_like(positions, at), positions)
    latents = torch.zeros(0)
    for i, setting in enumerate(recorded.meta["infer.settings"]):
        guidance = Guidance(
            text_scale=setting["cfg_text_scale"],
            image_scale=setting["cfg_img_scale"],
            interval=tuple(setting["cfg_interval"]),
            renorm=setting["cfg_renorm_type"],
            renorm_min=setting["cfg_renorm_min"],
        )
        options = PaintOptions(
            num_steps=setting["num_timesteps"] - 1,
            shift=setting["timestep_shift"],
            guidance=guidance,
            feedback="none",
        )
        *_, painted = generator.paint([context.fork()], [size], options, noise=[recorded["infer.init_noise"]])
        assert isinstance(painted, Painted)
        latents = painted.latents[0]
        label = f"latents {i}: {guidance.renorm}, {guidance.text_scale:g}/{guidance.image_scale:g}"
        report.close(label, latents, recorded[f"infer.latents.{i}"])
    report.close(
        "decoded image", recorded.model.decode_image(latents, *grid), recorded["infer.last_image"][0]
    )


def compare(folder: Path) -> Report:
    """Compare everything in a folder."""
    recorded, report = Recorded(folder), Report()
    with torch.no_grad():
        compare_images(recorded, report)
    compare_training(recorded, report)
    generator = Generator(recorded.model, recorded.special)
    with torch.no_grad():
        context = build_context(generator, recorded, report)
        compare_contexts(generator, context, recorded, report)
        compare_text(generator, context, recorded, report)
        compare_painting(generator, context, recorded, report)
    return report


def main() -> int:
    """Run from the command line."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        print(f"usage: python {sys.argv[0]} DIR (a folder of recorded numbers)", file=sys.stderr)
        return 2
    report = compare(Path(sys.argv[1]))
    report.show(f"parity with {sys.argv[1]} (tolerance {TOLERANCE:g}, relative)")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
