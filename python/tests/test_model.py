"""Random operations through handles of one process and of others do what a dict does."""

from __future__ import annotations

import multiprocessing as mp
import random
from pathlib import Path
from typing import Any

import pytest

import shmemo

KEYS: list[Any] = ["a", b"b", 1, 2.5, None, ("t", 1), frozenset({1}), "x" * 300, -(2**70)]
VALUES: list[Any] = [None, 0, 7, -1.5, "text", b"bytes", [1, [2]], {"k": (1, 2)}, {1, 2}, "y" * 5000, bytes(70_000)]
MISSING = "missing"


def call(cache: Any, operation: str, arguments: tuple[Any, ...]) -> Any:
    """Calls a method, and gives KeyError as a value."""
    try:
        return getattr(cache, operation)(*arguments)
    except KeyError:
        return KeyError


class Model(dict[Any, Any]):
    """A dict with the other operations of a cache."""

    def set(self, key: Any, value: Any) -> None:
        self[key] = value

    def add(self, key: Any, value: Any) -> bool:
        return key not in self and not self.set(key, value)

    def replace(self, key: Any, value: Any) -> bool:
        return key in self and not self.set(key, value)

    def delete(self, key: Any) -> bool:
        return self.pop(key, MISSING) is not MISSING


def operation(source: random.Random) -> tuple[str, tuple[Any, ...]]:
    key, value = source.choice(KEYS), source.choice(VALUES)
    with_key = ["__getitem__", "__delitem__", "__contains__", "delete", "pop", "get"]
    with_value = ["set", "__setitem__", "add", "replace", "setdefault", "pop", "get"]
    if source.random() < 0.4:
        return source.choice(with_key), (key,)
    if source.random() < 0.03:
        return source.choice(["clear", "__len__"]), ()
    return source.choice(with_value), (key, value)


def serve(cache: shmemo.Cache, pipe: Any) -> None:
    for name, arguments in iter(pipe.recv, None):
        pipe.send(call(cache, name, arguments))


@pytest.mark.parametrize("seed", range(4))
def test_handles_of_one_process(seed: int, path: Path) -> None:
    source, model = random.Random(seed), Model()
    with shmemo.Cache(path, capacity="16MB") as one, shmemo.Cache(path) as two:
        for _ in range(3000):
            name, arguments = operation(source)
            assert call(source.choice([one, two]), name, arguments) == call(model, name, arguments), (name, arguments)
        assert dict(one.items()) == dict(two) == model and len(one) == len(model)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_handles_of_several_processes(method: str) -> None:
    context = mp.get_context(method)
    source, model = random.Random(9), Model()
    with shmemo.Cache(capacity="16MB") as cache:
        pipes = [context.Pipe() for _ in range(2)]
        workers = [context.Process(target=serve, args=(cache, theirs)) for _, theirs in pipes]
        for worker in workers:
            worker.start()
        # Each operation in the next process: what one does the other sees at once.
        for i in range(2000):
            ours = pipes[i % 2][0]
            name, arguments = operation(source)
            ours.send((name, arguments))
            assert ours.poll(60)
            assert ours.recv() == call(model, name, arguments), (name, arguments)
        for ours, _ in pipes:
            ours.send(None)
        for worker in workers:
            worker.join(60)
            assert worker.exitcode == 0
        assert dict(cache) == model
