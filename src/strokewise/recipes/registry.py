"""All recipes by name. A recipe returns a complete training configuration; a run is one, perhaps changed.

Knows names, the checkpoint to start from and where the data lie; what a recipe trains is decided in its file.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from strokewise.data.rollouts import Prompts
from strokewise.datasets.records import SUBSET_SIZES, Rendered, Shards
from strokewise.datasets.samples import SourceConfig
from strokewise.errors import ConfigError
from strokewise.recipes.bagel import bagel_7b_lora, bagel_7b_multi_turn, bagel_7b_process
from strokewise.recipes.nano.stages import STAGES
from strokewise.recipes.reinforcement import REINFORCEMENT
from strokewise.train.config import TrainConfig
from strokewise.train.reinforcement import ReinforcementConfig

TrainRecipe = Callable[[str, Path | None], TrainConfig]


def recipe_config(recipe: str, model: str, data: Path | None = None) -> TrainConfig:
    """Return the configuration of a recipe, in the sprite world or on built data sets.

    Args:
        recipe: one of ``RECIPES``, such as ``nano-base``.
        model: the checkpoint to start from.
        data: folder of the built subsets, ``multi-turn``, ``conflict`` and ``alignment``; with None the
            sprite world is rendered during training.

    Raises:
        ConfigError: if there is no such recipe.
    """
    if recipe not in RECIPES:
        raise ConfigError(f"unknown recipe {recipe!r}; known are {', '.join(RECIPES)}")
    return RECIPES[recipe](model, data)


def reinforcement_config(
    recipe: str, model: str, objective: str, prompts: Prompts | None = None
) -> ReinforcementConfig:
    """Return the configuration of a recipe of reinforcement.

    Args:
        recipe: one of ``REINFORCEMENT``, such as ``nano-rl``.
        model: the checkpoint to start from.
        objective: raft, grpo or nft.
        prompts: what is painted; default: prompts of sampled scenes.

    Raises:
        ConfigError: if there is no such recipe or objective.
    """
    if recipe not in REINFORCEMENT:
        raise ConfigError(f"unknown recipe {recipe!r}; known are {', '.join(REINFORCEMENT)}")
    return REINFORCEMENT[recipe](model, objective, prompts)


def imported_config(name: str) -> TrainConfig:
    """Return what ``package.module:function`` returns; modules of the working directory are found.

    Raises:
        ConfigError: if there is no such function, or it returns something else.
    """
    module, _, function = name.partition(":")
    sys.path.insert(0, "")
    try:
        made = getattr(importlib.import_module(module), function)()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(
            f"no recipe {name!r}: expected PACKAGE.MODULE:FUNCTION, a function without arguments ({error})"
        ) from error
    finally:
        sys.path.remove("")
    if not isinstance(made, TrainConfig):
        raise ConfigError(f"{name} returned a {type(made).__name__}, not a TrainConfig")
    return made


def _on_subsets(
    make: Callable[..., TrainConfig], subsets: Sequence[str] = tuple(SUBSET_SIZES)
) -> TrainRecipe:
    """Return a recipe of some of the subsets and plain text-to-image samples, on rendered or built data."""

    def recipe(model: str, data: Path | None) -> TrainConfig:
        def source(subset: str, view: str = "process") -> SourceConfig:
            return Rendered(subset, view) if data is None else Shards(str(data / subset), view)

        return make(model, *(source(subset) for subset in subsets), source("multi-turn", "caption"))

    return recipe


RECIPES: dict[str, TrainRecipe] = {
    **STAGES,
    "bagel-7b-multi-turn": _on_subsets(bagel_7b_multi_turn, ("multi-turn",)),
    "bagel-7b-process": _on_subsets(bagel_7b_process),
    "bagel-7b-lora": _on_subsets(bagel_7b_lora),
}
