"""What a hit and a store take, beside other caches: one table.

    python -P python/bench.py [--seconds 0.3] [--processes 1 2]

What is not installed is left out. Each figure is the best of five rounds, in microseconds for one call, while all
processes do the same; a cache that is not shared has an instance in each.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import multiprocessing as mp
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import shmemo

SMALL, MEDIUM = "value", os.urandom(1536)
Calls = dict[str, Callable[[str], Any]]


@contextmanager
def shmemo_cache() -> Iterator[Calls]:
    with shmemo.Cache(capacity="64MB") as cache:
        yield {"get": cache.get, "small": lambda key: cache.set(key, SMALL), "medium": lambda key: cache.set(key, MEDIUM)}


@contextmanager
def shmemo_memoize() -> Iterator[Calls]:
    with shmemo.Cache(capacity="64MB") as cache:
        yield {"get": cache.memoize(lambda key: MEDIUM if key == "medium" else SMALL)}


@contextmanager
def drop_in() -> Iterator[Calls]:
    cache = shmemo.ProcessSafeLRUCache()
    yield {"get": cache.get, "small": lambda key: cache.set(key, SMALL), "medium": lambda key: cache.set(key, MEDIUM)}


@contextmanager
def lru_cache() -> Iterator[Calls]:
    yield {"get": functools.lru_cache(1000)(lambda key: SMALL)}


@contextmanager
def cachetools_with_a_lock() -> Iterator[Calls]:
    import cachetools

    cache, lock = cachetools.LRUCache(1000), threading.Lock()

    def get(key: str) -> Any:
        with lock:
            return cache.get(key)

    def put(key: str, value: Any) -> None:
        with lock:
            cache[key] = value

    yield {"get": get, "small": lambda key: put(key, SMALL), "medium": lambda key: put(key, MEDIUM)}


@contextmanager
def cachebox() -> Iterator[Calls]:
    import cachebox

    cache = cachebox.LRUCache(1000)
    yield {"get": cache.get, "small": lambda key: cache.insert(key, SMALL), "medium": lambda key: cache.insert(key, MEDIUM)}


@contextmanager
def diskcache() -> Iterator[Calls]:
    import diskcache

    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory, diskcache.Cache(directory) as cache:
        yield {"get": cache.get, "small": lambda key: cache.set(key, SMALL), "medium": lambda key: cache.set(key, MEDIUM)}


@contextmanager
def manager() -> Iterator[Calls]:
    with mp.Manager() as manager:
        cache = manager.dict()
        yield {
            "get": cache.get,
            "small": lambda key: cache.update({key: SMALL}),
            "medium": lambda key: cache.update({key: MEDIUM}),
        }


@contextmanager
def duck() -> Iterator[Calls]:
    from duck.utils.multiprocessing import ProcessSafeLRUCache

    cache = ProcessSafeLRUCache(maxkeys=1000)
    yield {"get": cache.get, "small": lambda key: cache.set(key, SMALL), "medium": lambda key: cache.set(key, MEDIUM)}


# Its name, what it needs, whether all processes share it.
CACHES: list[tuple[Callable[[], Any], str, str, bool]] = [
    (shmemo_cache, "shmemo.Cache", "shmemo", True),
    (drop_in, "shmemo.ProcessSafeLRUCache", "shmemo", True),
    (shmemo_memoize, "@shmemo memoize", "shmemo", True),
    (lru_cache, "functools.lru_cache", "functools", False),
    (cachebox, "cachebox.LRUCache", "cachebox", False),
    (cachetools_with_a_lock, "cachetools.LRUCache + lock", "cachetools", False),
    (diskcache, "diskcache", "diskcache", True),
    (manager, "multiprocessing.Manager().dict()", "multiprocessing", True),
    (duck, "duckframework's ProcessSafeLRUCache", "duck", True),
]


def measure(call: Callable[[str], Any], key: str, seconds: float) -> float:
    """Microseconds for one call."""

    def run(times: int) -> float:
        begin = time.perf_counter()
        for _ in range(times):
            call(key)
        return time.perf_counter() - begin

    times = 1
    while run(times) < seconds / 10:
        times *= 2
    return min(run(times) for _ in range(5)) / times * 1e6


def figures(make: Callable[[], Any], processes: int, seconds: float) -> list[float | None]:
    """A hit on a small value and on 1.5 KiB, a store of each."""
    # Forked children have what was made here, so what can be shared is.
    context = mp.get_context("fork")
    with make() as calls:
        for kind in ("small", "medium"):
            calls.get(kind, calls["get"])(kind)

        def work(results: Any) -> None:
            row = [measure(calls["get"], key, seconds) for key in ("small", "medium")]
            row += [measure(calls[key], key, seconds) if key in calls else -1.0 for key in ("small", "medium")]
            results.send(row)

        pipes = [context.Pipe(duplex=False) for _ in range(processes)]
        workers = [context.Process(target=work, args=(sender,)) for _, sender in pipes]
        for worker, (_, sender) in zip(workers, pipes, strict=True):
            worker.start()
            sender.close()
        # A worker that failed has sent nothing, which is an EOFError here.
        rows = [receiver.recv() for receiver, _ in pipes]
        for worker in workers:
            worker.join()
    means = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    return [mean if mean >= 0 else None for mean in means]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    print("| cache | shared | processes | hit, 5 B | hit, 1.5 KiB | store, 5 B | store, 1.5 KiB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for make, name, needs, shared in CACHES:
        if importlib.util.find_spec(needs) is None:
            continue
        for processes in options.processes:
            row = figures(make, processes, options.seconds)
            shown = " | ".join("" if figure is None else f"{figure:.2f}" for figure in row)
            print(f"| {name} | {'yes' if shared else 'no'} | {processes} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
