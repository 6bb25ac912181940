"""Numbers for people: counts with decimal prefixes. Refuses to know what is counted."""


def human(count: float, unit: str = "") -> str:
    """Format a number with a decimal prefix and three digits, such as ``6.36 GFLOP``."""
    for prefix in ("", "k", "M", "G", "T"):
        if abs(count) < 1000:
            return f"{count:.3g} {prefix}{unit}".rstrip() if prefix or unit else f"{count:g}"
        count /= 1000
    return f"{count:.3g} P{unit}"
