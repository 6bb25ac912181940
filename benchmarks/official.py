"""Time BAGEL's released engine beside ours: the three-image trajectory of ``engine.py`` on the same weights.

    python benchmarks/official.py --code FOLDER [--size tiny|small|nano] [--steps 24] [--fewer 8]
        [--rows 1 16] [--repeat 3]

FOLDER is a checkout of the released code (github.com/ByteDance-Seed/Bagel), which is imported and not part of
this project; it needs transformers 4.49, einops and tqdm. Both engines compute in float32 on one CPU thread
and are timed in turn by process time, so that other work on the machine counts for neither. ``--fewer`` is
the number of steps of ours with Adams-Bashforth and no shift; docs/engine.md says how exact they are.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from torch import Tensor, nn

import machine
from engine import CASES, ROUNDS, SPECIAL, TEXT_TOKENS, Engines, guidance_of, random_model
from strokewise.flow import Guidance
from strokewise.inference import Generator
from strokewise.models.bagel import AutoencoderConfig, ModelConfig, UnifiedModel
from strokewise.models.bagel.saving import export_bagel
from strokewise.sequence import ImageLimits, load_rgb, resize, to_tensor

START, END = "<|im_start|>", "<|im_end|>"


class FullPrecision(ModuleType):
    """Stands in for ``torch`` in a module that casts to bfloat16 by name."""

    bfloat16 = torch.float32

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


class Ids:
    """A tokenizer whose texts are lists of ids written out, so that any vocabulary will do."""

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text."""
        return [int(word) for word in text.split()]

    def decode(self, ids: Tensor) -> str:
        """Return ids as a text, the first of them shown as the delimiter that it is."""
        return START + " ".join(str(i) for i in ids.tolist()[1:])


def attention(q: Tensor, k: Tensor, v: Tensor, causal: bool, **_: Any) -> Tensor:
    """Compute one sequence of (tokens, heads, head_dim) as flash attention does, which runs on GPUs alone."""
    mask = torch.ones(len(q), len(k), dtype=torch.bool).tril(len(k) - len(q)) if causal else None
    if len(q) == 1:
        mask = None
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
    out = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=q.shape[1] != k.shape[1])
    return out[0].transpose(0, 1)


def import_released(code: Path) -> None:
    """Make the released modules importable, in float32 and without a GPU's kernels."""
    flash = ModuleType("flash_attn")
    # The ViT's call states its three tensors by place, the decoder's by name.
    flash.flash_attn_varlen_func = lambda q, k, v, causal=False, **_: attention(q, k, v, causal)  # type: ignore[attr-defined]
    flash.__spec__ = ModuleSpec("flash_attn", None)  # transformers looks whether it is installed
    sys.modules["flash_attn"] = flash
    sys.path.insert(0, str(code))
    import modeling.bagel.bagel as whole
    import modeling.bagel.qwen2_navit as decoder
    import modeling.bagel.siglip_navit as vision

    decoder.torch = vision.torch = FullPrecision("torch")
    whole.tqdm = lambda steps, **_: steps


def released_model(config: ModelConfig, folder: Path) -> Any:
    """Return the released model with the weights of a folder in its own layout."""
    from modeling.bagel import (
        Bagel,
        BagelConfig,
        Qwen2Config,
        Qwen2ForCausalLM,
        SiglipVisionConfig,
        SiglipVisionModel,
    )

    llm = Qwen2Config(
        **json.loads((folder / "llm_config.json").read_text()), layer_module="Qwen2MoTDecoderLayer"
    )
    vit = SiglipVisionConfig(**json.loads((folder / "vit_config.json").read_text()), rope=False)
    vit.num_hidden_layers -= 1
    whole = BagelConfig(
        llm_config=llm,
        vit_config=vit,
        vae_config=_coder(config.autoencoder),
        latent_patch_size=config.latent_patch,
        max_latent_size=config.latent_side,
        vit_max_num_patch_per_side=config.vision.side,
    )
    model = Bagel(Qwen2ForCausalLM(llm), SiglipVisionModel(vit), whole)
    model.vit_model.vision_model.embeddings.convert_conv2d_to_linear(vit)
    model.load_state_dict(load_file(str(folder / "ema.safetensors")), strict=True)
    return model.eval().requires_grad_(False)


def released_autoencoder(config: AutoencoderConfig, folder: Path) -> Any:
    """Return the released autoencoder; it encodes an image to its mean, as ours does, and draws nothing."""
    from modeling.autoencoder import AutoEncoder

    coder = AutoEncoder(_coder(config))
    coder.load_state_dict(load_file(str(folder / "ae.safetensors")), strict=True)
    coder.reg.sample = False
    for module in coder.modules():
        if isinstance(module, nn.GroupNorm):
            module.num_groups = config.groups
    return coder.eval().requires_grad_(False)


def _coder(config: AutoencoderConfig) -> Any:
    from modeling.autoencoder import AutoEncoderParams

    return AutoEncoderParams(
        resolution=256,
        in_channels=3,
        downsample=config.downsample,
        ch=config.channels,
        out_ch=3,
        ch_mult=list(config.multipliers),
        num_res_blocks=config.num_res_blocks,
        z_channels=config.latent_channels,
        scale_factor=config.scale,
        shift_factor=config.shift,
    )


def _divided(guidance: Guidance) -> float:
    """Return the text scale that comes out as ours once the image scale has multiplied it."""
    return 1 + (guidance.text_scale - 1) / guidance.image_scale


