"""Worker processes that measure when they are told to, and what came of it."""

from __future__ import annotations

import multiprocessing as mp
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from peers import LONG, LONG_KEYS, SMALL, SMALL_KEYS, Attach, Operations

# What is measured, in the order of the columns.
WHATS = {"get_small": SMALL_KEYS, "get_long": LONG_KEYS, "set_small": SMALL_KEYS, "set_long": LONG_KEYS}
# Forked children have what was made before, so what can be shared is.
CONTEXT = mp.get_context("fork")


def fill(operations: Operations) -> None:
    for get, put, keys, value in (
        (operations.get_small, operations.set_small, SMALL_KEYS, SMALL),
        (operations.get_long, operations.set_long, LONG_KEYS, LONG),
    ):
        for key in keys:
            (put or get)(key)
        assert get(keys[-1]) == value


def run(call: Callable[[str], Any], keys: list[str], seconds: float) -> float:
    """Microseconds for one call: the median over chunks of a twentieth of the time, so that what interrupts some of them does
    not count, and what is slow in most does."""
    chunk, took = keys[:4], 0.0
    while took < seconds / 20:
        chunk = (chunk * 2)[: len(keys) * 64] if len(chunk) >= len(keys) else keys[: len(chunk) * 2]
        took = once(call, chunk)
    figures, end = [], time.perf_counter() + seconds
    while not figures or time.perf_counter() < end:
        figures.append(once(call, chunk) / len(chunk))
    return statistics.median(figures) * 1e6


def once(call: Callable[[str], Any], keys: list[str]) -> float:
    begin = time.perf_counter()
    for key in keys:
        call(key)
    return time.perf_counter() - begin


def work(attach: Attach, pipe: Any) -> None:
    operations = attach()
    fill(operations)
    pipe.send(None)
    for what, seconds in iter(pipe.recv, None):
        call = getattr(operations, what)
        pipe.send(None if call is None else run(call, WHATS[what], seconds))


class Team:
    """Some processes that do the same at the same time."""

    def __init__(self, attach: Attach, processes: int) -> None:
        pairs = [CONTEXT.Pipe() for _ in range(processes)]
        self.pipes = [ours for ours, _ in pairs]
        self.workers = [CONTEXT.Process(target=work, args=(attach, theirs), daemon=True) for _, theirs in pairs]
        for worker, (_, theirs) in zip(self.workers, pairs, strict=True):
            worker.start()
            theirs.close()
        for pipe in self.pipes:
            # A worker that failed has sent nothing, which is an EOFError here.
            pipe.recv()

    def measure(self, what: str, seconds: float) -> float | None:
        for pipe in self.pipes:
            pipe.send((what, seconds))
        figures = [pipe.recv() for pipe in self.pipes]
        return None if None in figures else statistics.fmean(figures)

    def stop(self) -> None:
        for pipe in self.pipes:
            pipe.send(None)
        for worker in self.workers:
            worker.join(30)


@contextmanager
def teams(makers: list[tuple[str, Callable[[], Any]]], counts: list[int]) -> Iterator[dict[tuple[str, int], Team]]:
    """A team for each cache and number of processes. Those of one cache have an instance of their own."""
    with ExitStack() as stack:
        made = {}
        for name, make in makers:
            for count in counts:
                team = Team(stack.enter_context(make()), count)
                stack.callback(team.stop)
                made[name, count] = team
        yield made


Samples = dict[tuple[str, int, str], list[float]]


def interleaved(made: dict[tuple[str, int], Team], rounds: int, seconds: float, tell: Callable[[int], None]) -> Samples:
    """Microseconds for one call, of each round. In a round all take turns."""
    samples: Samples = {}
    for number in range(rounds + 1):
        for (name, count), team in made.items():
            for what in WHATS:
                figure = team.measure(what, seconds)
                # The first round warms up.
                if figure is not None and number > 0:
                    samples.setdefault((name, count, what), []).append(figure)
        tell(number)
    return samples


def spread(values: list[float]) -> tuple[float, float, float]:
    """The 10th percentile, the median, the 90th percentile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    tenths = statistics.quantiles(values, n=10, method="inclusive")
    return tenths[0], statistics.median(values), tenths[-1]


def ratio(samples: Samples, one: tuple[str, int, str], other: tuple[str, int, str]) -> float | None:
    """How often one takes as long as the other: the median over the rounds."""
    if one not in samples or other not in samples:
        return None
    return statistics.median(a / b for a, b in zip(samples[one], samples[other], strict=True))
