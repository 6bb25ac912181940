"""Painting a list of prompts with a strategy: batched, resumable after any interruption, in shards.

What is finished is on the disk before the next batch begins; what was under way is painted again, from the
same seeds. This file knows requests and their order. It refuses to know how a strategy paints and how its
pictures are scored.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from strokewise.data.executor import Executor
from strokewise.data.loaded import run_loaded
from strokewise.errors import ConfigError, ContextLengthError, PromptError
from strokewise.evals.prompt_sets import Prompt
from strokewise.evals.run_store import Run, Writer, prepare
from strokewise.evals.strategies.strategies import BATCH, Outcome, Strategy
from strokewise.inference.options import Request
from strokewise.inference.painter import Painter

Unit = tuple[int, list[Request]]  # a batch: its number, and what is requested
UNKNOWN = ("refuse", "skip", "paint")
NOISE = "prompt and seed"  # what the noise of a picture depends on, among a run's settings
OnProgress = Callable[[int, int], None]
SHOWN = 80  # characters of a prompt that is refused
MAX_SEEDS = 100_000
_SAMPLE = 1 << 20


@dataclass(frozen=True)
class Job:
    """A picture to paint: the indices of its prompt and of its seed, and what is requested."""

    prompt: int
    sample: int
    request: Request


@dataclass(frozen=True)
class Shard:
    """Part ``number`` (from 0) of ``count``."""

    number: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Return ``i/n`` with i from 0; ConfigError if it is of another form."""
        number, _, count = text.partition("/")
        if not (_is_number(number) and _is_number(count) and int(number) < int(count)):
            raise ConfigError(f"shard {text!r} is not i/n with i from 0 to n-1, such as 0/4")
        return cls(int(number), int(count))


def parse_seeds(text: str) -> list[int]:
    """Return seeds such as ``0-3`` or ``1,5,9``.

    Raises:
        ConfigError: if it is of another form, or names a seed twice.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not all(_is_number(end) for end in (first, last if dash else first)):
            raise ConfigError(f"seeds {text!r} are not of a form such as 0-3 or 1,5,9")
        wanted = range(int(first), int(last if dash else first) + 1)
        if len(seeds) + len(wanted) > MAX_SEEDS:
            raise ConfigError(f"seeds {text!r} are more than {MAX_SEEDS:,}")
        seeds += wanted
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds {text!r} name none, or one twice")
    return seeds


def picture_seed(prompt: str, seed: int) -> int:
    """Return the seed of a picture's noise: another one for every prompt and seed.

    With one noise for all prompts, a seed that happens to suit a model or not shifts the whole score, and
    intervals that resample prompts do not see it.
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{prompt}".encode()).digest()[:4], "big")


