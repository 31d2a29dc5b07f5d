"""Warnings, of the line outside the package that is the cause."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

PACKAGE = __name__.partition(".")[0]


def caller() -> tuple[FrameType, int]:
    """The frame that called the package, and how far out from the caller of this function it is."""
    frame, level = sys._getframe(1), 1
    while frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE and frame.f_back is not None:
        frame, level = frame.f_back, level + 1
    return frame, level


def warn(words: str, category: type[Warning]) -> None:
    """Warns of the line that called the package."""
    warnings.warn(words, category, stacklevel=caller()[1])
