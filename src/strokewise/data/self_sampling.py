"""Self-sampling: what a model paints, judged by the oracle, as the conflict and the alignment subset.

The faults that a model is trained to find are then its own (arXiv 2604.04746, section 3, subsets 2 and 3).
This file knows a painter and the data package. It refuses to know what is trained on the records.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from strokewise.data.alignment import judge_sketches
from strokewise.data.canvas_painters import SpritePainter
from strokewise.data.conflict import judge_sampled
from strokewise.data.executor import Executor
from strokewise.data.loaded import run_loaded
from strokewise.data.records import Record
from strokewise.data.sampled_plans import Sampler, plans_of
from strokewise.data.scenes import SceneMix, sample_scene
from strokewise.data.storage import Together
from strokewise.errors import ConfigError, PromptError
from strokewise.inference.options import OptionChanges, Request
from strokewise.inference.painter import Painter
from strokewise.trajectory.values import Trajectory
from strokewise.world.language import PlainWording, write_prompt

JUDGES = {"conflict": judge_sampled, "alignment": judge_sketches}
WRONG = ("wrong", "negative")
CHUNK = 32


@dataclass(frozen=True)
class SelfSampling:
    """All that decides what is sampled.

    Attributes:
        model: name of what samples, for the record.
        prompts: how many the model paints, in chunks of 32.
        seed: of prompts, paintings and wording.
        scenes: what prompts ask for, and the layout jitter of corrections.
        right_share: largest share of right records, since a good model makes few faults to learn from.
        painting: options of the painter. At a temperature above 0 its texts go wrong now and then.
    """

    model: str
    prompts: int
    seed: int = 0
    scenes: SceneMix = field(default_factory=SceneMix)
    right_share: float = 0.45
    painting: OptionChanges = field(default_factory=lambda: OptionChanges(temperature=1.0))

    def __post_init__(self) -> None:
        """Refuse what cannot be sampled."""
        if self.prompts < 1 or not 0 <= self.right_share < 1:
            raise ConfigError("at least one prompt must be painted, and right_share must lie in [0, 1)")


@dataclass(frozen=True)
class PainterSampler:
    """A painter as a sampler.

    Attributes:
        painter: what paints.
        painting: its options.
        report: called with a line for each prompt that the painter's model does not know.
    """

    painter: Painter
    painting: OptionChanges
    report: Callable[[str], None] = print

    def sample(self, prompts: list[str], seeds: list[int]) -> list[Trajectory]:
        """Return a trajectory of each prompt that the model knows."""
        known: list[Request] = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            try:
                known.append(self.painter.prepare(Request(prompt, seed)))
            except PromptError as error:
                self.report(f"left out: {prompt!r}: {error}")
        return self.painter.paint_requests(known, batch=CHUNK, check=False, **self.painting)


def self_sample(
    sampling: SelfSampling,
    sampler: Sampler,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, all: None,
    executor: Executor | None = None,
    load: Callable[[], Sampler] | None = None,
) -> None:
    """Build ``folder/conflict`` and ``folder/alignment``, or continue with them.

    Args:
        sampling: what to sample.
        sampler: what paints.
        folder: where.
        progress: called with the prompts painted and those in all.
        executor: where chunks are painted and judged; in this process by default.
        load: gives each other worker its sampler; see :func:`run_loaded`.

    Raises:
        ConfigError: if the folders hold other data, or nothing was painted that can be judged.
        ServiceError: if a worker was lost; run it again to continue.
    """
    data = Together({subset: folder / subset for subset in JUDGES}, asdict(sampling))
    sizes = [min(CHUNK, sampling.prompts - at) for at in range(0, sampling.prompts, CHUNK)]
    missing = [(chunk, size) for chunk, size in enumerate(sizes) if not data.has(chunk)]
    done = sampling.prompts - sum(size for _, size in missing)
    if done:
        progress(done, sampling.prompts)
    made = run_loaded(executor or Executor(), partial(_make, sampling), missing, sampler, load)
    for chunk, records in made:
        data.write(chunk, records)
        done += sizes[chunk]
        progress(done, sampling.prompts)
    data.finish(f"{sampling.model} painted nothing from which {{subset}} records could be made")


def _make(
    sampling: SelfSampling, sampler: Sampler, unit: tuple[int, int]
) -> tuple[int, dict[str, list[Record]]]:
    """Return the records of a chunk, by its number and size."""
    chunk, size = unit
    draw = random.Random(f"self-sampling/{sampling.seed}/{chunk}")
    graphs = [sample_scene(draw, sampling.scenes).graph for _ in range(size)]
    sampled = sampler.sample([write_prompt(g, draw) for g in graphs], [draw.randrange(2**31) for _ in graphs])
    return chunk, {subset: _judged(subset, sampled, sampling, chunk) for subset in JUDGES}


def _judged(subset: str, sampled: Sequence[Trajectory], sampling: SelfSampling, chunk: int) -> list[Record]:
    """Return the records of a subset; of right ones no more than their share, in their order."""
    draw = random.Random(f"self-sampling/{subset}/{sampling.seed}/{chunk}")
    wording_rng = PlainWording(draw.randrange(2**31)) if sampling.scenes.plain else draw
    records = list(
        JUDGES[subset](plans_of(sampled, sampling.scenes.layout_jitter), SpritePainter(), wording_rng)
    )
    right = [i for i, record in enumerate(records) if record.label not in WRONG]
    allowed = round((len(records) - len(right)) * sampling.right_share / (1 - sampling.right_share))
    kept = set(draw.sample(right, min(len(right), max(1, allowed))))
    return [record for i, record in enumerate(records) if i in kept or record.label in WRONG]
