"""A worker process: asks for lines until there are no more."""

from __future__ import annotations

import hashlib
import signal
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import memory
from model import Array, Model
from ways import Way, embedder

# A line like the others, so that what the model needs is there before the clock starts.
WARM_UP = "Permission is hereby granted, free of charge, to any person obtaining a copy of this software and"


@dataclass(frozen=True)
class Chunk:
    """Lines for a worker, and the number of the first of them. With no lines it tidies up."""

    first: int
    lines: list[str]


@dataclass(frozen=True)
class Report:
    """What a worker says: first that it is ready, with no results, and then after each chunk."""

    first: int
    digests: list[bytes]
    # How often its model has run until now.
    runs: int


def main(way: Way, path: Path, pipe: Connection[Report, Chunk | None]) -> None:
    """Runs until it is told to stop, or the parent is gone."""
    # An interrupt goes to all processes of a terminal; the parent sees to the end of the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    model = Model()
    model.embed(WARM_UP)
    embed = embedder(way, model, path)
    model.runs = 0
    try:
        pipe.send(Report(0, [], 0))
        while (chunk := pipe.recv()) is not None:
            if not chunk.lines:
                memory.hand_back()
            pipe.send(Report(chunk.first, [digest(embed(line)) for line in chunk.lines], model.runs))
    except (EOFError, ConnectionError):
        return


def digest(result: Array) -> bytes:
    """Results with the same digest are the same to the last bit."""
    return hashlib.blake2b(result.tobytes(), digest_size=8).digest()
