"""The painter: load a model by name, give it a prompt, watch it paint. The way in for programs.

    painter = Painter.load("nano")
    for event in painter.stream("a red apple left of a blue bus", seed=1):
        ...
    painter.paint("a red apple left of a blue bus").images[-1]

It ties a checkpoint's files together (weights, tokenizer, vocabulary, defaults) and knows no stages and no
tensors. Files of what was painted are written by ``trajectory_files``.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from strokewise.errors import CheckpointError, ConfigError
from strokewise.inference import STROKEWISE, Generator, PaintingOptions, Process, ProtocolFormat, Request
from strokewise.inference.prompt_check import DEFAULTS, Vocabulary, read_object
from strokewise.models import Backbone, find_checkpoint, load_model
from strokewise.sequence import Tokenizer
from strokewise.trajectory.events import Event
from strokewise.trajectory.values import Trajectory

BATCH = 8


class Painter:
    """A model that paints."""

    def __init__(
        self,
        model: Backbone,
        tokenizer: Tokenizer,
        name: str = "",
        protocol_format: ProtocolFormat = STROKEWISE,
        vocabulary: Vocabulary | None = None,
        defaults: PaintingOptions | None = None,
    ) -> None:
        """Use a loaded model; :meth:`load` does it all.

        Args:
            model: in inference mode.
            tokenizer: of the model.
            name: for the record.
            protocol_format: how its texts are to be read.
            vocabulary: what it knows; None: prompts are not checked.
            defaults: of what a call does not state.
        """
        self.generator = Generator(model, tokenizer.special)
        self.tokenizer, self.name, self.protocol_format = tokenizer, name, protocol_format
        self.vocabulary, self.defaults = vocabulary, defaults or PaintingOptions()

    @classmethod
    def load(
        cls,
        model: str | Path = "nano",
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        *,
        quantize: str | None = None,
        protocol_format: ProtocolFormat = STROKEWISE,
    ) -> "Painter":
        """Load a checkpoint with its tokenizer.

        Args:
            model: folder, built-in name or hub id.
            device: default: a CUDA device if there is one, else the CPU.
            dtype: default: bfloat16 on CUDA, float32 on the CPU.
            quantize: ``int8`` or ``nf4`` (CUDA only).
            protocol_format: how its texts are read (see ``inference.PROTOCOL_FORMATS``).

        Raises:
            CheckpointError: if there is no such model, or its files are damaged or do not fit each other.
            ConfigError: if there is no such device.
        """
        place = _device(device)
        folder = find_checkpoint(model)
        tokenizer = Tokenizer.load(folder)
        try:
            defaults = PaintingOptions().changed(_options(read_object(folder / DEFAULTS) or {}))
        except ConfigError as error:
            raise CheckpointError(f"{folder / DEFAULTS}: {error}") from error
        precision = dtype or (torch.bfloat16 if place.type == "cuda" else torch.float32)
        vocabulary = Vocabulary.read(folder)
        loaded = load_model(folder, place, precision, quantize)
        # Where a folder lies says nothing about the model, and is nobody's business.
        name = Path(model).resolve().name if Path(model).is_dir() else str(model)
        return cls(loaded, tokenizer, name, protocol_format, vocabulary, defaults)

    def start(self, requests: Sequence[Request], *, check: bool = True, **options: Any) -> Process:
        """Prepare some paintings that will advance together; ``run()`` of the result paints them.

        Args:
            requests: what to paint; see :class:`Request` for what a caller may put in.
            check: refuse prompts outside the model's vocabulary, where it states one.
            options: see :class:`PaintingOptions`.

        Raises:
            PromptError: if a prompt asks for what the model never learnt.
            ConfigError: if an option is unknown or has no meaning.
            InputError: if a picture cannot be used, or the model cannot paint such a size.
        """
        if check and self.vocabulary is not None:
            for request in requests:
                self.vocabulary.check(request.prompt, request.instruct, request.source is not None)
        changed = self.defaults.changed(options)
        return Process(self.generator, self.tokenizer, requests, changed, self.protocol_format, self.name)

    def stream(
        self,
        prompt: str,
        seed: int = 0,
        *,
        image: Image.Image | None = None,
        instruct: Sequence[str] = (),
        check: bool = True,
        **options: Any,
    ) -> Iterator[Event]:
        """Paint a prompt, telling what happens while it happens.

        Args:
            prompt: what to paint.
            seed: everything random follows from it.
            image: a picture to edit.
            instruct: the next strokes in the caller's words.
            check: see :meth:`start`.
            options: see :class:`PaintingOptions`.

        Raises:
            StrokewiseError: as :meth:`start`, before the first event.
        """
        request = Request(prompt, seed, image, tuple(instruct))
        process = self.start([request], check=check, **options)
        return (event for _, event in process.run())

    def paint(
        self,
        prompt: str,
        seed: int = 0,
        *,
        image: Image.Image | None = None,
        instruct: Sequence[str] = (),
        check: bool = True,
        **options: Any,
    ) -> Trajectory:
        """Paint a prompt to the end; arguments and errors as for :meth:`stream`."""
        request = Request(prompt, seed, image, tuple(instruct))
        return self.paint_requests([request], check=check, **options)[0]

    def paint_many(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int] | None = None,
        *,
        batch: int = BATCH,
        check: bool = True,
        **options: Any,
    ) -> list[Trajectory]:
        """Paint several prompts together; each becomes what it would become alone.

        Args:
            prompts: what to paint.
            seeds: one for each prompt; default 0 for all.
            batch: how many at once.
            check: see :meth:`start`.
            options: see :class:`PaintingOptions`.

        Raises:
            ConfigError: if there is not one seed for each prompt.
            StrokewiseError: as :meth:`start`, before anything is painted.
        """
        seeds = [0] * len(prompts) if seeds is None else seeds
        if len(seeds) != len(prompts):
            raise ConfigError(f"{len(prompts)} prompts but {len(seeds)} seeds; give one for each")
        requests = [Request(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        return self.paint_requests(requests, batch=batch, check=check, **options)

    def paint_requests(
        self, requests: Sequence[Request], *, batch: int = BATCH, check: bool = True, **options: Any
    ) -> list[Trajectory]:
        """Paint requests of any kind, ``batch`` at once; errors as for :meth:`start`."""
        if batch < 1:
            raise ConfigError(f"batch is {batch}; it must be at least 1")
        chunks = [requests[at : at + batch] for at in range(0, len(requests), batch)]
        processes = [self.start(chunk, check=check, **options) for chunk in chunks]
        painted: list[Trajectory] = []
        for process in processes:
            for _ in process.run():
                pass
            painted += process.trajectories()
        return painted


def _device(name: str | torch.device | None) -> torch.device:
    """A device that is there."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0][:120]
        raise ConfigError(f"device {str(name)!r} cannot be used: {reason}; cpu can") from error
    return device


def _options(values: dict[str, Any]) -> dict[str, Any]:
    """Stored options as they are used: JSON has no pairs."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
