"""Presets: how released code paints with BAGEL and its derivatives: options, format and strategy by one name.

Settings were read off the released scripts, whose ``num_timesteps=50`` are 49 steps here:
ByteDance-Seed/Bagel (commit 056b5fd), ThinkMorph/ThinkMorph (c1a48ad),
multimodal-reasoning-lab/Bagel-Zebra-CoT (bbf53c3), Fr0zenCrane/UniCoT (56212e4) and
waltstephen/UMM-Reflection (8510796). docs/painting.md and docs/derivatives.md
say what a preset leaves out. Knows values only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from strokewise.errors import ConfigError
from strokewise.inference.formats import PROTOCOL_FORMATS, STROKEWISE, ProtocolFormat
from strokewise.inference.options import OptionChanges

Way = Literal["single-pass", "think", "process"]


@dataclass(frozen=True)
class Preset:
    """Settings of painting under one name.

    Attributes:
        options: of painting.
        strategy: single-pass, think or process; see ``evals.strategies``.
        protocol_format: how messages are read and what stands before the prompt.
    """

    options: OptionChanges
    strategy: Way = "single-pass"
    protocol_format: ProtocolFormat = STROKEWISE


_SCRIPTS: OptionChanges = {"steps": 49, "shift": 3.0, "image_guidance": 1.0, "renorm": "global"}
_EDITING: OptionChanges = {"steps": 49, "shift": 3.0, "text_guidance": 4.0, "image_guidance": 2.0}
PRESETS: dict[str, Preset] = {
    # The app passes no image scale for text-to-image, so its function's default of 1.5 holds. Without an
    # image that multiplies the text scale: 1.5 · 4 - 0.5 = 5.5, and -4.5 for the context without text.
    "bagel-app": Preset({**_SCRIPTS, "text_guidance": 5.5, "interval": (0.4, 1.0)}),
    "bagel-edit": Preset({**_EDITING, "interval": (0.0, 1.0), "renorm": "text_channel"}),
    "bagel-geneval": Preset({**_SCRIPTS, "text_guidance": 4.0, "interval": (0.0, 1.0)}),
    # The script's function has a shift of 4 and no interval as defaults; its main program sets 3 and 0.4.
    "bagel-wise": Preset({**_SCRIPTS, "text_guidance": 4.0, "interval": (0.4, 1.0)}),
    "bagel-think": Preset(
        {
            **_SCRIPTS,
            "text_guidance": 4.0,
            "interval": (0.4, 1.0),
            "temperature": 0.3,
            "max_tokens": 2048,
        },
        "think",
        PROTOCOL_FORMATS["bagel-think"],
    ),
    "thinkmorph": Preset(
        {
            **_SCRIPTS,
            "text_guidance": 3.0,
            "image_guidance": 1.5,
            "interval": (0.4, 1.0),
            "max_tokens": 1000,
            "max_rounds": 3,
        },
        "process",
        PROTOCOL_FORMATS["thinkmorph"],
    ),
    "zebra-cot": Preset(
        {
            **_EDITING,
            "interval": (0.0, 1.0),
            "renorm": "text_channel",
            "temperature": 0.3,
            "max_tokens": 1000,
            "max_rounds": 16,
        },
        "process",
        PROTOCOL_FORMATS["bagel-zebra-cot"],
    ),
    # The first canvas is painted as by BAGEL's app, the others as in its editing; those are our defaults.
    "unicot": Preset(
        {**_EDITING, "temperature": 0.3, "max_tokens": 2048, "max_rounds": 22, "max_images": 22},
        "process",
        PROTOCOL_FORMATS["unicot"],
    ),
    "umm-reflection": Preset(
        {
            **_EDITING,
            "text_guidance": 3.0,
            "size": (512, 512),
            "temperature": 0.5,
            "max_tokens": 512,
            "max_rounds": 4,
        },
        "process",
        PROTOCOL_FORMATS["umm-reflection"],
    ),
}


@dataclass(frozen=True)
class Setup:
    """What a command paints with, a preset and what was given beside it taken together."""

    options: dict[str, Any]
    strategy: Way
    protocol_format: ProtocolFormat


def set_up(preset: str | None, protocol_format: str | None, system: str, options: Mapping[str, Any]) -> Setup:
    """Take a preset and change what was given beside it.

    Args:
        preset: by name; None: the model's own options, the process, our format.
        protocol_format: by name; None: the preset's.
        system: system prompt; empty: the format's own.
        options: of painting.

    Raises:
        ConfigError: if there is no such preset or format.
    """
    base = Preset({}, "process") if preset is None else PRESETS.get(preset)
    if base is None:
        raise ConfigError(f"unknown preset {preset!r}; known are {', '.join(PRESETS)}")
    spoken = base.protocol_format if protocol_format is None else PROTOCOL_FORMATS.get(protocol_format)
    if spoken is None:
        raise ConfigError(
            f"unknown protocol format {protocol_format!r}; known are {', '.join(PROTOCOL_FORMATS)}"
        )
    if system:
        spoken = spoken.with_system(system)
    return Setup({**base.options, **options}, base.strategy, spoken)
