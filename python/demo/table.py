"""The outcomes of all runs as a table."""

from __future__ import annotations

from job import Outcome
from screen import hit_rate

HEAD = ["", "time", "lines/s", "model runs", "hits", "memory", "of it new"]
Rows = list[list[str]]


def rows(outcomes: list[Outcome]) -> Rows:
    """A row for each run."""
    return [
        [
            outcome.way.value,
            f"{outcome.seconds:.1f} s",
            f"{len(outcome.digests) / outcome.seconds:,.0f}",
            f"{outcome.runs:,}",
            f"{hit_rate(len(outcome.digests), outcome.runs):.1%}",
            megabytes(outcome.memory),
            megabytes(outcome.growth),
        ]
        for outcome in outcomes
    ]


def megabytes(size: int | None) -> str:
    """A number of bytes for people."""
    return "unknown" if size is None else f"{size / 1e6:.1f} MB"


def plain(outcomes: list[Outcome]) -> str:
    """For the terminal."""
    lines = [HEAD, *rows(outcomes)]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)])
        for line in lines
    )


def markdown(outcomes: list[Outcome]) -> str:
    """For a document."""
    lines = [HEAD, ["---"] * len(HEAD), *rows(outcomes)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines).replace("|  |", "| |")
