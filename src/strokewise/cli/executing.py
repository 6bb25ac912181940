"""Options of every command whose units of work can run elsewhere, and the executor that they name."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from strokewise.data.executor import Executor

ExecutorName = Annotated[
    str | None,
    typer.Option(
        help="Where the work is done: inline, processes or ray; default: processes with --workers above 1."
    ),
]
Address = Annotated[
    str | None, typer.Option(help="Address of the Ray cluster; default: RAY_ADDRESS, or a new one here.")
]
Gpus = Annotated[float, typer.Option(min=0, max=64, help="GPUs that each worker reserves on Ray.")]


def executor_named(name: str | None, workers: int, address: str | None, gpus: float) -> "Executor":
    """Return the executor that the options name."""
    from strokewise.data.executor import INLINE, PROCESSES, Executor

    return Executor(name or (PROCESSES if workers > 1 else INLINE), workers, address, gpus)
