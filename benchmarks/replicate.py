"""What the paper's experiment costs on eight GPUs, stage by stage: the table of docs/replicate.md.

    python benchmarks/replicate.py BAGEL

BAGEL is a folder with the configuration and the tokenizer of BAGEL-7B-MoT; no weights are read. Hours of
training are those of ``train run --dry-run``; painting is counted by ``strokewise.models.bagel.costs``; the
image editor's operations and all rates are the assumptions below. Nothing is measured.
"""

import argparse
from dataclasses import dataclass

from rich.console import Console

from strokewise.datasets.records import SUBSET_SIZES
from strokewise.models.bagel import bagel_7b, costs
from strokewise.recipes.registry import recipe_config
from strokewise.train.estimate import STORED, Estimate, Speed, estimate
from strokewise.train.run_data import RunData

GPUS = 8
EUROS_PER_GPU_HOUR = 2.5
# Reached in training and painting: 40 % of an H100's 989 TFLOP/s, 60 % of its 3.35 TB/s.
FLOPS, BYTES = 400e12, 2e12
# A judge of 32 billion parameters behind vLLM reads 1,000 and writes 100 tokens a call.
GPU_SECONDS_PER_CALL = 0.35
GPU_SECONDS_PER_DETECTION = 0.25
PNG_512, PNG_1024 = 0.45e6, 1.5e6

# Multi-turn records that are painted, so that those the judge keeps are enough; canvases of each (the paper).
PAINTED_RECORDS, CANVASES = 48_000, 3.51
# Trajectories that are painted for self-sampling, and the share in which the judge finds a fault.
SELF_SAMPLED, FAULTY = 24_000, 0.6
PROMPTS, SEEDS, WISE_PROMPTS = 553, 4, 1000
# A trajectory of the paper's model: canvases, messages, tokens of a message; guidance branches of a canvas.
ROUNDS, MESSAGES, MESSAGE_TOKENS, BRANCHES = 2.62, 3.62, 120, 2.5
STEPS, SIDE, RELEASED_SIDE = 49, 512, 1024


@dataclass(frozen=True)
class Stage:
    """A part of the experiment: hours on all GPUs, and bytes it leaves on the disk."""

    name: str
    hours: float
    bytes: float

    def row(self) -> str:
        """Its line of the table."""
        return f"| {self.name} | {self.hours:.1f} | {self.bytes / 1e9:,.0f} | {euros(self.hours):,.0f} |"


def euros(hours: float) -> float:
    """Return the price of so many hours on all GPUs."""
    return hours * GPUS * EUROS_PER_GPU_HOUR


def kontext_seconds(conditioned: bool) -> float:
    """GPU seconds of a canvas of 512 pixels: 12 billion parameters, 57 layers of 3,072 channels, 28 steps."""
    tokens = 512 + (SIDE // 16) ** 2 * (2 if conditioned else 1)
    return 28 * (2 * 11.9e9 * tokens + 4 * 57 * 3072 * tokens**2) / FLOPS


def painting_seconds(canvases: float, messages: float, side: int, branches: float) -> float:
    """GPU seconds of one picture by BAGEL, eight at a time."""
    config, rows = bagel_7b(), 8
    shown = sum(costs.image_tokens(config, side, side)[kind] for kind in ("latents", "vit"))
    context = round(200 + MESSAGE_TOKENS * messages / 2 + shown * (canvases - 1) / 2)
    step = costs.velocity(config, side, side, context, 2, rows).seconds(FLOPS, BYTES) / rows
    token = costs.text_token(config, context, 2, rows).seconds(FLOPS, BYTES) / rows
    return canvases * STEPS * branches * step + messages * MESSAGE_TOKENS * token


def building() -> list[Stage]:
    """Return everything before the last training but the first one."""
    first, later = kontext_seconds(False), kontext_seconds(True)
    painted = PAINTED_RECORDS * (first + (CANVASES - 1) * later)
    sampled = SELF_SAMPLED * painting_seconds(ROUNDS, MESSAGES, SIDE, BRANCHES)
    corrected = SELF_SAMPLED * FAULTY * later
    calls = PAINTED_RECORDS * CANVASES * 2 * GPU_SECONDS_PER_CALL
    critiqued = corrected + SELF_SAMPLED * ROUNDS * 2 * GPU_SECONDS_PER_CALL
    kept = SUBSET_SIZES["multi-turn"] / PAINTED_RECORDS
    pictures = PAINTED_RECORDS * CANVASES * PNG_512
    return [
        Stage("multi-turn: paint 48,000 trajectories", painted / GPUS / 3600, pictures),
        Stage("multi-turn: judge them", calls / GPUS / 3600, pictures * kept),
        Stage("self-sampling: paint 24,000", sampled / GPUS / 3600, SELF_SAMPLED * ROUNDS * PNG_512),
        Stage("self-sampling: judge, correct", critiqued / GPUS / 3600, SELF_SAMPLED * 3 * PNG_512),
    ]


def scoring() -> list[Stage]:
    """GenEval and WISE of the start and of the result."""
    pictures = PROMPTS * SEEDS + WISE_PROMPTS
    start = pictures * painting_seconds(1, 0, RELEASED_SIDE, 2)
    result = pictures * painting_seconds(ROUNDS, MESSAGES, SIDE, BRANCHES)
    scored = 2 * PROMPTS * SEEDS * GPU_SECONDS_PER_DETECTION * GPUS + 2 * WISE_PROMPTS * GPU_SECONDS_PER_CALL
    return [
        Stage("GenEval and WISE: paint", (start + result) / GPUS / 3600, pictures * (PNG_1024 + 3 * PNG_512)),
        Stage("GenEval and WISE: score", scored / GPUS / 3600, 0),
    ]


def training(recipe: str, model: str) -> tuple[Stage, Estimate]:
    """Return a run by its dry run; three checkpoints are there while one is written."""
    config = recipe_config(recipe, model)
    found = estimate(config, RunData.open(config), GPUS, Speed.stated(FLOPS))
    stored = (config.running.keep + 1) * STORED * found.trainable
    exported = 2 * (found.trainable + found.frozen)
    return Stage(f"train: `{recipe}`", found.seconds / 3600, stored + exported), found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    model = parser.parse_args().model
    painted, judged, sampled, critiqued = building()
    first, last = (training(name, model)[0] for name in ("bagel-7b-multi-turn", "bagel-7b-process"))
    stages = [painted, judged, first, sampled, critiqued, last, *scoring()]
    total = Stage("all", sum(stage.hours for stage in stages), sum(stage.bytes for stage in stages))
    for stage in (*stages, total):
        Console(width=140).print(stage.row(), markup=False, highlight=False)


if __name__ == "__main__":
    main()
