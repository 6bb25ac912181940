"""Options that several commands have, each declared once. Declarations, and the paths they become."""

from pathlib import Path
from typing import Annotated

import typer

from strokewise.cli.options import MAX_BATCH, MAX_SEED, MAX_VALUE


def local_data(text: str) -> Path:
    """Return a path as it is, or a copy of the data sets at a URL."""
    from strokewise.io.remote import local

    return local(text)


_MODEL = "Folder, built-in name or hub id."

ModelArgument = Annotated[str, typer.Argument(help=_MODEL)]
ModelOption = Annotated[str, typer.Option(help=_MODEL)]
Seed = Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Random seed.")]
Seeds = Annotated[str, typer.Option(help="Seeds such as 0-3 or 1,5; one picture for each prompt and seed.")]
Batch = Annotated[int, typer.Option(min=1, max=MAX_BATCH, help="Paintings under way at once.")]
FittingBatch = Annotated[
    str, typer.Option("--batch", help="Paintings under way at once; auto: as many as fit into free memory.")
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; default: a GPU if there is one.")]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")]
FastDtype = Annotated[
    str | None,
    typer.Option(help="float32, bfloat16, float16, or auto: bfloat16 on a CPU that gains by it (measured)."),
]
Quantize = Annotated[str | None, typer.Option(help="int8 or nf4, on CUDA.")]
System = Annotated[str, typer.Option(help="System prompt, for derivatives of BAGEL.")]
PresetName = Annotated[
    str | None,
    typer.Option(
        help="Settings of released code: bagel-app, -edit, -geneval, -wise, -think; thinkmorph, zebra-cot,"
        " unicot, umm-reflection."
    ),
]
FormatName = Annotated[
    str | None,
    typer.Option(help="Protocol format of the model's texts, for derivatives of BAGEL; or strokewise."),
]
Minutes = Annotated[
    float | None,
    typer.Option(min=0, max=MAX_VALUE, help="Stop, with a checkpoint, after so many minutes."),
]
