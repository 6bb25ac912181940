"""Painter: load a model by name, give it a prompt, watch it paint. The entry point for programs.

    painter = Painter.load("nano")
    for event in painter.stream("a red apple left of a blue bus", seed=1):
        ...
    painter.paint("a red apple left of a blue bus").images[-1]

It ties a checkpoint's files together (weights, tokenizer, vocabulary, defaults) and knows no stages and no
tensors. What was painted is written to files by ``trajectory.files``.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TypedDict, TypeVar, Unpack

import torch
from PIL import Image

from strokewise.errors import CheckpointError, ConfigError
from strokewise.inference.engine import BATCH, Emitted, Engine
from strokewise.inference.formats import STROKEWISE, ProtocolFormat
from strokewise.inference.generator import Generator
from strokewise.inference.options import OptionChanges, PaintingOptions, Request
from strokewise.inference.policies import Policy, PromptAsInstruction
from strokewise.inference.prompt_check import DEFAULTS, VOCABULARY, Vocabulary, stored_options
from strokewise.inference.reading import check_prompt_room, encode_all
from strokewise.inference.session import Session
from strokewise.io.atomic import write_text
from strokewise.io.digests import SUMS
from strokewise.models import Backbone, architecture_of, find_checkpoint, is_local, load_model, module_of
from strokewise.models.hub import CARD, TRAINING, push_folder
from strokewise.sequence import Tokenizer
from strokewise.trajectory.events import Event
from strokewise.trajectory.values import Trajectory

Listed = TypeVar("Listed")


class LoadOptions(TypedDict, total=False):
    """How a checkpoint is loaded; see :meth:`Painter.load`."""

    device: str | torch.device | None
    dtype: torch.dtype | None
    quantize: str | None
    protocol_format: ProtocolFormat


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
        self.folder: Path | None = None

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
        if not isinstance(dtype, torch.dtype | None):
            raise ConfigError(f"dtype is {dtype!r:.60}; give one of torch, such as torch.bfloat16")
        folder = find_checkpoint(model)
        tokenizer = Tokenizer.load(folder)
        try:
            defaults = PaintingOptions().changed(stored_options(folder))
        except ConfigError as error:
            raise CheckpointError(f"{folder / DEFAULTS}: {error}") from error
        precision = dtype or (torch.bfloat16 if place.type == "cuda" else torch.float32)
        vocabulary = Vocabulary.read(folder)
        loaded = load_model(folder, place, precision, quantize)
        # Where a folder lies says nothing about the model, and is nobody's business.
        name = Path(model).resolve().name if is_local(model) else str(model)
        painter = cls(loaded, tokenizer, name, protocol_format, vocabulary, defaults)
        painter.folder = folder
        return painter

    @classmethod
    def from_pretrained(
        cls, model: str | Path, *, revision: str | None = None, **options: Unpack[LoadOptions]
    ) -> "Painter":
        """Load a checkpoint; :meth:`load` under the hub's usual name, with the same options and errors.

        Args:
            model: folder, built-in name or hub id.
            revision: branch, tag or commit of a hub id.
            options: of :meth:`load`.

        Raises:
            ConfigError: if a folder is to be of some revision.
        """
        if revision is not None and is_local(model):
            raise ConfigError(f"{model} is a folder, which has no revisions; leave revision out")
        return cls.load(model if revision is None else f"{model}@{revision}", **options)

    def save_pretrained(
        self, folder: str | Path, *, layout: str | None = None, card: str | None = None
    ) -> None:
        """Write weights (safetensors only), tokenizer, vocabulary and defaults to a folder that loads again.

        Args:
            folder: made if it is not there.
            layout: one of the architecture's ``layouts``; None is the first of them.
            card: Markdown for ``README.md``; None: the card of the folder that was loaded, if there is one.

        Raises:
            CheckpointError: if the model was not loaded from files or is quantized, or a file cannot be
                written.
            ConfigError: if there is no such layout.
        """
        if self.folder is None:
            raise CheckpointError("this painter was not loaded from a checkpoint; save its model itself")
        model, out = self.generator.model, Path(folder)
        if not all(weight.is_floating_point() for weight in module_of(model).parameters()):
            raise CheckpointError("quantized weights are not saved; load the model without quantize")
        architecture = architecture_of(self.folder)
        if layout not in (None, *architecture.layouts):
            raise ConfigError(f"unknown layout {layout!r}; known are {', '.join(architecture.layouts)}")
        out.mkdir(parents=True, exist_ok=True)
        (out / SUMS).unlink(missing_ok=True)
        for name in (VOCABULARY, DEFAULTS, TRAINING, CARD):
            if (self.folder / name).exists():
                shutil.copyfile(self.folder / name, out / name)
        write_text(out / "tokenizer.json", self.tokenizer.raw.to_str(), CheckpointError)
        if card is not None:
            write_text(out / CARD, card, CheckpointError)
        architecture.save(model, out, layout or architecture.layouts[0])

    def push_to_hub(
        self,
        repo: str,
        *,
        revision: str | None = None,
        private: bool = False,
        layout: str | None = None,
        card: str | None = None,
    ) -> str:
        """Upload the model; returns the address of the commit. Arguments and errors as for both below.

        :meth:`save_pretrained` says what is uploaded, :func:`strokewise.models.hub.push_folder` how.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, layout=layout, card=card)
            return push_folder(Path(folder), repo, revision, private)

    def with_format(self, protocol_format: ProtocolFormat) -> "Painter":
        """Return the same model, its texts read by another format."""
        other = copy(self)
        other.protocol_format = protocol_format
        return other

    def unchecked(self) -> "Painter":
        """Return the same model without its vocabulary: every prompt is fed as it is written."""
        other = copy(self)
        other.vocabulary = None
        return other

    def engine(self, batch: int = BATCH) -> Engine:
        """Return an engine without sessions; open them with :meth:`open`."""
        return Engine(self.generator, self.tokenizer, self.name, batch)

    def open(
        self,
        engine: Engine,
        request: Request,
        *,
        name: str | None = None,
        policy: Policy | None = None,
        check: bool = True,
        keep: bool = False,
        **options: Unpack[OptionChanges],
    ) -> Session:
        """Let a session of this model join an engine.

        Args:
            engine: from :meth:`engine`.
            request: what to paint.
            name: unique in the engine; default: its number.
            policy: who decides what is said and painted; default: the model.
            check: where the model states a vocabulary, rewrite prompt and instructions in the wording that it
                was trained on (the original is recorded beside it), and refuse what cannot be read. On a
                picture that is given, the prompt is then the first stroke.
            keep: keep the contexts of all steps, so that the session can be edited and forked.
            options: see :class:`PaintingOptions`; the model's defaults for the others.

        Raises:
            PromptError: if the prompt holds what the model was not trained on.
            ContextLengthError: if the prompt is longer than the model's positions.
            ConfigError: if an option is unknown or has no meaning, or the policy cannot follow the request.
            InputError: if a picture cannot be used, or the model cannot paint such a size.
        """
        request = self.prepare(request, check)
        if check and self.vocabulary is not None and request.source is not None:
            policy = policy or PromptAsInstruction()
        changed = self.defaults.changed(options)
        return engine.open(
            request, changed, policy=policy, protocol=self.protocol_format, name=name, keep=keep
        )

    def prepare(self, request: Request, check: bool = True) -> Request:
        """Return a request as it is fed; with ``check``, in the wording that the model was trained on.

        Raises:
            PromptError: if it holds what the model was not trained on.
            ContextLengthError: if its prompt is longer than the model's positions.
        """
        if check and self.vocabulary is not None:
            prepared = self.vocabulary.prepare(request.prompt, request.instruct, request.source is not None)
            original = "" if prepared.prompt == request.prompt else request.prompt
            request = replace(
                request, prompt=prepared.prompt, instruct=prepared.instruct, original_prompt=original
            )
        system = len(encode_all(self.tokenizer, self.protocol_format.system))
        check_prompt_room(self.generator, self.tokenizer, request.prompt, system)
        return request

    def start(
        self,
        requests: Sequence[Request],
        *,
        batch: int = BATCH,
        policy: Policy | None = None,
        check: bool = True,
        **options: Unpack[OptionChanges],
    ) -> Engine:
        """Return an engine with a session for each request, ``batch`` of them under way at once.

        Every request is checked before this returns; nothing is computed before ``run()`` of the result.
        Arguments and errors as for :meth:`open`.
        """
        engine = self.engine(batch)
        for request in requests:
            self.open(engine, request, policy=policy, check=check, **options)
        return engine

    def stream(
        self,
        prompt: str,
        seed: int = 0,
        *,
        image: Image.Image | None = None,
        instruct: Sequence[str] = (),
        policy: Policy | None = None,
        check: bool = True,
        **options: Unpack[OptionChanges],
    ) -> Iterator[Event]:
        """Paint a prompt, emitting what happens while it happens.

        Args:
            prompt: what to paint.
            seed: random seed.
            image: a picture to edit.
            instruct: instructions of the next strokes.
            policy: see :meth:`open`.
            check: see :meth:`open`.
            options: see :class:`PaintingOptions`.

        Raises:
            StrokewiseError: as :meth:`open`, before the first event; later, as the policy.
        """
        request = Request(prompt, seed, image, instruct)
        engine = self.start([request], policy=policy, check=check, **options)
        return (event for _, event in raising(engine.run()))

    def paint(
        self,
        prompt: str,
        seed: int = 0,
        *,
        image: Image.Image | None = None,
        instruct: Sequence[str] = (),
        policy: Policy | None = None,
        check: bool = True,
        **options: Unpack[OptionChanges],
    ) -> Trajectory:
        """Paint a prompt to the end; arguments and errors as for :meth:`stream`."""
        request = Request(prompt, seed, image, instruct)
        return self.paint_requests([request], policy=policy, check=check, **options)[0]

    def paint_many(
        self,
        prompts: Iterable[str],
        seeds: Iterable[int] | None = None,
        *,
        batch: int = BATCH,
        policy: Policy | None = None,
        check: bool = True,
        **options: Unpack[OptionChanges],
    ) -> list[Trajectory]:
        """Paint several prompts, ``batch`` at once.

        Args:
            prompts: what to paint.
            seeds: one for each prompt; default 0 for all.
            batch: how many are under way at once.
            policy: see :meth:`open`.
            check: see :meth:`open`.
            options: see :class:`PaintingOptions`.

        Raises:
            ConfigError: if prompts or seeds are no list, or there is not one seed for each prompt.
            StrokewiseError: as :meth:`open`, before anything is painted; later, as the policy.
        """
        if isinstance(prompts, str):
            raise ConfigError("prompts is one text; give a list of prompts, or call paint")
        prompts = _listed(prompts, "prompts")
        seeds = [0] * len(prompts) if seeds is None else _listed(seeds, "seeds")
        if len(seeds) != len(prompts):
            raise ConfigError(f"{len(prompts)} prompts but {len(seeds)} seeds; give one for each")
        requests = [Request(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]
        return self.paint_requests(requests, batch=batch, policy=policy, check=check, **options)

    def paint_requests(
        self,
        requests: Sequence[Request],
        *,
        batch: int = BATCH,
        policy: Policy | None = None,
        check: bool = True,
        **options: Unpack[OptionChanges],
    ) -> list[Trajectory]:
        """Paint requests of any kind, ``batch`` at once; errors as for :meth:`paint_many`."""
        engine = self.start(requests, batch=batch, policy=policy, check=check, **options)
        for _ in raising(engine.run()):
            pass
        return engine.trajectories()


def raising(emitted: Emitted) -> Emitted:
    """Yield the same events, but the first session that fails raises its error."""
    for session, event in emitted:
        if session.error is not None:
            raise session.error
        yield session, event


def _listed(values: Iterable[Listed], what: str) -> list[Listed]:
    if isinstance(values, bytes) or not isinstance(values, Iterable):
        raise ConfigError(f"{what} is {values!r:.60}; give a list")
    return list(values)


def _device(name: str | torch.device | None) -> torch.device:
    """Return a device that is there."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0][:120]
        raise ConfigError(f"device {str(name)!r} cannot be used: {reason}; cpu can") from error
    return device
