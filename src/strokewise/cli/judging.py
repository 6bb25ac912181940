"""Options of every command that queries a judge, and the judge or critic that they name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from strokewise.cli.options import MAX_MONEY

if TYPE_CHECKING:
    from strokewise.critics.judges import Judge
    from strokewise.critics.rewards import RewardCritic
    from strokewise.critics.vlm_client import VlmClient

ORACLE = "oracle"
JudgeName = Annotated[str, typer.Option(help="Vision model that judges; oracle: the sprite world's own.")]

JudgeUrl = Annotated[
    str | None, typer.Option(help="URL of the judge's API; default: OPENAI_BASE_URL, or OpenAI.")
]
JudgeCache = Annotated[
    Path | None,
    typer.Option(
        help="Folder where the judge's answers are kept; default: inside the output folder (eval run: none)."
    ),
]
MaxRequests = Annotated[
    int | None, typer.Option(min=1, max=MAX_MONEY, help="Largest number of requests to the judge.")
]
MaxTokens = Annotated[
    int | None, typer.Option(min=1, max=MAX_MONEY, help="Largest number of tokens that the judge uses.")
]


def judge_named(name: str, url: str | None, cache: Path, requests: int | None, tokens: int | None) -> "Judge":
    """Return the oracle, or a vision model behind an API."""
    from strokewise.critics.judges import OracleJudge, VlmJudge

    return OracleJudge() if name == ORACLE else VlmJudge(client_named(name, url, cache, requests, tokens))


def critic_named(
    name: str, url: str | None, cache: Path, requests: int | None, tokens: int | None
) -> "RewardCritic":
    """Return the oracle with the recognizer, or a vision model as judge and as verifier, with one budget."""
    from strokewise.critics.judges import OracleJudge, VlmJudge
    from strokewise.critics.rewards import RewardCritic
    from strokewise.critics.verifiers import SpriteVerifier, VlmVerifier

    if name == ORACLE:
        return RewardCritic(OracleJudge(), SpriteVerifier())
    client = client_named(name, url, cache, requests, tokens)
    return RewardCritic(VlmJudge(client), VlmVerifier(client))


def client_named(
    name: str, url: str | None, cache: Path, requests: int | None, tokens: int | None
) -> "VlmClient":
    """Return a vision model behind an API."""
    from strokewise.critics.vlm_client import VlmClient
    from strokewise.io.services import QueryLimits

    return VlmClient(name, url, cache=cache, limits=QueryLimits(requests=requests, tokens=tokens))
