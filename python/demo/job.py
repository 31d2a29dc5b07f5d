"""The whole job: three crews take turns at the same lines, so that what else the machine does slows them alike."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from crew import Crew
from screen import Screen
from ways import Way

import shmemo

# How many lines are done in one turn.
TURN = 512
# Bytes of the shared cache for each line that is different: its result has 1,536.
ROOM = 2048
# /dev/shm has 64 MiB in a container. What does not fit is evicted.
LEAST_CACHE, MOST_CACHE = 2 << 20, 48 << 20


@dataclass(frozen=True)
class Outcome:
    """What came of calling the model in one way."""

    way: Way
    seconds: float
    # A digest of the result of each line.
    digests: list[bytes]
    runs: int
    # Bytes of all workers with the shared cache, if the system tells; and how many of them were not there at the beginning.
    memory: int | None
    growth: int | None
    note: str = ""


def run(lines: list[str], workers: int, seconds: float) -> list[Outcome]:
    """Runs over the lines in all ways; over fewer of them if it took more seconds."""
    shared_memory = Path("/dev/shm")
    with ExitStack() as stack:
        place = shared_memory if shared_memory.is_dir() else None
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="shmemo-demo-", dir=place))
        path = Path(directory) / "results.shmemo"
        room = min(max(ROOM * len(set(lines)), LEAST_CACHE), MOST_CACHE)
        cache = stack.enter_context(shmemo.Cache(path, capacity=room))
        crews = [stack.enter_context(Crew(way, workers, path)) for way in Way]
        for crew in crews:
            crew.prepare()
        take_turns(crews, lines, seconds)
        return [outcome(crew, cache, path) for crew in crews]


def take_turns(crews: list[Crew], lines: list[str], seconds: float) -> None:
    """Another crew begins each round. A round that would last too long is not begun."""
    screen = Screen(crews, len(lines))
    begin = before = time.monotonic()
    for number, first in enumerate(range(0, len(lines), TURN)):
        now = time.monotonic()
        if now - begin + (now - before) > seconds:
            print(f"  stopped, for the time: {first:,} of {len(lines):,} lines are done")
            return
        before = now
        begins = number % len(crews)
        for crew in crews[begins:] + crews[:begins]:
            crew.turn(lines[first : first + TURN], screen.look)
            screen.turn_ends(crew)


def outcome(crew: Crew, cache: shmemo.Cache, path: Path) -> Outcome:
    """What a crew has done, and what it takes in the end."""
    shared = crew.way is Way.SHARED
    file = path.stat().st_blocks * 512 if shared else 0
    before, after = crew.before, crew.memory()
    return Outcome(
        crew.way,
        crew.seconds,
        crew.digests,
        crew.runs,
        None if after is None else after + file,
        None if after is None or before is None else after - before + file,
        describe(cache, file) if shared else "",
    )


def describe(cache: shmemo.Cache, file: int) -> str:
    """A sentence about a shared cache."""
    stats = cache.stats()
    evicted = stats.evicted_unused + stats.evicted_used + stats.evicted_by_full_bucket
    used = f"{stats.entries:,} entries take {stats.live_bytes / 1e6:.1f} MB of it"
    return f"the shared cache is a file of {file / 1e6:.1f} MB; {used}; evicted: {evicted:,}"


def differences(outcomes: list[Outcome]) -> int:
    """How many results are not those of the first way."""
    first, *others = (one.digests for one in outcomes)
    return sum(a != b for other in others for a, b in zip(first, other, strict=True))
