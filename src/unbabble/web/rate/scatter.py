"""A scatter plot as SVG, made here: opinions against blind scores. No script, no inline style; colours by class."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 16, 52
SHAPES = 5
"""Classes ``s0`` ... ``s4``, each with a colour and a mark of its own."""


def scatter(
    points: Sequence[Mapping[str, Any]], y_range: tuple[float, float], x_label: str, y_label: str, name: str
) -> str:
    """Points with ``blind_db``, ``opinion``, ``system``, ``item``, ``source``: one a separated voice.

    Args:
        points: at least one.
        y_range: of opinions.
        x_label: of the axis.
        y_label: of the axis.
        name: of the picture, for who cannot see it.
    """
    xs = [each["blind_db"] for each in points]
    low, high = _widened(min(xs), max(xs))
    systems = sorted({each["system"] for each in points})

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - y_range[0]) / (y_range[1] - y_range[0]) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg class="scatter" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(name)}">']
    for tick in _ticks(*y_range):
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        )
        parts.append(f'<text x="{LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in _ticks(low, high):
        parts.append(
            f'<line class="grid" y1="{TOP}" y2="{HEIGHT - BOTTOM}" x1="{x(tick):.1f}" x2="{x(tick):.1f}"/>'
        )
        parts.append(
            f'<text x="{x(tick):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:g}</text>'
        )
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x_label)}</text>')
    up = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text transform="translate(16 {up:.0f}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>'
    )
    for each in points:
        shape = systems.index(each["system"]) % SHAPES
        title = escape(
            f"{each['system']}, {each['item']}, voice {each['source']}: "
            f"{each['blind_db']:.1f} dB, opinion {each['opinion']:.2f}"
        )
        parts.append(f"{mark(shape, x(each['blind_db']), y(each['opinion']))}<title>{title}</title></g>")
    parts.append("</svg>")
    return "".join(parts)


def mark(shape: int, x: float, y: float) -> str:
    """An open group with the mark of a system: systems differ by more than their colour."""
    at = f"translate({x:.1f} {y:.1f})"
    drawn = (
        '<circle r="4.5"/>',
        '<rect x="-4" y="-4" width="8" height="8"/>',
        '<path d="M0-5.5 5.2 4-5.2 4Z"/>',
        '<path d="M0-5.5 5.5 0 0 5.5-5.5 0Z"/>',
        '<path d="M-4.5-4.5 4.5 4.5M-4.5 4.5 4.5-4.5"/>',
    )[shape % SHAPES]
    return f'<g class="s{shape % SHAPES}" transform="{at}">{drawn}'


def _widened(low: float, high: float) -> tuple[float, float]:
    room = max(0.06 * (high - low), 0.5)
    return low - room, high + room


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers, four to ten of them."""
    span = high - low
    step = 10.0 ** len(str(int(span))) / 10
    for factor in (10, 5, 2.5, 2, 1, 0.5, 0.25, 0.2, 0.1):
        if span / (step * factor) >= 4:
            step *= factor
            break
    first = -(-low // step)
    ticks = []
    while first * step <= high + 1e-9:
        ticks.append(round(first * step, 6) + 0.0)  # no -0
        first += 1
    return ticks
