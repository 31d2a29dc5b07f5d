"""The figures as bars, in an SVG that can be read on light and dark pages."""

from __future__ import annotations

import math
from html import escape

LEFT, BAR, GAP, WIDTH, TOP = 240, 9, 8, 760, 64
# By the number of processes; ours are in the first row, what serves one process in the second, others in the third.
COLOURS = {"ours": ("#c2410c", "#fb923c"), "private": ("#64748b", "#94a3b8"), "shared": ("#1d4ed8", "#60a5fa")}
STYLE = "text { fill: #1f2937; } .axis { stroke: #9ca3af; stroke-opacity: .6; } .page { fill: #ffffff; }"


def chart(title: str, panels: list[tuple[str, list[tuple[str, str, list[tuple[float, float, float]]]]]]) -> str:
    """Panels of rows, one above the other. A row has a name, a kind (of COLOURS), and for each number of processes the 10th
    percentile, the median and the 90th."""
    out: list[str] = []
    top = TOP
    for heading, rows in panels:
        top = panel(out, heading, rows, top)
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{top}" rx="8"/>',
        f'<text x="16" y="26" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    x = 16
    for kind, words in (("ours", "shmemo"), ("shared", "shared by processes"), ("private", "one for each process")):
        for i, shade in enumerate(COLOURS[kind]):
            out.append(f'<rect x="{x + i * 12}" y="38" width="10" height="10" fill="{shade}"/>')
        out.append(f'<text x="{x + 30}" y="47">{words}</text>')
        x += 60 + 7 * len(words)
    out.append(f'<text x="{x}" y="47">(dark: 1 process, light: 2)</text>')
    return "\n".join([*head, *out, "</svg>", ""])


def panel(out: list[str], heading: str, rows: list[tuple[str, str, list[tuple[float, float, float]]]], top: int) -> int:
    figures = [figure for _, _, bars in rows for bar in bars for figure in bar]
    low, high = math.floor(math.log10(min(figures))), math.ceil(math.log10(max(figures)))

    def x_of(value: float) -> float:
        return LEFT + (math.log10(value) - low) / (high - low) * (WIDTH - LEFT - 70)

    heights = [max(1, len(bars)) * BAR + GAP for _, _, bars in rows]
    bottom = top + 24 + sum(heights)
    out.append(f'<text x="16" y="{top + 14}" font-weight="600">{escape(heading)}</text>')
    for power in range(low, high + 1):
        x = x_of(10.0**power)
        out.append(f'<path class="axis" d="M{x:.1f} {top + 22}V{bottom}"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle" font-size="11">{10.0**power:g} µs</text>')
    y = top + 26
    for (name, kind, bars), height in zip(rows, heights, strict=True):
        weight = ' font-weight="600"' if kind == "ours" else ""
        out.append(f'<text x="{LEFT - 8}" y="{y + (height - GAP) / 2 + 4:.1f}" text-anchor="end"{weight}>{escape(name)}</text>')
        for i, (tenth, median, ninetieth) in enumerate(bars):
            bar_y, end = y + i * BAR, x_of(median)
            shade = COLOURS[kind][min(i, 1)]
            out.append(f'<rect x="{LEFT}" y="{bar_y}" width="{end - LEFT:.1f}" height="{BAR - 1}" fill="{shade}"/>')
            middle = bar_y + (BAR - 1) / 2
            out.append(f'<path d="M{x_of(tenth):.1f} {middle}H{x_of(ninetieth):.1f}" stroke="#1f2937" stroke-width="1.2"/>')
            shown = f"{median:.2f}" if median < 10 else f"{median:.0f}"
            out.append(f'<text x="{max(end, x_of(ninetieth)) + 4:.1f}" y="{bar_y + 8}" font-size="9">{shown}</text>')
        y += height
    return bottom + 32
