"""The training loop: steps of forward, backward and update, with logging, checkpoints and painted samples.

Randomness is a function of the seed and of the step or the sample's position, never of what was drawn before;
with the data positions, the weights and the optimizer in the checkpoint, a resumed run is the unbroken one.
Knows an objective and a backbone by their protocols; refuses to know losses, worlds and recipes.
"""

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.console import Console
from torch import Tensor
from torch.distributed.tensor import DTensor

from strokewise.datasets.latents import LatentEncoder
from strokewise.datasets.loader import LaneState, Loader
from strokewise.datasets.mixture import derive_seed
from strokewise.datasets.prepare import PreparedSample
from strokewise.datasets.rows import arrange
from strokewise.errors import CheckpointError, StrokewiseError
from strokewise.inference import Generator, PaintOptions
from strokewise.io.locks import FolderLock
from strokewise.models import module_of
from strokewise.sequence import Kind, Packed, PackSpec, Segment, pack
from strokewise.train.checkpoint import Checkpoints, read_facts, read_tensors
from strokewise.train.config import TrainConfig
from strokewise.train.distributed import World, arithmetic, sync_gradients, whole_root
from strokewise.train.estimate import Speed, estimate, table
from strokewise.train.interrupts import interrupts_put_off
from strokewise.train.model import build_model
from strokewise.train.monitor import Monitor, StepReport
from strokewise.train.objectives import ComparingObjective
from strokewise.train.optim import AveragedWeights, Optimizer, matrices, trainable
from strokewise.train.run_data import RunData
from strokewise.train.sample_images import beginnings, paint_after
from strokewise.train.workload import Workload, sample_flops


