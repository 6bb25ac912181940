"""The colors of things in real pictures, named by CLIP as in GenEval.

Zero-shot classification into the ten colors, each described by three phrases with the thing's class
(GenEval's paper, section 3; the phrases and the gray ground are the official scorer's). This file knows
pixels, masks and CLIP. It refuses to know how a thing was found and which color a prompt asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional

from strokewise.critics.geneval_rules import Detection
from strokewise.errors import CheckpointError, ConfigError
from strokewise.models.hub import pretrained
from strokewise.world.vocabulary import COLORS

if TYPE_CHECKING:
    from transformers import CLIPModel

_PHRASES = (
    "a photo of a {color} {name}",
    "a photo of a {color}-colored {name}",
    "a photo of a {color} object",
)
_GROUND = "#999999"
# Of the pixels that CLIP was trained on.
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)


class ClipColors:
    """CLIP as a namer of colors.

    clip: a transformers CLIPModel in evaluation mode. tokenizer: its tokenizer.
    """

    def __init__(self, clip: CLIPModel, tokenizer: Any) -> None:
        self.clip = clip
        self.tokenizer = tokenizer
        self._classifiers: dict[str, Tensor] = {}

    @classmethod
    def load(cls, model: str = "openai/clip-vit-large-patch14", device: str = "cpu") -> ClipColors:
        """Load released weights in float32, from a folder or the hub.

        Raises:
            ConfigError: if transformers is not installed.
            CheckpointError: if the weights cannot be loaded.
        """
        try:
            from transformers import CLIPModel, CLIPTokenizer
        except ImportError as error:
            raise ConfigError("this detector needs transformers: pip install 'strokewise[eval]'") from error
        try:
            source = pretrained(model)
            clip = CLIPModel.from_pretrained(**source).float()
            del source["use_safetensors"]
            tokenizer = CLIPTokenizer.from_pretrained(**source)
            return cls(clip.eval().to(device), tokenizer)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"{model} cannot be loaded on {device}: {error}") from error

    def name(self, image: Image.Image, detections: Sequence[Detection]) -> list[str]:
        """Return the color of each thing: the nearest of the ten, whatever the thing looks like."""
        return [self._nearest(crop(image, one), one.name) for one in detections]

    @torch.inference_mode()
    def _nearest(self, picture: Image.Image, name: str) -> str:
        side = self.clip.vision_model.embeddings.image_size
        pixels = preprocess(picture, side)[None].to(self.clip.device)
        seen = self.clip.visual_projection(self.clip.vision_model(pixel_values=pixels).pooler_output)
        logits = functional.normalize(seen, dim=-1) @ self._classifier(name).T
        return COLORS[int(logits.argmax())]

    def _classifier(self, name: str) -> Tensor:
        """Return [colors, features]: the mean of the phrases' unit vectors, made a unit vector again."""
        if name not in self._classifiers:
            phrases = [phrase.format(color=color, name=name) for color in COLORS for phrase in _PHRASES]
            tokens = self.tokenizer(phrases, padding=True, return_tensors="pt").to(self.clip.device)
            embedded = self.clip.text_projection(self.clip.text_model(**tokens).pooler_output)
            means = functional.normalize(embedded, dim=-1).unflatten(0, (len(COLORS), -1)).mean(1)
            self._classifiers[name] = functional.normalize(means, dim=-1)
        return self._classifiers[name]


def crop(image: Image.Image, detection: Detection) -> Image.Image:
    """Return the thing cut out along its box, with gray where its mask is not."""
    if detection.mask is not None:
        ground = Image.new("RGB", image.size, _GROUND)
        image = Image.composite(image, ground, Image.fromarray(detection.mask))
    return image.crop(detection.box)  # which rounds, halves to even


def preprocess(picture: Image.Image, side: int) -> Tensor:
    """Return pixels as OpenCLIP prepares them: bicubic to `side` along the shorter edge, the middle square,
    normalized.

    Returns:
        [3, side, side] float32.
    """
    width, height = picture.size
    shorter = min(width, height)
    # The longer edge is rounded down, the corner of the square to even, as torchvision does.
    size = (int(side * width / shorter), int(side * height / shorter))
    resized = picture.resize(size, Image.Resampling.BICUBIC)
    left, top = (round((edge - side) / 2) for edge in size)
    square = np.asarray(resized.crop((left, top, left + side, top + side)), np.float32) / 255
    mean, std = (np.array(values, np.float32) for values in (_MEAN, _STD))
    return torch.from_numpy((square - mean) / std).permute(2, 0, 1)
