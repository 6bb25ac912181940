"""What a session costs, counted by the engine. Values only; it refuses to weigh them."""

from dataclasses import dataclass


@dataclass
class Usage:
    """What a session has cost so far.

    Attributes:
        flow_steps: velocity evaluations; guidance does not multiply them.
        passes: the same with every guidance branch counted.
        text_tokens: tokens the model wrote.
        images: canvases the model painted.
        queries: put to judges and other helpers by the policy.
    """

    flow_steps: int = 0
    passes: int = 0
    text_tokens: int = 0
    images: int = 0
    queries: int = 0
