"""Figures as SVG: lines over nodes, and stacked bars. Legible on light and on dark pages: text and
axes take the colour of the reader's scheme, series have colours of middling lightness, and each
line has a mark of its own shape besides."""

import math
from xml.sax.saxutils import escape

COLOURS = ["#2a7de1", "#d9541e", "#1b9e63", "#a259c4", "#c9940a", "#d6477f", "#0e9aa7", "#7d7d7d"]
STYLE = ("text{font:12px sans-serif;fill:#24292f}.t{font-weight:bold;font-size:13px}"
         ".a{stroke:#24292f;fill:none}.g{stroke:#24292f;stroke-opacity:.15;fill:none}"
         "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.a,.g{stroke:#e6edf3}}")
LEFT, TOP, BOTTOM = 62, 34, 46


class Canvas:
    def __init__(self, width, height, title):
        self.parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
                      f'width="{width}" height="{height}" role="img">',
                      f"<title>{escape(title)}</title><style>{STYLE}</style>"]
        self.text(12, 18, title, more=' class="t"')

    def text(self, x, y, what, anchor="start", more=""):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>'
                          f"{escape(what)}</text>")

    def path(self, points, cls="", more=""):
        at = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        named = f' class="{cls}"' if cls else ' fill="none"'
        self.parts.append(f'<polyline points="{at}"{named}{more}/>')

    def rect(self, x, y, w, h, colour, hint):
        self.parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(w, 0):.1f}" height="{h:.1f}" '
                          f'fill="{colour}"><title>{escape(hint)}</title></rect>')

    def mark(self, i, x, y, hint=""):
        r, colour = 4, COLOURS[i % len(COLOURS)]
        shapes = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}"',
                  f'<rect x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r}" height="{2 * r}"',
                  f'<path d="M{x:.1f} {y - r - 1:.1f}l{r + 1} {2 * r + 1}h-{2 * r + 2}z"',
                  f'<path d="M{x:.1f} {y - r - 1:.1f}l{r + 1} {r + 1}l-{r + 1} {r + 1}'
                  f'l-{r + 1} -{r + 1}z"']
        self.parts.append(f'{shapes[i % len(shapes)]} fill="{colour}"><title>{escape(hint)}</title>'
                          f"</{shapes[i % len(shapes)][1:].split(' ')[0]}>")

    def done(self):
        return "\n".join(self.parts + ["</svg>"]) + "\n"


def number(value):
    if value >= 1000 and value % 1000 == 0:
        return f"{value / 1000:g} k"
    return f"{value:g}"


def log_ticks(low, high):
    ticks = []
    power = math.floor(math.log10(low))
    while 10 ** power <= high:
        ticks += [m * 10.0 ** power for m in (1, 2, 5) if low <= m * 10.0 ** power <= high]
        power += 1
    if len(ticks) > 8:
        ticks = [t for t in ticks if math.isclose(math.log10(t), round(math.log10(t)))]
    return ticks


def linear_ticks(high):
    step = 10 ** math.floor(math.log10(high)) if high > 0 else 1
    for divisor in (5, 2, 1):
        if high / (step / divisor) <= 8:
            step /= divisor
            break
    return [i * step for i in range(int(high / step) + 1)]


