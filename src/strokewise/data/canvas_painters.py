"""Canvas painters: what makes the canvas after a step. The sprite renderer is exact, an image editor a model.

This file knows how to get a picture from an instruction or a scene. It refuses to know which instruction
comes next.
"""

import threading
from typing import Any, Protocol

from PIL import Image

from strokewise.errors import ConfigError
from strokewise.world.layout import Scene
from strokewise.world.render import render

KONTEXT = "black-forest-labs/FLUX.1-Kontext-dev"


class CanvasPainter(Protocol):
    """Makes the canvas after a step."""

    def paint(
        self, canvas: Image.Image | None, instruction: str, description: str, scene: Scene | None, seed: int
    ) -> Image.Image:
        """Return the next canvas.

        Args:
            canvas: the one before; None for the first.
            instruction: the stroke in words.
            description: the scene as it should then be.
            scene: the same exactly, where it is known.
            seed: of whatever is random.
        """


class SpritePainter:
    """Renders the exact scene."""

    def __init__(self, size: int = 128) -> None:
        """Paint canvases of ``size`` pixels a side."""
        self.size = size

    def paint(
        self, canvas: Image.Image | None, instruction: str, description: str, scene: Scene | None, seed: int
    ) -> Image.Image:
        """Return the scene, rendered; the words are not needed."""
        assert scene is not None, "the sprite painter renders known scenes"
        return render(scene, self.size)


class NoPainter:
    """Paints next to nothing, where the texts alone are needed."""

    def paint(
        self, canvas: Image.Image | None, instruction: str, description: str, scene: Scene | None, seed: int
    ) -> Image.Image:
        """Return one black pixel."""
        return Image.new("RGB", (1, 1))


class KontextPainter:
    """FLUX.1-Kontext through diffusers: the first canvas from its description, later ones by editing."""

    def __init__(self, pipeline: Any, size: int = 1024, num_steps: int = 28, guidance: float = 2.5) -> None:
        """Use a loaded ``FluxKontextPipeline``."""
        self.pipeline = pipeline
        self.size, self.num_steps, self.guidance = size, num_steps, guidance
        self._alone = threading.Lock()  # a pipeline keeps state while it paints

    @classmethod
    def load(cls, model: str = KONTEXT, device: str = "cuda", size: int = 1024) -> "KontextPainter":
        """Load the released weights in bfloat16, to paint first canvases of ``size`` pixels a side.

        Raises:
            ConfigError: if diffusers is not installed or the weights cannot be had.
        """
        try:
            import torch
            from diffusers import FluxKontextPipeline

            from strokewise.models.hub import pretrained
        except ImportError as error:
            raise ConfigError("this painter needs diffusers: pip install 'strokewise[data]'") from error
        try:
            pipeline = FluxKontextPipeline.from_pretrained(**pretrained(model), torch_dtype=torch.bfloat16)
            pipeline = pipeline.to(device)
        except (OSError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"{model} cannot be loaded on {device}: {error}; accept its license on the hub and log in,"
                " or give the path of a downloaded folder"
            ) from error
        return cls(pipeline, size)

    def paint(
        self, canvas: Image.Image | None, instruction: str, description: str, scene: Scene | None, seed: int
    ) -> Image.Image:
        """Edit the canvas by the instruction, at its own size, or paint the description from scratch."""
        import torch

        width, height = (self.size, self.size) if canvas is None else canvas.size
        with self._alone:
            result = self.pipeline(
                image=canvas,
                prompt=description if canvas is None else instruction,
                height=height,
                width=width,
                max_area=width * height,  # otherwise every size becomes about a megapixel
                _auto_resize=False,  # the canvas is conditioned on at its own size, which is the output's
                num_inference_steps=self.num_steps,
                guidance_scale=self.guidance,
                generator=torch.Generator().manual_seed(seed),
            )
        return result.images[0]
