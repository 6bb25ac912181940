"""Strokewise: process-driven image generation, in rounds of plan, sketch, inspect and refine."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from strokewise.inference.painter import Painter, PaintingOptions

__version__ = "0.1.0"

__all__ = ["Painter", "PaintingOptions", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the painter on first use: it needs torch, which importing the package must not."""
    if name in ("Painter", "PaintingOptions"):
        from strokewise.inference import painter

        return getattr(painter, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
