"""Model folders to the hub: what is uploaded, and what must be there before. Downloads are ``registry``'s.

Knows files and their kinds; refuses to know models. Only safetensors and texts leave, and models of other
libraries are loaded from safetensors alone: weights of other kinds are pickles, which run code where they are
read.
"""

from pathlib import Path
from typing import Any

from strokewise.errors import CheckpointError
from strokewise.models.registry import architecture_of

CARD = "README.md"
# How the weights were trained, as an export states it for the card.
TRAINING = "training.json"
UPLOADED = ("*.safetensors", "*.json", "*.txt", CARD)


def push_folder(folder: Path, repo: str, revision: str | None = None, private: bool = False) -> str:
    """Upload a model folder to the hub, to a new repository if need be; returns the commit's address.

    Args:
        folder: weights, configuration, tokenizer and the card ``README.md``; subfolders are left out.
        repo: ``owner/name``.
        revision: branch to commit to, made if it is not there; None: the main one.
        private: whether a repository that is made is private.

    Raises:
        CheckpointError: if the folder holds no model or no card, or the hub refuses.
    """
    from httpx import HTTPError
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    architecture_of(folder)
    if not (folder / CARD).exists():
        raise CheckpointError(
            f"{folder} has no card ({CARD}), which states data, recipe and figures; strokewise hub card"
            " writes one"
        )
    files = sorted({path for pattern in UPLOADED for path in folder.glob(pattern) if path.is_file()})
    api = HfApi()
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repo, branch=revision, exist_ok=True)
        # One commit, so that nobody ever downloads a part of it.
        commit = api.create_commit(
            repo,
            [CommitOperationAdd(path.name, path) for path in files],
            commit_message="Model, configuration, tokenizer and card",
            revision=revision,
        )
    except (HfHubHTTPError, HFValidationError, HTTPError, OSError) as error:
        raise CheckpointError(
            f"cannot upload {folder} to {repo} ({type(error).__name__}: {error}); check the name, the"
            " network, and that you are logged in (hf auth login)"
        ) from error
    return commit.commit_url


def pretrained(model: str) -> dict[str, Any]:
    """Arguments of other libraries' ``from_pretrained``, for weights that are safetensors.

    Args:
        model: a folder, or a hub id that may state a revision (``owner/name@revision``).
    """
    name, _, revision = (model, "", "") if Path(model).is_dir() else model.partition("@")
    return {"pretrained_model_name_or_path": name, "revision": revision or "main", "use_safetensors": True}
