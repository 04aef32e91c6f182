"""Charts as SVG, written by hand: lines on logarithmic axes, and bars. For docs/."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["bars", "lines"]

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 400, 70, 200, 40, 50
COLOURS = ("#0b63c5", "#c0392b", "#1e8449", "#8e44ad", "#b9770e", "#5d6d7e")
STYLE = "font-family:sans-serif;font-size:12px"


def _svg(title: str, height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" style="{STYLE}">'
    back = f'<title>{escape(title)}</title><rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    name = f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>'
    return "\n".join((head, back, name, *parts, "</svg>")) + "\n"


def _short(value: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = "#222") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def lines(title: str, across: str, up: str, series: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """A chart of several lines, both axes logarithmic: what grows in proportion is as steep as the diagonal. Values are
    above 0."""
    points = [point for line in series.values() for point in line]
    low_x, high_x = min(x for x, _ in points), max(x for x, _ in points)
    low_y = 10 ** math.floor(math.log10(min(y for _, y in points)))
    high_y = 10 ** math.ceil(math.log10(max(y for _, y in points)) + 1e-9)
    span_x, span_y = math.log(high_x / low_x) or 1.0, math.log(high_y / low_y) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        right, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return LEFT + right * math.log(x / low_x) / span_x, HEIGHT - BOTTOM - down * math.log(y / low_y) / span_y

    parts = [_text(LEFT, HEIGHT - 10, across), _text(LEFT, TOP - 4, up)]
    tick = low_y
    while tick <= high_y * 1.001:
        _, y = place(low_x, tick)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 6, y + 4, _short(tick), "end"))
        tick *= 10
    for x in sorted({x for x, _ in points}):
        parts.append(_text(place(x, low_y)[0], HEIGHT - BOTTOM + 16, _short(x), "middle"))
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        placed = [place(x, y) for x, y in line]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
        parts.append(_text(WIDTH - RIGHT + 12, TOP + 16 + 18 * number, name, colour=colour))
    return _svg(title, HEIGHT, parts)


def bars(title: str, groups: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """A chart of bars, in groups, each group on its own scale."""
    parts: list[str] = []
    y = TOP
    for name, values in groups.items():
        parts.append(_text(LEFT, y + 14, name))
        y += 22
        most = max(values.values())
        for number, (label, value) in enumerate(values.items()):
            length = (WIDTH - 320) * value / most
            colour = COLOURS[0] if number == 0 else COLOURS[-1]
            parts.append(_text(210, y + 11, label, "end"))
            parts.append(f'<rect x="216" y="{y}" width="{max(length, 1):.1f}" height="13" fill="{colour}"/>')
            parts.append(_text(222 + length, y + 11, f"{value:.1f} {unit}"))
            y += 17
        y += 8
    return _svg(title, y + 10, parts)