def fitted(limits: ImageLimits, image: Image.Image) -> Tensor:
    """Return an image as it is shown to the model."""
    return to_tensor(resize(load_rgb(image), limits))


class Released:
    """The released engine; its contexts are kept between turns and copied where its own loop copies them."""

    def __init__(self, generator: Generator, code: Path) -> None:
        """Import the released code and give it the weights of our model."""
        model, special = generator.model, generator.special
        assert isinstance(model, UnifiedModel)
        import_released(code)
        from inferencer import InterleaveInferencer

        config = model.config
        with tempfile.TemporaryDirectory() as name:
            export_bagel(model, Path(name))
            self.model = released_model(config, Path(name))
            coder = released_autoencoder(config.autoencoder, Path(name))
        ids = {
            "bos_token_id": special.text_start,
            "eos_token_id": special.text_end,
            "start_of_image": special.image_start,
            "end_of_image": special.image_end,
        }
        views = partial(fitted, config.canvas_limits), partial(fitted, config.vision_limits)
        self.inferencer = InterleaveInferencer(self.model, coder, Ids(), *views, ids)
        self.latents: list[Tensor] = []
        self._record()

    def _record(self) -> None:
        """Begin each canvas with the noise of its number, as our engine does, and keep its latents."""
        prepare, generate = self.model.prepare_vae_latent, self.model.generate_image

        def prepared(*args: Any, **kwargs: Any) -> Any:
            inputs = prepare(*args, **kwargs)
            draw = torch.Generator().manual_seed(len(self.latents))
            return inputs | {
                "packed_init_noises": torch.randn(inputs["packed_init_noises"].shape, generator=draw)
            }

        def generated(**kwargs: Any) -> Any:
            found = generate(**kwargs)
            self.latents.append(found[0])
            # Its TaylorSeer stays on after a canvas and would take texts for further steps of the flow.
            decoder = self.model.language_model.model
            for module in (decoder, *decoder.layers):
                module.enable_taylorseer = False
            return found

        self.model.prepare_vae_latent, self.model.generate_image = prepared, generated

    @torch.inference_mode()
    def trajectory(self, prompt: list[int], side: int, num_steps: int, taylor: bool = False) -> list[Tensor]:
        """Return a prompt, then three rounds of text and image; latents by round."""
        engine, self.latents = self.inferencer, []
        full = texts = engine.init_gen_context()
        before = deepcopy(full)
        texts = engine.update_context_text(" ".join(map(str, prompt)), deepcopy(full))
        full = engine.update_context_text(" ".join(map(str, prompt)), full)
        for number in range(ROUNDS):
            written = engine.gen_text(full, max_length=TEXT_TOKENS + 1, do_sample=False)
            full = engine.update_context_text(written, full)
            texts = engine.update_context_text(written, texts)
            guidance = guidance_of(number)
            image = engine.gen_image(
                (side, side),
                full,
                # Without an image before, its third branch is the first over again and multiplies the scale.
                cfg_text_scale=guidance.text_scale if number else _divided(guidance),
                cfg_img_scale=guidance.image_scale,
                cfg_text_precontext=before,
                cfg_img_precontext=texts,
                cfg_interval=guidance.interval,
                cfg_renorm_type=guidance.renorm,
                num_timesteps=num_steps + 1,
                enable_taylorseer=taylor,
            )
            if number < ROUNDS - 1:
                full = engine.update_context_image(image, full)
                before = deepcopy(full)
        return self.latents


def seconds(run: Callable[[], Any]) -> float:
    """Return process seconds of a run."""
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--code", type=Path, required=True)
    parser.add_argument("--size", choices=("tiny", "small", "nano"), default="small")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--fewer", type=int, default=8)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    case = replace(CASES[options.size](), num_steps=options.steps)
    generator = Generator(random_model(case.config, "cpu", torch.float32), SPECIAL)
    plain = Engines(case, generator)
    fewer = Engines(replace(case, num_steps=options.fewer, shift=1.0, solver="adams"), generator)
    released, prompt = Released(generator, options.code), plain.prompts(1)[0]
    theirs = partial(released.trajectory, prompt, case.side, case.num_steps)
    runs: dict[str, tuple[int, Callable[[], Any]]] = {"released": (1, theirs)}
    runs["released, TaylorSeer"] = 1, partial(theirs, taylor=True)
    for rows in options.rows:
        runs[f"ours, {rows} at once"] = rows, partial(plain.trajectory, rows)
        runs[f"ours, {options.fewer} Adams steps, {rows} at once"] = rows, partial(fewer.trajectory, rows)
    console = Console(width=110)
    console.print(f"{machine.describe('cpu')}; {options.size} model, float32, {case.num_steps} steps")
    pairs = zip(theirs(), plain.trajectory(1), strict=True)
    shown = ", ".join(f"{float((a - b[0]).abs().max() / a.abs().max()):.1e}" for a, b in pairs)
    console.print(f"latents of ours against the released engine's, canvas by canvas: {shown}")
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.repeat):
        for name, (rows, run) in runs.items():
            times[name].append(seconds(run) / rows)
    medians = {name: statistics.median(found) for name, found in times.items()}
    table = Table("", "s per trajectory", "over released", "over TaylorSeer")
    for name, found in medians.items():
        ratios = (f"{medians[other] / found:.2f} x" for other in list(runs)[:2])
        table.add_row(name, f"{found:.2f}", *ratios)
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
