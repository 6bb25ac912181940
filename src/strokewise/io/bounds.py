"""Numbers of settings within stated bounds: none is accepted that means nothing. Knows dataclasses."""

from strokewise.errors import ConfigError

LARGEST = 10**12  # any number of a setting, unless it is bounded otherwise
LARGEST_SEED = 2**63 - 1


def check_numbers(settings: object, **bounds: tuple[float, float]) -> None:
    """Refuse numbers of a dataclass that are not finite or out of bounds, those in its tuples included.

    Args:
        settings: the dataclass.
        bounds: the smallest and the largest value of a field; those of others lie within ``LARGEST``.

    Raises:
        ConfigError: naming the field and its bounds.
    """
    for name, value in vars(settings).items():
        low, high = bounds.get(name, (-LARGEST, LARGEST))
        numbers = value if isinstance(value, tuple) else (value,)
        for number in numbers:
            # Not the reverse, so that NaN, which compares with nothing, is refused.
            if isinstance(number, int | float) and not low <= number <= high:
                raise ConfigError(f"{name} is {value}; it must lie in {low:,} to {high:,}")
