"""What open-world data cost on 1, 8 and 64 GPUs: hours, calls, tokens, bytes, euros, and where the time goes.

    python benchmarks/open_world.py

Canvases and queries are counted from drafts; the painter's operations, the judge's seconds and all rates are
the assumptions of ``replicate.py`` and those below. What one process does alone is measured: it chooses the
drafts first, and digests the data set last. Nothing is painted.
"""

import hashlib
import resource
import time

from rich.console import Console

import replicate
from strokewise.data.open_world.costs import ANSWER, PIXELS, TEXT
from strokewise.data.open_world.drafts import OpenMultiTurnMix, drafter
from strokewise.data.open_world.overlap import select
from strokewise.data.open_world.taxonomy import load_taxonomy
from strokewise.datasets.records import SUBSET_SIZES
from strokewise.evals.prompt_sets import load_prompts

DRAFTS, CHOSEN = 5_000, 20_000  # whose canvases are counted; that are chosen, for its time
DIGESTED = bytes(2**28)
KEPT = 2 / 3  # of the trajectories pass the judge, canvas by canvas at one rate
# A sample of the other subsets: three canvases judged twice, in 60 % a correction, painted and checked.
QUERIES, CORRECTED = 6 + 0.6, 0.6
SIDE = 512


def main() -> None:
    """Print the table."""
    draft = drafter(1, OpenMultiTurnMix(), load_taxonomy())
    measured = [one.text for one in load_prompts("geneval")]
    before, start = _peak(), time.process_time()
    select(draft, CHOSEN, measured)
    seconds, memory = (time.process_time() - start) / CHOSEN, (_peak() - before) / CHOSEN
    start = time.process_time()
    hashlib.sha256(DIGESTED).digest()
    digested = len(DIGESTED) / (time.process_time() - start)
    lengths = [len(draft(number).steps) for number in range(DRAFTS)]
    mean = sum(lengths) / DRAFTS
    passes = KEPT ** (1 / mean)  # of canvases
    paid = sum(sum(passes**i for i in range(length)) for length in lengths) / DRAFTS
    first, later = replicate.kontext_seconds(False), replicate.kontext_seconds(True)
    paper = sum(SUBSET_SIZES.values())
    share = SUBSET_SIZES["multi-turn"] / paper
    out = Console(width=150)
    out.print(f"{mean:.2f} canvases a draft, {paid:.2f} with early ends")
    out.print(f"a draft is chosen in {seconds * 1e3:.2f} ms and {memory / 1e3:.1f} KB")
    out.print(f"{digested / 1e9:.2f} GB/s are digested")
    for samples in (paper, 1_000_000):
        tried = samples * share / KEPT
        others = samples * (1 - share)
        canvases = tried * paid + others * CORRECTED
        calls = tried * paid + others * QUERIES
        painting = tried * (first + (paid - 1) * later) + others * CORRECTED * later
        judging = calls * replicate.GPU_SECONDS_PER_CALL
        tokens = calls * (TEXT + SIDE**2 // PIXELS + ANSWER)
        data = (samples * share * mean + others * 3) * replicate.PNG_512
        stored = canvases * replicate.PNG_512 + data
        alone = (tried * seconds / 60, tried * memory / 1e9, data / digested / 3600, data / 1e12)
        stated = "{:,}: {:,.1f} minutes and {:,.1f} GB of memory to choose, {:,.2f} hours to digest {:.2f} TB"
        out.print(stated.format(samples, *alone))
        for gpus in (1, 8, 64):
            hours = (painting + judging) / 3600 / gpus
            cells = (
                f"{samples:,}",
                f"{gpus}",
                f"{hours:,.0f}",
                f"{painting / (painting + judging):.0%}",
                f"{canvases / 1e3:,.0f} K",
                f"{calls / 1e3:,.0f} K",
                f"{tokens / 1e6:,.0f} M",
                f"{stored / 1e12:.2f}",
                f"{hours * gpus * replicate.EUROS_PER_GPU_HOUR:,.0f}",
            )
            out.print(f"| {' | '.join(cells)} |", markup=False, highlight=False)


def _peak() -> int:
    """Most bytes of memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