def fingerprint(folder: Path) -> str:
    """Return a digest that distinguishes checkpoints without reading all of their weights.

    Folders such as ``latest`` change under their name. Sizes, heads (names, shapes) and tails of the weights
    differ between any two states of a training.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        digest.update(f"{path.name} {size} ".encode())
        with path.open("rb") as file:
            digest.update(file.read(_SAMPLE))
            file.seek(max(0, size - _SAMPLE))
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()[:16]


def known_prompts(
    painter: Painter,
    prompts: Sequence[Prompt],
    unknown: str,
    report: Callable[[str], None] = lambda line: None,
) -> list[Prompt]:
    """Return the prompts to paint, where the model may not know some, or have no room for them.

    Args:
        painter: whose model it is; one without a vocabulary knows all prompts.
        prompts: all.
        unknown: ``refuse`` or ``skip`` those that cannot be painted; ``paint`` is ``refuse`` for a painter
            that feeds prompts untouched (:meth:`Painter.unchecked`), and then only the length is checked.
        report: with ``skip``, called with a line for each prompt that is left out.

    Raises:
        ConfigError: if ``unknown`` is none of these.
        PromptError: if there are such prompts and they are not skipped, or there are no others.
    """
    if unknown not in UNKNOWN:
        raise ConfigError(f"--unknown is {unknown!r}; it is one of {', '.join(UNKNOWN)}")
    if unknown == "paint":
        painter = painter.unchecked()
    kept: list[Prompt] = []
    refused: list[str] = []
    for number, prompt in enumerate(prompts, 1):
        try:
            painter.prepare(Request(prompt.text))
            kept.append(prompt)
        except (PromptError, ContextLengthError) as error:
            shown = prompt.text if len(prompt.text) <= SHOWN else prompt.text[:SHOWN] + "…"
            refused.append(f"prompt {number}, {shown!r}: {error}")
    if refused and (unknown != "skip" or not kept):
        raise PromptError(
            f"{len(refused)} of {len(prompts)} prompts cannot be painted; the first is {refused[0]};"
            " --unknown skip leaves them out, --unknown paint feeds all prompts untouched"
        )
    for line in refused:
        report(f"left out: {line}")
    return kept


def paint_run(
    folder: Path,
    settings: dict[str, Any],
    prompts: Sequence[Prompt],
    strategy: Strategy,
    *,
    shard: Shard | None = None,
    batch: int = BATCH,
    executor: Executor | None = None,
    load: Callable[[], Strategy] | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> int:
    """Paint what is not painted yet of a run; returns how many pictures that was.

    Args:
        folder: of the run.
        settings: what decides the pictures; ``seeds`` must be among them.
        prompts: of the run.
        strategy: paints them.
        shard: which part; all of it by default. Parts may be painted by several processes at once.
        batch: pictures that advance together: the unit of work, whatever the number of workers.
        executor: where batches are painted; in this process by default.
        load: called once in each worker that is not this process, to give it the strategy; can be pickled.
            Without it the strategy itself is sent there.
        on_progress: called with the number of pictures that exist and that will exist, of this shard.

    Raises:
        ConfigError: if the folder holds other pictures, or another process paints this shard.
        StrokewiseError: as the strategy.
    """
    shard = shard or Shard()
    if batch < 1:
        raise ConfigError(f"batch is {batch}; it must be at least 1")
    prepare(folder, settings | {"noise": NOISE}, prompts)
    jobs = _jobs(prompts, settings["seeds"])[shard.number :: shard.count]
    with Writer(folder, prompts, shard.number, shard.count) as writer:
        done = {(entry.prompt, entry.sample) for entry in Run(folder).entries()}
        made, finished = 0, sum((job.prompt, job.sample) in done for job in jobs)
        on_progress(finished, len(jobs))
        # Pictures of a batch differ by rounding from those painted alone, so a batch that was cut short
        # is painted again as a whole, and what is stored of it stays.
        chunks = [jobs[at : at + batch] for at in range(0, len(jobs), batch)]
        units = [
            (number, [job.request for job in chunk])
            for number, chunk in enumerate(chunks)
            if any((job.prompt, job.sample) not in done for job in chunk)
        ]
        for number, outcomes in run_loaded(executor or Executor(), _paint_unit, units, strategy, load):
            for job, outcome in zip(chunks[number], outcomes, strict=True):
                if (job.prompt, job.sample) not in done:
                    writer.write(job.prompt, job.sample, job.request.seed, outcome)
                    made, finished = made + 1, finished + 1
                    on_progress(finished, len(jobs))
    return made


def _paint_unit(strategy: Strategy, unit: Unit) -> tuple[int, list[Outcome]]:
    number, requests = unit
    return number, strategy.paint(requests)


def _is_number(text: str) -> bool:
    """Return whether a text is a whole number that a seed can be; Python refuses to convert thousands of
    digits.
    """
    return text.isdecimal() and len(text) < 20 and int(text) < 2**63


def _jobs(prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Job]:
    return [
        Job(i, k, Request(prompt.text, picture_seed(prompt.text, seed)))
        for i, prompt in enumerate(prompts)
        for k, seed in enumerate(seeds)
    ]
