# SPDX-License-Identifier: Apache-2.0
# Copyright the framemill authors.
"""An SVG of curves over two logarithmic axes, written by hand: no script, no outside fonts, readable in light and dark pages since it brings its own
background. Colours are those of Okabe and Ito (2008), told apart by eyes that see colour differently."""

import dataclasses
import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 900, 520
LEFT, TOP, RIGHT, BOTTOM = 80, 50, 40, 60
COLORS = ("#5b5b5b", "#009e73", "#0072b2", "#d55e00", "#cc79a7", "#e69f00")
TEXT = 'font-family="sans-serif" font-size="13" fill="#222"'


@dataclasses.dataclass(frozen=True)
class Curve:
    name: str
    points: list
    dashed: bool = False


class Axis:
    """Whole decades that hold all values, from pixel `low` to pixel `high`."""

    def __init__(self, values, low, high):
        self.first = math.floor(math.log10(min(values)) + 1e-9)
        self.last = max(self.first + 1, math.ceil(math.log10(max(values)) - 1e-9))
        self.low, self.high = low, high

    def __call__(self, value):
        return self.low + (math.log10(value) - self.first) / (self.last - self.first) * (self.high - self.low)

    def decades(self):
        return [10.0 ** e for e in range(self.first, self.last + 1)]


def _line(x1, y1, x2, y2, style):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {style}/>'


def _text(x, y, text, style=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" {TEXT} {style}>{escape(text)}</text>'


def _grid(x, y):
    grey = 'stroke="#ddd"'
    for v in x.decades():
        yield _line(x(v), TOP, x(v), HEIGHT - BOTTOM, grey)
        yield _text(x(v), HEIGHT - BOTTOM + 20, f"{v:,.0f}", 'text-anchor="middle"')
    for v in y.decades():
        yield _line(LEFT, y(v), WIDTH - RIGHT, y(v), grey)
        yield _text(LEFT - 8, y(v) + 4, f"{v:,.0f}", 'text-anchor="end"')


def _curve(curve, color, x, y, legend_y):
    style = f'stroke="{color}" stroke-width="2" fill="none"' + (' stroke-dasharray="6 5"' if curve.dashed else "")
    yield f'<polyline points="{" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in curve.points)}" {style}/>'
    for a, b in () if curve.dashed else curve.points:
        yield f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3.5" fill="{color}"><title>{escape(curve.name)}: {a:,} nodes, {b:,.0f}</title></circle>'
    yield _line(LEFT + 15, legend_y, LEFT + 45, legend_y, style)
    yield _text(LEFT + 53, legend_y + 4, curve.name)


def svg(title, x_name, y_name, curves):
    """The whole file. Values are positive."""
    x = Axis([a for c in curves for a, _ in c.points], LEFT, WIDTH - RIGHT)
    y = Axis([b for c in curves for _, b in c.points], HEIGHT - BOTTOM, TOP)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"><title>{escape(title)}</title>',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>', _text(LEFT, 28, title, 'font-weight="bold"'), *_grid(x, y),
             _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 15, x_name, 'text-anchor="middle"'),
             _text(18, TOP - 8, y_name)]
    for i, curve in enumerate(curves):
        parts += _curve(curve, COLORS[i % len(COLORS)], x, y, TOP + 20 + 22 * i)
    return "\n".join([*parts, "</svg>"]) + "\n"
