"""Units of work that need a model: it is loaded once in each worker, and is the one at hand in this process.

Knows executors and threads; it refuses to know models and units.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import torch

from strokewise.data.executor import INLINE, Executor

Model = TypeVar("Model")
Unit = TypeVar("Unit")
Result = TypeVar("Result")


def run_loaded(
    executor: Executor,
    do: Callable[[Model, Unit], Result],
    units: Sequence[Unit],
    here: Model,
    load: Callable[[], Model] | None = None,
) -> Iterator[Result]:
    """Return the results of units, in the order in which they are finished.

    Args:
        executor: where they are done.
        do: does one with a model. It and the units can be pickled.
        units: what to do.
        here: the model in this process.
        load: called once in each worker that is not this process, to give it the model; can be pickled.
            Without it the model itself is sent there.

    Raises:
        StrokewiseError: as :meth:`Executor.run`.
    """
    if executor.kind == INLINE or load is None:
        load = partial(_same, here)
    return executor.run(partial(_begin, load, do, torch.get_num_threads()), units)


def _same(model: Model) -> Model:
    return model


def _begin(
    load: Callable[[], Model], do: Callable[[Model, Unit], Result], threads: int
) -> Callable[[Unit], Result]:
    """Return what does a unit. Sums may depend on the number of threads, so it is the same everywhere."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
    return partial(do, load())
