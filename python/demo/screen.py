"""What is shown while the workers work: on a terminal their rates, drawn over in place; else a line for each turn."""

from __future__ import annotations

import os
import shutil
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crew import Crew

# Seconds between two drawings on a terminal.
REDRAW = 0.4
# Characters of the bar.
BAR = 40


@dataclass
class Progress:
    """What is known of a worker: in all, and when its turn began."""

    pid: int
    lines: int = 0
    runs: int = 0
    began: tuple[float, int, int] = field(default=(0.0, 0, 0))

    def begin_turn(self) -> None:
        """Notes the beginning of a turn."""
        self.began = (time.monotonic(), self.lines, self.runs)

    def advance(self, lines: int, runs: int) -> None:
        """Takes a report: so many more lines, so many runs in all."""
        self.lines += lines
        self.runs = runs

    def of_turn(self) -> tuple[float, float]:
        """Lines a second and the hit rate since the turn began."""
        begin, lines, runs = self.began
        seconds = max(time.monotonic() - begin, 1e-3)
        return (self.lines - lines) / seconds, hit_rate(self.lines - lines, self.runs - runs)


class Screen:
    """The display of all crews."""

    def __init__(self, crews: list[Crew], lines: int) -> None:
        self.crews = crews
        self.lines = lines
        # What does not fit cannot be drawn over.
        room = shutil.get_terminal_size().lines > len(crews) + len(crews[0].progress) + 2
        self.terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and room
        self.drawn_at = 0.0
        # Lines of the terminal that the last drawing takes.
        self.drawn = 0
        if not self.terminal:
            print("  done  with                 lines a second and hits of each worker, turn by turn")

    def look(self, active: Crew) -> None:
        """Shows a crew in the middle of its turn."""
        if self.terminal and time.monotonic() - self.drawn_at >= REDRAW:
            self.draw(active)

    def turn_ends(self, active: Crew) -> None:
        """Shows a crew at the end of its turn."""
        if self.terminal:
            self.draw(active)
            return
        rates = (f"{rate:6,.0f}/s {hits:4.0%}" for rate, hits in (worker.of_turn() for worker in active.progress))
        print(f"  {self.done():4.0%}  {active.way.value:<19} {'  '.join(rates)}", flush=True)

    def draw(self, active: Crew) -> None:
        """Draws over what was drawn before."""
        text = [total(crew, crew is active) for crew in self.crews]
        for number, worker in enumerate(active.progress, 1):
            rate, hits = worker.of_turn()
            text.append(
                f"    worker {number:<2}  {rate:>8,.0f} lines/s  hits {hits:6.1%}  runs {worker.runs:>6,}  pid {worker.pid}"
            )
        done = self.done()
        text.append(f"  [{'#' * round(done * BAR):.<{BAR}}] {done:4.0%}")
        back = f"\x1b[{self.drawn}A\x1b[J" if self.drawn else ""
        print(back + "\n".join(text), flush=True)
        self.drawn = len(text)
        self.drawn_at = time.monotonic()

    def done(self) -> float:
        """The part of all the work that is done."""
        return sum(worker.lines for crew in self.crews for worker in crew.progress) / (self.lines * len(self.crews))


def total(crew: Crew, active: bool) -> str:
    """A line about all workers of a crew."""
    lines = sum(worker.lines for worker in crew.progress)
    mark = ">" if active else " "
    return f"{mark} {crew.way.value:<20} {lines:>7,} lines  hits {hit_rate(lines, crew.runs):6.1%}  runs {crew.runs:>6,}"


def hit_rate(lines: int, runs: int) -> float:
    """The part of the lines that the model did not have to look at."""
    return 1 - runs / lines if lines else 0.0
