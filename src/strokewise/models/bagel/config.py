"""Sizes of the unified model and its parts. Numbers only: no tensors, no files, no prompts."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from strokewise.errors import ConfigError
from strokewise.io.schema import checked
from strokewise.sequence import ImageLimits

LARGEST = 2**31  # any size of a model


def _check_sizes(config: object) -> None:
    """Refuse sizes that no network can have."""
    for name, value in vars(config).items():
        sizes = value if isinstance(value, tuple) else [value]
        if not all(0 < size < LARGEST for size in sizes if isinstance(size, int)):
            raise ConfigError(f"{name} is {value}; sizes lie in 1..{LARGEST - 1}")


@dataclass(frozen=True)
class LanguageConfig:
    """The mixture-of-transformers decoder (Qwen2.5 shape, every layer doubled into two experts)."""

    vocab_size: int = 152064
    hidden_size: int = 3584
    intermediate_size: int = 18944
    num_layers: int = 28
    num_heads: int = 28
    num_kv_heads: int = 4
    rope_theta: float = 1e6
    norm_eps: float = 1e-6
    max_positions: int = 32768

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.hidden_size // self.num_heads

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be, or do not divide."""
        _check_sizes(self)
        if self.hidden_size % self.num_heads or self.head_dim % 2:
            raise ConfigError(
                f"hidden_size {self.hidden_size} over {self.num_heads} heads gives no even head size"
            )
        if self.num_heads % self.num_kv_heads:
            raise ConfigError(
                f"{self.num_heads} heads cannot share {self.num_kv_heads} key-value heads evenly"
            )


@dataclass(frozen=True)
class VisionConfig:
    """The SigLIP encoder that reads images for understanding."""

    hidden_size: int = 1152
    intermediate_size: int = 4304
    num_layers: int = 26
    num_heads: int = 16
    patch_size: int = 14
    image_size: int = 980
    norm_eps: float = 1e-6
    side: int = 70

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be."""
        _check_sizes(self)

    @property
    def patch_channels(self) -> int:
        """Numbers in one flattened RGB patch."""
        return self.patch_size**2 * 3

    @property
    def learned_side(self) -> int:
        """Patches per side of the learned position table."""
        return self.image_size // self.patch_size


@dataclass(frozen=True)
class AutoencoderConfig:
    """The FLUX autoencoder between pixels and latents.

    Attributes:
        groups: of channels that are normalized together. With one channel a group the brightness of a flat
            picture would be lost, so narrow autoencoders need fewer.
    """

    channels: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    latent_channels: int = 16
    scale: float = 0.3611
    shift: float = 0.1159
    groups: int = 32

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be."""
        _check_sizes(self)
        if not 0 < len(self.multipliers) <= 16:
            raise ConfigError(f"multipliers are {len(self.multipliers)}; an autoencoder has 1 to 16 levels")

    @property
    def downsample(self) -> int:
        """Pixels per latent along one side."""
        return 2 ** (len(self.multipliers) - 1)


@dataclass(frozen=True)
class ModelConfig:
    """All of the unified model; the defaults are BAGEL-7B-MoT's.

    Attributes:
        latent_patch: latents per latent token along one side.
        latent_side: latent tokens per side of the largest canvas (side of the position table).
        canvas_min: smallest side, in pixels, an image given as condition is resized to.
        canvas_max: largest side of a canvas; None: all that the table of positions holds.
        vision_min, vision_max: the same and the largest for the ViT's copy.
    """

    language: LanguageConfig = field(default_factory=LanguageConfig)
    vision: VisionConfig = field(default_factory=VisionConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    latent_patch: int = 2
    latent_side: int = 64
    canvas_min: int = 512
    canvas_max: int | None = None
    vision_min: int = 224
    vision_max: int = 980

    def __post_init__(self) -> None:
        """Refuse sizes that cannot be."""
        _check_sizes(self)

    @property
    def latent_stride(self) -> int:
        """Pixels per latent token along one side."""
        return self.autoencoder.downsample * self.latent_patch

    @property
    def token_channels(self) -> int:
        """Numbers in one latent token."""
        return self.latent_patch**2 * self.autoencoder.latent_channels

    @property
    def max_positions(self) -> int:
        """Rotary positions the decoder was trained for."""
        return self.language.max_positions

    @property
    def canvas_limits(self) -> ImageLimits:
        """Sizes in pixels an image may have to be painted, or to be encoded to latents."""
        table = self.latent_side * self.latent_stride
        return ImageLimits(self.latent_stride, self.canvas_min, self.canvas_max or table)

    @property
    def vision_limits(self) -> ImageLimits:
        """Sizes in pixels of the copy of an image that the ViT reads."""
        return ImageLimits(self.vision.patch_size, self.vision_min, self.vision_max)

    def limited(self, canvas: int | None, view: int | None) -> "ModelConfig":
        """See ``BackboneConfig.limited``."""
        canvases, views = self.canvas_limits.limited(canvas), self.vision_limits.limited(view)
        return replace(
            self,
            canvas_min=canvases.smallest,
            canvas_max=self.canvas_max if canvas is None else canvases.largest,
            vision_min=views.smallest,
            vision_max=views.largest,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as stored beside the weights."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: object) -> "ModelConfig":
        """Invert :meth:`to_dict`; ConfigError if an entry is unknown, or of another type or size."""
        return checked(cls, values, "the sizes of a model", ConfigError)


def bagel_7b() -> ModelConfig:
    """Return BAGEL-7B-MoT as released."""
    return ModelConfig()


def nano() -> ModelConfig:
    """Return our small model: the same architecture for the sprite world, 128-pixel canvases of 64 latent
    tokens.
    """
    return ModelConfig(
        language=LanguageConfig(
            vocab_size=1024,
            hidden_size=256,
            intermediate_size=704,
            num_layers=6,
            num_heads=4,
            num_kv_heads=2,
            rope_theta=1e6,
            max_positions=4096,
        ),
        vision=VisionConfig(
            hidden_size=192,
            intermediate_size=512,
            num_layers=3,
            num_heads=3,
            patch_size=16,
            image_size=256,
            side=16,
        ),
        autoencoder=AutoencoderConfig(
            channels=32,
            multipliers=(1, 1, 2, 4),
            num_res_blocks=1,
            scale=1.0,
            shift=0.0,
            groups=8,
        ),
        latent_side=16,
        canvas_min=64,
        vision_min=64,
        vision_max=256,
    )
