"""One chart: points of accuracy over cost with intervals, as SVG without scripts, readable in dark and light.

Knows numbers, labels and coordinates; what they mean is the caller's.
"""

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 60, 20, 20, 50
COLORS = ("#3b6fb6", "#c2571a", "#2f8a57", "#8d4fa8", "#a8811a", "#b33a5b", "#35838c")
# From this ratio of the largest to the least cost on, equal distances are equal factors.
_LOGARITHMIC = 8


@dataclass(frozen=True)
class Point:
    """A point with its name; low and high bound its value."""

    name: str
    cost: float
    value: float
    low: float
    high: float


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from ``low`` to ``high``: multiples of 1, 2 or 5 times a power of ten."""
    span = max(high - low, 1e-9)
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(m * power for m in (1, 2, 5, 10) if span / (m * power) <= most)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def scatter(points: Sequence[Point], x_label: str, y_label: str) -> str:
    """Return the chart; values are shares, 0..1, costs are positive."""
    costs = [point.cost for point in points if point.cost > 0] or [1.0]
    logarithmic = max(costs) / min(costs) >= _LOGARITHMIC
    low, high = (min(costs) / 1.3, max(costs) * 1.3) if logarithmic else (0.0, max(costs) * 1.1)

    def x(cost: float) -> float:
        scale = math.log if logarithmic else float
        share = (scale(max(cost, low)) - scale(low)) / (scale(high) - scale(low))
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value * (HEIGHT - TOP - BOTTOM)

    marks = _factors(low, high) if logarithmic else ticks(low, high)
    axes = [_line(LEFT, y(v), WIDTH - RIGHT, y(v), "grid") for v in ticks(0, 1)]
    axes += [_text(LEFT - 8, y(v) + 4, f"{v:.1f}", "end") for v in ticks(0, 1)]
    axes += [_line(x(c), y(0), x(c), y(0) + 5, "axis") for c in marks]
    axes += [_text(x(c), y(0) + 19, f"{c:,.4g}", "middle") for c in marks]
    axes += [_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label, "middle")]
    axes += [_text(LEFT, TOP - 7, y_label, "start"), _line(LEFT, y(0), WIDTH - RIGHT, y(0), "axis")]
    shown = [_point(point, x(point.cost), y, COLORS[i % len(COLORS)]) for i, point in enumerate(points)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{html.escape(f"{y_label} over {x_label}")}" font-family="system-ui,sans-serif" '
        'font-size="12" fill="#7a746c">'
        "<style>.grid{stroke:#8884}.axis{stroke:#888}</style>"
        f"{''.join(axes)}{''.join(shown)}</svg>"
    )


def _factors(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]


def _point(point: Point, x: float, y: Callable[[float], float], color: str) -> str:
    name = html.escape(point.name)
    # Names of points on the right stand on their left, where there is room.
    anchor, shift = ("end", -8) if x > WIDTH * 0.6 else ("start", 8)
    tooltip = html.escape(f"{point.name}: {point.value:.3f} at {point.cost:,.4g}")
    return (
        f'<g stroke="{color}" fill="{color}"><title>{tooltip}</title>'
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y(point.low):.1f}" y2="{y(point.high):.1f}"/>'
        f'<circle cx="{x:.1f}" cy="{y(point.value):.1f}" r="4"/>'
        f'<text x="{x + shift:.1f}" y="{y(point.value) - 6:.1f}" text-anchor="{anchor}" stroke="none">'
        f"{name}</text></g>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>'