def lines(title, series, x_label, y_label, x_ticks=None, log_y=False, width=720, height=380,
          guides=(), log_x=True):
    """`series` is {name: [(x, y), ...]}. `guides` are (y, label)."""
    series = {n: [(x, y) for x, y in pts if y is not None and (y > 0 or not log_y)]
              for n, pts in series.items()}
    series = {n: pts for n, pts in series.items() if pts}
    if not series:
        return None
    right = 12 + max(7 * len(n) for n in series) + 24
    c = Canvas(width, height, title)
    xs = sorted({x for pts in series.values() for x, _ in pts})
    ys = [y for pts in series.values() for _, y in pts] + [y for y, _ in guides]
    scale = math.log if log_x else float
    x0, x1 = scale(xs[0]), scale(xs[-1])
    low, high = (min(ys) / 1.15, max(ys) * 1.15) if log_y else (0, max(ys) * 1.05 or 1)
    inner_w, inner_h = width - LEFT - right, height - TOP - BOTTOM

    def at_x(x):
        return LEFT + inner_w * ((scale(x) - x0) / (x1 - x0) if x1 > x0 else 0.5)

    def at_y(y):
        part = math.log(y / low) / math.log(high / low) if log_y else (y - low) / (high - low)
        return TOP + inner_h * (1 - part)

    for tick in log_ticks(low, high) if log_y else linear_ticks(high):
        c.path([(LEFT, at_y(tick)), (LEFT + inner_w, at_y(tick))], "g")
        c.text(LEFT - 6, at_y(tick) + 4, number(round(tick, 6)), "end")
    for tick in x_ticks or xs:
        c.text(at_x(tick), TOP + inner_h + 18, number(tick), "middle")
    c.path([(LEFT, TOP), (LEFT, TOP + inner_h), (LEFT + inner_w, TOP + inner_h)], "a")
    c.text(LEFT + inner_w / 2, height - 8, x_label, "middle")
    c.text(0, 0, y_label, "middle",
           f' transform="translate(14 {TOP + inner_h / 2:.0f}) rotate(-90)"')
    for y, label in guides:
        c.path([(LEFT, at_y(y)), (LEFT + inner_w, at_y(y))], "a", ' stroke-dasharray="5 4"')
        c.text(LEFT + inner_w - 4, at_y(y) - 4, label, "end")
    for i, (name, pts) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        dash = ' stroke-dasharray="6 3"' if i >= len(COLOURS) else ""
        c.path([(at_x(x), at_y(y)) for x, y in sorted(pts)], more=f' stroke="{colour}" '
               f'stroke-width="2"{dash}')
        for x, y in pts:
            c.mark(i, at_x(x), at_y(y), f"{name}: {y:.3g} at {x:g}")
        c.mark(i, LEFT + inner_w + 18, TOP + 10 + 18 * i)
        c.text(LEFT + inner_w + 28, TOP + 14 + 18 * i, name)
    return c.done()


def stacked(title, rows, parts, x_label, width=720):
    """`rows` is [(name, {part: value})]; one bar each, `parts` from left to right."""
    rows = [(n, v) for n, v in rows if v]
    if not rows:
        return None
    left = 16 + 7 * max(len(n) for n, _ in rows)
    height = TOP + 24 + 26 * len(rows) + BOTTOM
    c = Canvas(width, height, title)
    most = max(sum(v.get(p) or 0 for p in parts) for _, v in rows) or 1
    scale = (width - left - 70) / most
    x = left
    for i, part in enumerate(parts):
        c.rect(x, TOP - 6, 12, 12, COLOURS[i % len(COLOURS)], part)
        c.text(x + 17, TOP + 5, part)
        x += 36 + 7 * len(part)
    top, base = TOP + 18, TOP + 18 + 26 * len(rows)
    for tick in linear_ticks(most):
        c.path([(left + tick * scale, top), (left + tick * scale, base)], "g")
        c.text(left + tick * scale, base + 16, number(round(tick, 6)), "middle")
    for k, (name, value) in enumerate(rows):
        y, x = top + 26 * k, left
        c.text(left - 8, y + 17, name, "end")
        for i, part in enumerate(parts):
            w = (value.get(part) or 0) * scale
            c.rect(x, y + 4, w, 18, COLOURS[i % len(COLOURS)],
                   f"{name}, {part}: {value.get(part) or 0:.2f}")
            x += max(w, 0)
        c.text(x + 6, y + 17, f"{sum(value.get(p) or 0 for p in parts):.2f}")
    c.path([(left, top), (left, base), (width - 60, base)], "a")
    c.text(left + (width - left - 60) / 2, height - 10, x_label, "middle")
    return c.done()