class Trainer:
    """A run in a folder, which resumes from the folder's last checkpoint if there is one.

    The folder is locked from the beginning to the end of :meth:`fit`.
    """

    def __init__(self, config: TrainConfig, folder: Path, world: World | None = None) -> None:
        """Open the data, load the model, spread it over the ranks, and resume.

        Args:
            config: what to train.
            folder: of the run.
            world: the ranks that share it; default: those that torchrun started.

        Raises:
            StrokewiseError: if data, start or checkpoint are missing, damaged, or do not fit, or another
                process trains in the folder.
        """
        self.config, self.folder = config, folder
        self.world = world or World.join()
        self.lock = FolderLock(folder, "trains in") if self.world.leads else nullcontext()
        with ExitStack() as opened:
            opened.enter_context(self.lock)
            self._open()
            opened.pop_all()  # the lock stays

    def _open(self) -> None:
        """Load what the run needs, and resume."""
        config = self.config
        self.data = RunData.open(config)
        self.trained = build_model(config, self.world)
        self.model = self.trained.model
        self.spec: PackSpec = self.model.pack_spec(self.data.special)
        self.encoder = LatentEncoder(
            self.model, config.running.cache_mb * 2**20, partial(arithmetic, config, self.world.device)
        )
        self.parameters = trainable(module_of(self.model))
        inner = matrices(self.parameters, self.data.architecture.layer_weights) if config.muon else ()
        self.optimizer = Optimizer(self.parameters, config, inner)
        self.averages = AveragedWeights(self.parameters, config.ema_decay, config.running.ema_on_cpu)
        running = config.running
        self.checkpoints = Checkpoints(self.folder, running.keep, self.world, running.async_save)
        self.step = self.saved = 0
        self.loader = self._resume()
        self.lanes = self.loader.states
        self._ahead: _Load | None = None

    # --- the run -----------------------------------------------------------------------------------------

    def fit(self, max_steps: int | None = None, minutes: float | None = None) -> None:
        """Train to the end, or until this call has done ``max_steps`` or lasted ``minutes``.

        Ends with a checkpoint, also on Ctrl-C, SIGTERM and SIGHUP, which are obeyed after it.

        Raises:
            StrokewiseError: if a loss is not finite, a sample cannot be read or a checkpoint not be written;
                the last checkpoint is then whole.
        """
        config = self.config
        last = config.steps if max_steps is None else min(config.steps, self.step + max_steps)
        with self.lock:
            if self.world.leads:
                speed = Speed.measured(self.world.device, config.precision)
                found = estimate(config, self.data, self.world.size, speed)
                Console(stderr=True, markup=False).print(table(config, found, self.world.size))
            self.train_to(last, math.inf if minutes is None else time.monotonic() + 60 * minutes)

    def train_to(self, last: int, until: float = math.inf) -> None:
        """Train up to step ``last``, or ``until`` that time (``time.monotonic()``); errors as :meth:`fit`."""
        monitor = Monitor(self.folder, self.config, self.data.costs, self.step, last, self.world.leads)
        try:
            with interrupts_put_off() as received, monitor:
                with self.checkpoints:
                    while self.step < last and not self._any_rank(bool(received) or time.monotonic() > until):
                        monitor.log(self.train_step())
                        self.checkpoints.check()
                        self._at_intervals(monitor)
                    if self.step > self.saved:
                        self.save()
                if received:
                    monitor.say(f"stopped after step {self.step}; run the same command again to resume")
        finally:
            self.loader.close()

    def train_step(self) -> StepReport:
        """Return one optimizer step over one pack of each lane.

        Raises:
            StrokewiseError: if the loss or its gradient is not finite; nothing was updated then.
        """
        # Nothing below draws from the global generator; should a module ever do, it resumes as well.
        torch.manual_seed(derive_seed(self.config.seed, 4, self.step, self.world.rank))
        load, self._ahead = self._ahead or self._load(), None
        work, counts = self._totals(load)
        shares = []
        for i, packed in enumerate(load.packs):
            sync_gradients(self.trained, last=i == len(load.packs) - 1)
            shares.append(self._backward(packed, counts))
        if self.step + 1 < self.config.steps:
            self._ahead = self._load()  # while the device is still at work
        weights = self.config.objective.weights
        means = dict(zip(weights, self.world.total(torch.stack(shares).sum(0).tolist()), strict=True))
        gradient = self._clip()
        loss = sum(weight * means[name] for name, weight in weights.items())
        if not math.isfinite(loss + gradient):
            terms = ", ".join(f"{name} {value:.3g}" for name, value in means.items())
            raise StrokewiseError(
                f"step {self.step + 1} gave a loss of {loss:.3g} ({terms})"
                f" and a gradient of {gradient:.3g}: training has diverged. Resume from the last checkpoint"
                " with a lower learning rate, or look for damaged samples"
            )
        rate = self.optimizer.update(self.step)
        if (self.step + 1) % self.config.ema_every == 0:
            self.averages.update(self.step // self.config.ema_every)
        self.step, self.lanes = self.step + 1, load.lanes
        return StepReport(
            self.step,
            loss,
            {name: value if counts[name] else math.nan for name, value in means.items()},
            gradient,
            rate,
            work,
            load.skipped,
        )

    def skip_to(self, position: int) -> None:
        """Continue with the samples from this position of the mixture on."""
        self.loader.close()
        lanes = self.config.packs_per_step
        self.loader = self._loader([LaneState(-(-position // lanes))] * len(self.world.lanes(lanes)))
        self.lanes, self._ahead = self.loader.states, None

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Yield the model with its averaged weights, ready to write and paint."""
        self.model.eval()
        try:
            with (
                self.averages.applied(),
                whole_root(self.trained),
                arithmetic(self.config, self.world.device),
            ):
                yield
        finally:
            self.model.train()

    def save(self) -> Path:
        """Write a checkpoint of the present state, or begin to (``running.async_save``)."""
        facts = {
            "lanes": [asdict(lane) for lane in self.world.gather(self.lanes)],
            "config": self.config.to_dict(),
        }
        path = self.checkpoints.save(self.step, self._tensors(), facts)
        self.saved = self.step
        return path

    def paint(self) -> Image.Image | None:
        """Paint images of training samples with the averaged weights; the expected ones stand below.

        Returns:
            One image of all; None where the samples hold no images that are trained on.
        """
        running = self.config.running
        starts = beginnings(self.data.mixture, running.num_samples)
        options = PaintOptions(num_steps=running.sample_steps, feedback="none")
        if not starts:
            return None
        with self.averaged():
            return paint_after(Generator(self.model, self.data.special), starts, options)

    def _at_intervals(self, monitor: Monitor) -> None:
        """Do what is due after this step besides logging."""
        running = self.config.running
        paints = running.num_samples > 0 and self.step % running.sample_every == 0
        saves = self.step % running.save_every == 0
        if saves:
            self.save()
        if paints and (image := self.paint()) is not None:
            monitor.show(image, self.step)
        if saves or paints:
            monitor.rest()

    # --- parts of a step ---------------------------------------------------------------------------------

    def _load(self) -> "_Load":
        """Return the packs of a step on the device."""
        packs = [self._packed(pack) for pack in self.loader.step()]
        work = sum((work for _, work in packs), Workload())
        return _Load([packed for packed, _ in packs], work, self.loader.states, self.loader.skipped)

    def _packed(self, samples: list[PreparedSample]) -> tuple[Packed, Workload]:
        """Return a pack on the device, its latents encoded."""
        latents = iter(self.encoder.encode([canvas for sample in samples for canvas in sample.canvases]))
        filled = [sample.filled([next(latents) for _ in sample.canvases]) for sample in samples]
        work = sum((Workload.of(sample) for sample in filled), Workload())
        rows = arrange(filled, self.config.row_tokens)
        rows[0] = [*rows[0], *self._missing_kinds(filled)]
        return pack(rows, self.spec).to(self.world.device), work

    def _missing_kinds(self, samples: list[list[Segment]]) -> list[list[Segment]]:
        """Return a sample without loss of the kinds that no other has: every rank needs every gradient."""
        kinds = {segment.kind for sample in samples for segment in sample}
        missing = []
        if Kind.VIT not in kinds:
            blank = torch.zeros(1, self.spec.patch_channels)
            missing.append(Segment(Kind.VIT, blank, grid=(1, 1)))
        if not kinds & {Kind.CLEAN, Kind.NOISED}:
            blank = torch.zeros(1, self.spec.latent_channels, device=self.world.device)
            missing.append(Segment(Kind.CLEAN, blank, grid=(1, 1)))
        return [missing] if missing else []

    def _totals(self, load: "_Load") -> tuple[Workload, dict[str, int]]:
        """Work of a step and tokens of each term of the loss, over all ranks."""
        objective, names = self.config.objective, list(self.config.objective.weights)
        counts = [objective.counts(packed) for packed in load.packs]
        ours = [sum(count[name] for count in counts) for name in names]
        work = [*vars(load.work).values()]
        totals = [int(value) for value in self.world.total([*work, *ours])]
        return Workload(*totals[: len(work)]), dict(zip(names, totals[len(work) :], strict=True))

    def _backward(self, packed: Packed, counts: dict[str, int]) -> Tensor:
        """Add the gradients of one pack's share of the step's loss; its share of each term, (terms,)."""
        weights = self.config.objective.weights
        packed = self._compared(packed)
        with arithmetic(self.config, self.world.device):
            sums = self.trained(packed)
        terms = [sums[name] / max(1, counts[name]) for name in weights]
        loss = torch.stack([w * term for w, term in zip(weights.values(), terms, strict=True)]).sum()
        # FSDP averages gradients over ranks; the loss is a sum over them.
        (loss * self.world.size).backward()
        return torch.stack(terms).detach()

    def _compared(self, packed: Packed) -> Packed:
        """Return a pack with what the averaged weights make of it, if the objective compares with them."""
        objective = self.config.objective
        if not isinstance(objective, ComparingObjective):
            return packed
        with (
            torch.no_grad(),
            self.averages.applied(),
            whole_root(self.trained),
            arithmetic(self.config, self.world.device),
        ):
            return replace(packed, old=objective.outputs(self.model, packed))

    def _clip(self) -> float:
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.config.clip_norm)
        return float(norm.full_tensor() if isinstance(norm, DTensor) else norm)

    def _any_rank(self, condition: bool) -> bool:
        """Return whether the condition holds on any rank."""
        return self.world.total([float(condition)])[0] > 0

    # --- checkpoints -------------------------------------------------------------------------------------

    def _tensors(self) -> dict[str, Tensor]:
        """Return all tensors that training changes, by name, sharing memory with model and optimizer."""
        named: dict[str, Tensor] = {}
        for name, parameter in self.parameters.items():
            named[f"weight/{name}"] = parameter.detach()
            named[f"average/{name}"] = self.averages.averages[name]
        return named | self.optimizer.tensors()

    def _resume(self) -> Loader:
        """Read the last checkpoint, if there is one, and open the data where it stood."""
        config, path = self.config, self.checkpoints.latest()
        lanes, states = self.world.lanes(config.packs_per_step), None
        if path is not None:
            _check_same_run(config, path)
            facts = read_facts(path)
            read_tensors(path, self._tensors(), self.world)
            self.step = self.saved = facts["step"]
            states = _lane_states(path, facts)[lanes.start : lanes.stop]
        return self._loader(states)

    def _loader(self, states: list[LaneState] | None) -> Loader:
        """Return the data behind what each of our lanes has read."""
        config = self.config
        lanes, workers = self.world.lanes(config.packs_per_step), config.running.workers
        mixture, preparer, tokens = self.data.mixture, self.data.preparer, config.pack_tokens
        cost = partial(sample_flops, costs=self.data.costs, frozen=config.lora is not None)
        return Loader(mixture, preparer, cost, tokens, lanes, config.packs_per_step, workers, states)


@dataclass(frozen=True)
class _Load:
    """The packs of a step, and how far the lanes have come after it."""

    packs: list[Packed]
    work: Workload
    lanes: list[LaneState]
    skipped: int


def _check_same_run(config: TrainConfig, path: Path) -> None:
    """Refuse a checkpoint that another configuration made.

    Raises:
        CheckpointError: naming what differs.
    """
    if different := config.differences(read_facts(path)["config"]):
        raise CheckpointError(
            f"{path} was made by another run:\n  "
            + "\n  ".join(different)
            + "\n  train into another folder, or with the configuration it was made with"
        )


def _lane_states(path: Path, facts: dict[str, Any]) -> list[LaneState]:
    """Return how far all lanes had come.

    Raises:
        CheckpointError: if that is stored in another form.
    """
    try:
        return [LaneState(**{**lane, "waiting": tuple(lane["waiting"])}) for lane in facts["lanes"]]
    except (KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} does not hold the order of samples as this version does; export its weights and begin"
            " another run from them"
        ) from error
