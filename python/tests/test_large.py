"""What takes long lets other threads run meanwhile."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import shmemo
from shmemo._codec import Codec
from shmemo._native import LARGE, decode_value, encode_value

SIZE = 4 << 20
VALUES: dict[str, Any] = {
    "bytes": bytes(SIZE),
    "bytearray": bytearray(SIZE),
    "text": "x" * SIZE,
    "array": np.ones(SIZE, "u1"),
}
CODEC = Codec()


@pytest.fixture
def large() -> Iterator[shmemo.Cache]:
    with shmemo.Cache(capacity="256MB", max_value_len="16MB") as cache:
        yield cache


@pytest.fixture
def lets_others_run() -> Iterator[Callable[..., bool]]:
    """Tells whether a call lets go of the interpreter. Nobody is made to, so another thread gets on only if it does. The call is
    given what `prepare` gives, which may let go."""
    count, stop, interval = 0, False, sys.getswitchinterval()

    def get_on() -> None:
        nonlocal count
        while not stop:
            count += 1
            time.sleep(0)

    def tried(call: Callable[..., Any], prepare: Callable[[], tuple[Any, ...]] = tuple) -> bool:
        # Whether the other thread is quick enough is chance; that it cannot get on otherwise is not.
        end = time.monotonic() + 30
        while time.monotonic() < end:
            given = prepare()
            time.sleep(0.001)
            before = count
            call(*given)
            if count != before:
                return True
        return False

    sys.setswitchinterval(1000)
    thread = threading.Thread(target=get_on)
    thread.start()
    try:
        yield tried
    finally:
        stop = True
        thread.join()
        sys.setswitchinterval(interval)


@pytest.mark.parametrize("kind", VALUES)
def test_large_values(kind: str, large: shmemo.Cache, lets_others_run: Callable[..., bool]) -> None:
    value = VALUES[kind]
    assert lets_others_run(lambda: large.set("k", value))
    assert lets_others_run(lambda: large.get("k"))
    assert lets_others_run(large.pop, lambda: (large.set("k", value), ("k",))[1])
    large.set("k", value)
    # The value that is there is read, if only to leave it.
    assert lets_others_run(lambda: large.add("k", 1)) and lets_others_run(lambda: large.setdefault("k", 1))
    assert lets_others_run(large.replace, lambda: (large.set("k", value), ("k", 1))[1])
    large.set("k", value)
    assert lets_others_run(lambda: large.touch("k", 60))
    assert lets_others_run(lambda: large.get_many(["k"]))
    assert lets_others_run(lambda: large.set_many({"k": value}))
    assert lets_others_run(lambda: list(large.values()))


@pytest.mark.parametrize("kind", VALUES)
def test_both_halves_of_a_copy(kind: str, lets_others_run: Callable[..., bool]) -> None:
    value = VALUES[kind]
    assert lets_others_run(lambda: encode_value(value, CODEC))
    data = encode_value(value, CODEC)
    if kind != "text":
        # A text is made by the interpreter, under its lock.
        assert lets_others_run(lambda: decode_value(data, CODEC))


def another(cache: shmemo.Cache) -> shmemo.Cache:
    """A handle that knows nothing of what the first has seen."""
    other = shmemo.Cache.__new__(shmemo.Cache)
    other._set_up(None, None, *cache._arguments[2:], cache.fileno())
    return other


def test_the_first_get_of_a_handle(large: shmemo.Cache, lets_others_run: Callable[..., bool]) -> None:
    large["k"] = "x" * (1 << 20)
    # Of a text only the way out of the file lets go.
    assert lets_others_run(lambda cache: cache.get("k"), lambda: (another(large),))
    assert lets_others_run(lambda cache: cache["k"], lambda: (another(large),))


def test_large_arguments(large: shmemo.Cache, lets_others_run: Callable[..., bool]) -> None:
    @large.memoize
    def f(x: Any) -> int:
        return 1

    for kind in ("bytes", "text", "array"):
        assert f(VALUES[kind]) == 1 and lets_others_run(lambda value: f(value), lambda: (VALUES[kind],))  # noqa: B023


def test_what_looks_at_the_whole_file(large: shmemo.Cache, lets_others_run: Callable[..., bool]) -> None:
    large.set_many({i: bytes(1000) for i in range(50_000)})
    assert lets_others_run(large.verify)
    assert lets_others_run(lambda: sum(1 for _ in large))


def test_the_end_of_a_handle(lets_others_run: Callable[..., bool]) -> None:
    assert lets_others_run(list.clear, lambda: ([shmemo.Cache(capacity="64MB", prefault=True)],))
    assert lets_others_run(lambda cache: cache.close(), lambda: (shmemo.Cache(capacity="64MB", prefault=True),))
    assert lets_others_run(lambda: shmemo.Cache(capacity="64MB", prefault=True).close())


@pytest.mark.parametrize("size", [LARGE - 1, LARGE, LARGE + 1, LARGE + 7, 3 * LARGE + 5, SIZE + 3])
def test_sizes_around_the_limit(size: int, large: shmemo.Cache) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, "u1")
    text = "ä" * (size // 2)
    values: list[Any] = [data.tobytes(), bytearray(data), data, data[1:], memoryview(data.tobytes())[3:], text]
    for value in values:
        large["k"] = [value, value]
        for again in large["k"]:
            assert bytes(again, "utf-8") == text.encode() if isinstance(value, str) else bytes(again) == bytes(value)


def test_a_value_that_others_change_meanwhile_is_stored_all_the_same(large: shmemo.Cache) -> None:
    shared, stop = bytearray(SIZE), False

    def change() -> None:
        while not stop:
            shared[: SIZE // 2] = bytes([7]) * (SIZE // 2)
            shared[: SIZE // 2] = bytes(SIZE // 2)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(50):
            large["k"] = shared
            assert len(large["k"]) == SIZE and set(large["k"][:: 1 << 16]) <= {0, 7}
    finally:
        stop = True
        thread.join()
