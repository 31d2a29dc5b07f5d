"""The outcomes of all runs as bars: in the terminal, and as a picture."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape

from job import Outcome
from table import megabytes

# Characters of the longest bar in the terminal.
LONGEST = 40
# Of the picture, in its own units.
WIDTH, LEFT, RIGHT, LINE, GAP = 720, 170, 90, 26, 22
COLOURS = ["#8b949e", "#d29922", "#1f883d"]
STYLE = "text{font:14px system-ui,sans-serif;fill:#1f2328}.head{font-weight:600}"


@dataclass(frozen=True)
class Bar:
    """One run in one respect."""

    label: str
    size: float
    shown: str


@dataclass(frozen=True)
class Panel:
    """All runs in one respect."""

    title: str
    bars: list[Bar]

    def parts(self) -> Iterator[tuple[Bar, float]]:
        """The bars, and how long each is beside the longest."""
        longest = max(bar.size for bar in self.bars)
        for bar in self.bars:
            yield bar, max(bar.size, 0) / longest if longest > 0 else 0.0


def panels(outcomes: list[Outcome]) -> list[Panel]:
    """Time, runs of the model, and memory if it is known."""
    made = [
        Panel("time", [Bar(one.way.value, one.seconds, f"{one.seconds:.1f} s") for one in outcomes]),
        Panel("model runs", [Bar(one.way.value, one.runs, f"{one.runs:,}") for one in outcomes]),
    ]
    if all(one.growth is not None for one in outcomes):
        bars = [Bar(one.way.value, one.growth or 0, megabytes(one.growth)) for one in outcomes]
        made.append(Panel("new memory, shared cache included", bars))
    return made


def plain(outcomes: list[Outcome]) -> str:
    """For the terminal."""
    block = "\u2588" if (sys.stdout.encoding or "").lower().startswith("utf") else "#"
    width = max(len(one.way.value) for one in outcomes)
    lines = []
    for panel in panels(outcomes):
        lines.append(panel.title)
        lines.extend(f"  {bar.label:<{width}}  {block * round(part * LONGEST)} {bar.shown}" for bar, part in panel.parts())
    return "\n".join(lines)


def svg(outcomes: list[Outcome], caption: str) -> str:
    """A picture for a document."""
    shapes = []
    top = GAP
    for panel in panels(outcomes):
        shapes.append(f'<text class="head" x="{GAP}" y="{top + 14}">{escape(panel.title)}</text>')
        top += LINE
        for (bar, part), colour in zip(panel.parts(), COLOURS, strict=True):
            length = max(part * (WIDTH - LEFT - RIGHT), 1)
            shapes.append(f'<text x="{LEFT - 10}" y="{top + 15}" text-anchor="end">{escape(bar.label)}</text>')
            shapes.append(f'<rect x="{LEFT}" y="{top}" width="{length:.0f}" height="{LINE - 6}" rx="3" fill="{colour}"/>')
            shapes.append(f'<text x="{LEFT + length + 8:.0f}" y="{top + 15}">{escape(bar.shown)}</text>')
            top += LINE
        top += GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}" role="img">\n'
        f"<title>{escape(caption)}</title>\n<style>{STYLE}</style>\n"
        f'<rect width="{WIDTH}" height="{top}" rx="8" fill="#ffffff"/>\n' + "\n".join(shapes) + "\n</svg>\n"
    )
