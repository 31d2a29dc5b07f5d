"""The workers that call the model in one way: they are dealt lines as they ask for more, and report results."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NoReturn

import memory
import worker
from screen import Progress
from ways import Way
from worker import Chunk, Report

# How many lines a worker gets at a time.
CHUNK = 4
# How long workers may take to begin, and for one chunk.
SILENCE = 60.0
# How often somebody may look at what goes on.
LOOK = 0.2
# What workers find in their environment, so that each computes on one processor.
ONE_PROCESSOR = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")} | {"TOKENIZERS_PARALLELISM": "false"}


class Crew:
    """The workers, and what they have done."""

    def __init__(self, way: Way, workers: int, path: Path) -> None:
        self.way = way
        # How long its turns took, and a digest of the result of each line.
        self.seconds = 0.0
        self.digests: list[bytes] = []
        self.processes: list[BaseProcess] = []
        self.pipes: list[Connection[Chunk | None, Report]] = []
        os.environ.update(ONE_PROCESSOR)
        # Each is a new interpreter, as a server's workers or a job's tasks are.
        context = multiprocessing.get_context("spawn")
        for number in range(1, workers + 1):
            ours, theirs = context.Pipe()
            name = f"worker {number} with {way.value}"
            process = context.Process(target=worker.main, args=(way, path, theirs), name=name, daemon=True)
            process.start()
            theirs.close()
            self.pipes.append(ours)
            self.processes.append(process)
        self.progress = [Progress(process.pid or 0) for process in self.processes]
        self.before: int | None = None

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves no process behind, whatever went wrong."""
        for pipe in self.pipes:
            # A worker ends by itself when its pipe is closed, unless it is in the middle of something.
            pipe.close()
        for process in self.processes:
            process.join(5)
            process.kill()
            process.join()

    def prepare(self) -> None:
        """Waits until all are ready."""
        for number in range(len(self.pipes)):
            self.receive(number)
        self.before = self.memory()

    def turn(self, lines: list[str], look: Callable[[Crew], None]) -> None:
        """Has the workers do more lines. While they do, `look` is called now and then."""
        first = dealt = len(self.digests)
        last = first + len(lines)
        self.digests.extend([b""] * len(lines))
        for progress in self.progress:
            progress.begin_turn()
        begin = time.monotonic()
        looked = begin
        busy = set(range(len(self.pipes)))
        idle = set(busy)
        while busy:
            for number in idle:
                chunk = lines[dealt - first : dealt - first + CHUNK]
                if chunk:
                    self.deal(number, Chunk(dealt, chunk))
                    dealt = min(dealt + CHUNK, last)
                else:
                    busy.discard(number)
            idle = self.gather(busy)
            if time.monotonic() - looked > LOOK:
                looked = time.monotonic()
                look(self)
        self.seconds += time.monotonic() - begin

    def deal(self, number: int, chunk: Chunk) -> None:
        """Gives a worker more to do."""
        try:
            self.pipes[number].send(chunk)
        except ConnectionError:
            self.lost(number)

    def gather(self, busy: set[int]) -> set[int]:
        """Waits for reports, and takes them. Gives who has made one."""
        ready = wait([self.pipes[number] for number in busy], SILENCE) if busy else []
        if busy and not ready:
            raise SystemExit(f"no worker with {self.way.value} has said anything for {SILENCE:.0f} seconds")
        heard = {number for number in busy if self.pipes[number] in ready}
        for number in heard:
            report = self.receive(number)
            self.digests[report.first : report.first + len(report.digests)] = report.digests
            self.progress[number].advance(len(report.digests), report.runs)
        return heard

    def receive(self, number: int) -> Report:
        """What a worker says next."""
        try:
            if self.pipes[number].poll(SILENCE):
                return self.pipes[number].recv()
        except (EOFError, ConnectionError):
            self.lost(number)
        raise SystemExit(f"{self.processes[number].name} has said nothing for {SILENCE:.0f} seconds")

    def lost(self, number: int) -> NoReturn:
        """The death of a worker is an error: the run would not be what the table says."""
        self.processes[number].join(5)
        raise SystemExit(f"{self.processes[number].name} has ended with code {self.processes[number].exitcode}") from None

    def memory(self) -> int | None:
        """What all workers take together, after they have handed back what they do not use."""
        for number in range(len(self.pipes)):
            self.deal(number, Chunk(0, []))
        for number in range(len(self.pipes)):
            self.receive(number)
        return memory.of_all([progress.pid for progress in self.progress])

    @property
    def runs(self) -> int:
        """How often the model ran."""
        return sum(progress.runs for progress in self.progress)
