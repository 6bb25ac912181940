"""OKLab: a color space in which equal steps look about equal. Only the two conversions."""

from __future__ import annotations

import numpy as np

# Björn Ottosson, "A perceptual color space for image processing" (2020); public domain.
_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_FROM_LAB = np.linalg.inv(_TO_LAB)
_FROM_LMS = np.linalg.inv(_TO_LMS)


def srgb_to_oklab(pixels: np.ndarray) -> np.ndarray:
    """Convert sRGB [..., 3] in 0..255 to OKLab [..., 3]: lightness 0..1, then green-red and blue-yellow."""
    value = np.asarray(pixels, np.float64) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T


def oklab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """Convert OKLab [..., 3] to sRGB [..., 3] in 0..255, floats; what sRGB cannot show is clipped."""
    linear = ((np.asarray(lab, np.float64) @ _FROM_LAB.T) ** 3) @ _FROM_LMS.T
    linear = linear.clip(0, 1)
    value = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return value * 255
