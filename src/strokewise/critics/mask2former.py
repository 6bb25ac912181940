"""GenEval's detector for real pictures: Mask2Former on COCO finds things, CLIP names their colors.

The processing around the released weights follows the harness GenEval runs (mmdetection 2.x with
`mask2former_swin-s-p4-w7-224_lsj_8x2_50e_coco`), not transformers' own processor, which resizes and cuts out
masks otherwise; docs/evaluation.md lists what still differs. This file refuses to know what a picture was
meant to show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional

from strokewise.critics.clip_colors import ClipColors
from strokewise.critics.geneval_rules import SCORE, Detection
from strokewise.errors import CheckpointError, ConfigError
from strokewise.models.hub import pretrained
from strokewise.world.vocabulary import CLASSES

if TYPE_CHECKING:
    from transformers import Mask2FormerForUniversalSegmentation

# The harness's test pipeline: edges in pixels, and what pads the lower right, before normalization.
_LONGER, _SHORTER = 1333, 800
_MULTIPLE, _PADDING = 32, 128.0
_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_MOST = 100  # things of a picture


class Mask2FormerDetector:
    """Mask2Former for the 80 classes of COCO, and CLIP for colors.

    segmenter: in evaluation mode, its labels those of COCO in COCO's order.
    longer, shorter: bounds in pixels on the edges that a picture is brought to before detection.
    """

    def __init__(
        self,
        segmenter: Mask2FormerForUniversalSegmentation,
        colors: ClipColors,
        longer: int = _LONGER,
        shorter: int = _SHORTER,
    ) -> None:
        if segmenter.config.num_labels != len(CLASSES):
            raise CheckpointError(
                f"GenEval's detector finds COCO's {len(CLASSES)} classes, not {segmenter.config.num_labels}"
            )
        self.segmenter = segmenter
        self.colors = colors
        self.bounds = (longer, shorter)

    @classmethod
    def load(
        cls,
        segmenter: str,
        clip: str = "openai/clip-vit-large-patch14",
        device: str = "cpu",
    ) -> Mask2FormerDetector:
        """Load released weights in float32, from folders or the hub.

        Raises:
            ConfigError: if transformers is not installed.
            CheckpointError: if weights cannot be loaded, or are for other classes than COCO's.
        """
        try:
            from transformers import Mask2FormerForUniversalSegmentation
        except ImportError as error:
            raise ConfigError("this detector needs transformers: pip install 'strokewise[eval]'") from error
        try:
            model = Mask2FormerForUniversalSegmentation.from_pretrained(**pretrained(segmenter))
            model = model.float().eval().to(device)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            raise CheckpointError(f"{segmenter} cannot be loaded on {device}: {error}") from error
        return cls(model, ClipColors.load(clip, device))

    @torch.inference_mode()
    def detect(self, image: Image.Image) -> list[Detection]:
        """Return the things in a picture with boxes and masks, without colors."""
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
        batch, seen = preprocess(pixels, *self.bounds)
        output = self.segmenter(pixel_values=batch.to(self.segmenter.device))
        scores, labels, logits = _candidates(output.class_queries_logits[0], output.masks_queries_logits[0])
        masks = _to_picture(logits, batch.shape[-2:], seen, pixels.shape[-2:])
        scores = scores * _sureness(masks)
        found = zip(scores.tolist(), labels.tolist(), (masks > 0).cpu().numpy(), strict=True)
        return [
            Detection(CLASSES[label], score, _box(mask), mask=mask)
            for score, label, mask in found
            if score > SCORE
        ]

    def name_colors(self, image: Image.Image, detections: Sequence[Detection]) -> list[str | None]:
        """Return the color of each thing by CLIP, always one of the ten."""
        return list(self.colors.name(image.convert("RGB"), detections))


def preprocess(
    pixels: Tensor, longer: int = _LONGER, shorter: int = _SHORTER
) -> tuple[Tensor, tuple[int, int]]:
    """Return a picture as the harness brings it to the detector.

    Resized so that neither edge exceeds its bound, bilinear without smoothing and rounded to whole values as
    OpenCV does; padded with gray at the lower right; normalized.

    Args:
        pixels: [3, height, width] uint8.
        longer: bound on the longer edge.
        shorter: bound on the shorter edge.

    Returns:
        The batch [1, 3, ...] float32, and the (height, width) in it that is not padding.
    """
    height, width = pixels.shape[-2:]
    scale = min(longer / max(height, width), shorter / min(height, width))
    size = (int(height * scale + 0.5), int(width * scale + 0.5))
    resized = functional.interpolate(pixels[None].float(), size, mode="bilinear", align_corners=False).round()
    margins = (0, -size[1] % _MULTIPLE, 0, -size[0] % _MULTIPLE)
    padded = functional.pad(resized, margins, value=_PADDING)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (_MEAN, _STD))
    return (padded - mean) / std, size


def _candidates(classes: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores, labels and mask logits of the surest pairs of query and class.

    A query may stand for several classes. The score only falls by the sureness of the mask, so what is not
    above SCORE by now need not be brought to the size of the picture.
    """
    scores = classes.softmax(-1)[:, :-1]
    surest, where = scores.flatten().topk(min(_MOST, scores.numel()))
    surest, where = surest[surest > SCORE], where[surest > SCORE]
    return surest, where % scores.shape[1], masks[where // scores.shape[1]]


def _to_picture(
    logits: Tensor, padded: Sequence[int], seen: tuple[int, int], picture: Sequence[int]
) -> Tensor:
    """Mask logits [things, height, width] of the picture's own size: unpadded between two bilinear steps."""
    if not len(logits):
        return logits.new_zeros(0, *picture)
    full = functional.interpolate(logits[None], tuple(padded), mode="bilinear", align_corners=False)
    full = full[..., : seen[0], : seen[1]]
    return functional.interpolate(full, tuple(picture), mode="bilinear", align_corners=False)[0]


def _sureness(masks: Tensor) -> Tensor:
    """Return the mean probability within each mask; 0 for an empty one."""
    inside = (masks > 0).float()
    return (masks.sigmoid() * inside).sum((1, 2)) / (inside.sum((1, 2)) + 1e-6)


def _box(mask: np.ndarray) -> tuple[float, float, float, float]:
    """Return the box around a mask that is not empty, its lower right corner outside the last pixel."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
