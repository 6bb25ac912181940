"""The known architectures, and the functions that load a checkpoint of any of them by name.

An architecture is a package in this folder with an attribute ``ARCHITECTURE``, so that a new one needs no
entry elsewhere, or an object that a caller registers. Knows folders and names; refuses to know any network.
"""

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

import strokewise.models
from strokewise.errors import CheckpointError
from strokewise.io.outside import read_object
from strokewise.models.backbone import Architecture, Backbone, BackboneConfig

CONFIG = "strokewise.json"
# Checkpoints written before architectures had names are all of this one.
DEFAULT = "bagel"
SHIPPED = Path(__file__).parents[1] / "weights"
DOWNLOADED = ["*.json", "*.safetensors", "merges.txt"]

_registered: dict[str, Architecture] = {}


def register(architecture: Architecture) -> None:
    """Make an architecture known that lives outside this folder."""
    _registered[architecture.name] = architecture


def architectures() -> dict[str, Architecture]:
    """Return all known architectures by name."""
    return _found() | _registered


def is_local(model: str | Path) -> bool:
    """Return whether a name is that of a folder; an empty one hides no built-in model of its name."""
    if not Path(model).is_dir():
        return False
    return any(Path(model).iterdir()) or str(model) not in _built_in()


def _built_in() -> set[str]:
    hub_names = {name for kind in architectures().values() for name in kind.hub_ids}
    return hub_names | {path.name for path in SHIPPED.glob("*/")}


def find_checkpoint(model: str | Path) -> Path:
    """Find the folder of a checkpoint: a path, a built-in name, or a hub id (downloaded once, then cached).

    A hub id may state a revision (branch, tag or commit): ``owner/name@revision``.

    Raises:
        CheckpointError: if there is no such folder and the hub cannot give it.
    """
    if not isinstance(model, str | Path):
        raise CheckpointError(f"a model is named by a folder, a built-in name or a hub id, not {model!r:.60}")
    if is_local(model):
        return Path(model)
    name = str(model)
    if (SHIPPED / name / CONFIG).exists():
        return SHIPPED / name
    built_in = {key: hub for kind in architectures().values() for key, hub in kind.hub_ids.items()}
    stem, _, revision = name.partition("@")
    hub_id = built_in.get(stem, stem)
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", hub_id) or Path(name).is_absolute():
        known = ", ".join(sorted(_built_in()))
        raise CheckpointError(
            f"no model {name!r}: not a folder, not a hub id (owner/name or owner/name@revision), not one of"
            f" {known}"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, revision=revision or None, allow_patterns=DOWNLOADED))
    except Exception as error:  # the hub raises many kinds; all mean the same to a user
        raise CheckpointError(
            f"cannot get {name} from the hub ({type(error).__name__}: {error});"
            " check the name and the network, or give the path of a downloaded folder"
        ) from error


def architecture_of(folder: Path) -> Architecture:
    """Return the architecture of the checkpoint in a folder.

    Raises:
        CheckpointError: if the folder holds no checkpoint, or one of an unknown architecture.
    """
    known = architectures()
    if (folder / CONFIG).exists():
        name = _stated(folder / CONFIG)
        if name not in known:
            raise CheckpointError(
                f"{folder / CONFIG} is of the architecture {name!r}; known are {', '.join(sorted(known))}"
            )
        return known[name]
    for architecture in known.values():
        if architecture.recognizes(folder):
            return architecture
    raise CheckpointError(
        f"{folder} holds no model: expected {CONFIG}, or BAGEL's llm_config.json and vit_config.json"
    )


def read_config(model: str | Path) -> BackboneConfig:
    """Read the sizes of a checkpoint; the argument is as for :func:`load_model`.

    Raises:
        CheckpointError: if it cannot be found, or its configuration is damaged.
    """
    folder = find_checkpoint(model)
    return architecture_of(folder).read_config(folder)


def load_model(
    model: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    quantize: str | None = None,
) -> Backbone:
    """Load a checkpoint of any known architecture, ready for inference.

    Args:
        model: folder, built-in name (``nano``, ``bagel-7b``) or hub id.
        device: where the weights go; they are streamed there tensor by tensor.
        dtype: precision they are converted to on the way.
        quantize: None, ``int8`` or ``nf4``: store the decoder's linear layers in 8 or 4 bits.

    Raises:
        CheckpointError: if weights are missing, unexpected, of another shape, truncated or not finite.
    """
    folder = find_checkpoint(model)
    return architecture_of(folder).load(folder, torch.device(device), dtype, quantize)


def read_weights(
    model: str | Path, wanted: Mapping[str, Tensor], dtype: torch.dtype
) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights of a checkpoint one after another; see ``Architecture.read_weights``."""
    folder = find_checkpoint(model)
    return architecture_of(folder).read_weights(folder, wanted, dtype)


@cache
def _found() -> dict[str, Architecture]:
    """Return the architectures of the packages beside this file."""
    packages = [info.name for info in pkgutil.iter_modules(strokewise.models.__path__) if info.ispkg]
    modules = [importlib.import_module(f"strokewise.models.{name}") for name in packages]
    return {module.ARCHITECTURE.name: module.ARCHITECTURE for module in modules}


def _stated(path: Path) -> str:
    """Return the name of an architecture, whatever JSON has in its place."""
    return str(read_object(path, CheckpointError).get("architecture", DEFAULT))
