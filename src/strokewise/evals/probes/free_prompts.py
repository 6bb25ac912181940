"""How many kinds of things a prompt may have: the first prompts of the free set, painted and scored at once.

The whole set is painted by ``strokewise eval run --prompts free``, which keeps the pictures; this probe keeps
none.
"""

from collections.abc import Iterator, Sequence

from strokewise.errors import ConfigError
from strokewise.evals.benchmarks.free import FreeScore, is_right
from strokewise.evals.prompt_sets import FREE_KINDS, FREE_PER_KIND, free_prompts
from strokewise.inference.painter import BATCH, Painter
from strokewise.trajectory.values import StopReason


def probe_free_prompts(
    painter: Painter, count: int = 48, seeds: Sequence[int] = (0,), batch: int = BATCH
) -> Iterator[FreeScore]:
    """Paint and score prompts of each number of kinds, in order; sum up with ``benchmarks.free.summarize``.

    Args:
        painter: a model of the sprite world.
        count: prompts of each number of kinds, at most 200.
        seeds: a picture of each prompt for each of them.
        batch: paintings that advance together.

    Raises:
        ConfigError: if there are not so many prompts.
        StrokewiseError: as the painter; PromptError for a model of a smaller vocabulary.
    """
    if not 1 <= count <= FREE_PER_KIND:
        raise ConfigError(
            f"count is {count}; the free set has {FREE_PER_KIND} prompts of each number of kinds"
        )
    for kinds in FREE_KINDS:
        texts = [prompt.text for prompt in free_prompts(kinds)[:count]]
        every = [(number, sample) for number in range(count) for sample in range(len(seeds))]
        painted = painter.paint_many(
            [texts[number] for number, _ in every], [seeds[sample] for _, sample in every], batch=batch
        )
        for (number, sample), trajectory in zip(every, painted, strict=True):
            right = bool(trajectory.images) and is_right(texts[number], trajectory.images[-1])
            yield FreeScore(kinds, number, sample, right, trajectory.stop == StopReason.END)
