"""Options of every command that queries a judge."""

from pathlib import Path
from typing import Annotated

import typer

from strokewise.cli.options import MAX_MONEY

JudgeUrl = Annotated[
    str | None, typer.Option(help="URL of the judge's API; default: OPENAI_BASE_URL, or OpenAI.")
]
JudgeCache = Annotated[
    Path | None,
    typer.Option(
        help="Folder where the judge's answers are kept; default: one in what is written (eval run: none)."
    ),
]
MaxRequests = Annotated[
    int | None, typer.Option(min=1, max=MAX_MONEY, help="Largest number of requests to the judge.")
]
