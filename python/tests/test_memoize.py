"""Memoizing."""

from __future__ import annotations

import asyncio
import functools
import inspect
import multiprocessing as mp
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import shmemo
from shmemo import _memoize

calls: list[Any] = []


@pytest.fixture(autouse=True)
def no_calls() -> Iterator[None]:
    calls.clear()
    yield


def test_invalidate_and_clear(cache: shmemo.Cache) -> None:
    @cache.memoize
    def f(a: int) -> int:
        calls.append(a)
        return a

    @cache.memoize
    def g(a: int) -> int:
        return -a

    assert (f(1), f(2), g(1)) == (1, 2, -1)
    assert f.cache_key(1) == f.cache_key(a=1) != f.cache_key(2) and f.cache_key(1) in cache
    assert f.invalidate(1) and not f.invalidate(a=1)
    f(1), f(2)
    assert calls == [1, 2, 1]
    f.cache_clear()
    assert f.cache_info() == (0, 0, None, 0) and g.cache_key(1) in cache
    f(1), f(2)
    assert calls == [1, 2, 1, 1, 2]
    # If the mark of a clear is evicted, no older result comes back.
    cache.delete(("shmemo:generation", *f.cache_key(1)[1:3]))
    f(1)
    assert len(calls) == 6


def test_none_is_kept_and_exceptions_are_not(cache: shmemo.Cache) -> None:
    @cache.memoize
    def f(a: int) -> None:
        calls.append(a)
        if a:
            raise ValueError(a)

    f(0), f(0)
    for _ in range(2):
        with pytest.raises(ValueError, match="1"):
            f(1)
    assert calls == [0, 1, 1]


def test_options(cache: shmemo.Cache) -> None:
    def make(**options: Any) -> Any:
        def f(a: Any, log: Any = None) -> Any:
            calls.append(a)
            return a

        return cache.memoize(**options)(f)

    ignoring = make(ignore=("log",), name="ignoring")
    assert ignoring(1, log=object()) == ignoring(1, print) == 1 and len(calls) == 1
    typed = make(typed=True, name="typed")
    assert [typed(1), typed(1.0), typed(True), typed((1,)), typed((1.0,))] and len(calls) == 6
    keyed = make(key=lambda a, log=None: a["id"], name="keyed")
    assert keyed({"id": 1, "x": 1}) == keyed({"id": 1, "x": 2}) and len(calls) == 7
    picky = make(condition=lambda result: result > 0, name="picky")
    assert [picky(-1), picky(-1), picky(1), picky(1)] == [-1, -1, 1, 1] and len(calls) == 10
    brief = make(ttl=0.03, name="brief")
    brief(1), brief(1), time.sleep(0.04), brief(1)
    assert len(calls) == 12
    one, two, again = make(version=1, name="v"), make(version=2, name="v"), make(version=1, name="v")
    one(1), two(1), again(1)
    assert len(calls) == 14
    with pytest.raises(TypeError, match="nothing"):
        make(ignore="nothing")
    with pytest.raises(TypeError, match="generator"):
        cache.memoize(generator)
    with pytest.raises(TypeError, match="above"):
        cache.memoize(staticmethod(len))


class Model:
    def __init__(self, weight: int) -> None:
        self.weight = weight

    def __shmemo_key__(self) -> int:
        return self.weight


def test_methods(cache: shmemo.Cache) -> None:
    class Own(Model):
        @cache.memoize
        def run(self, x: int) -> int:
            calls.append(x)
            return self.weight * x

        @classmethod
        @cache.memoize
        def make(cls, x: int) -> str:
            calls.append(x)
            return f"{cls.__name__} {x}"

        @staticmethod
        @cache.memoize
        def plain(x: int) -> int:
            calls.append(x)
            return x

        @cache.memoize(ignore="self")
        def same(self, x: int) -> int:
            calls.append(x)
            return x

    class Sub(Own):
        pass

    @dataclass(frozen=True)
    class Frozen:
        weight: int

        @cache.memoize
        def run(self, x: int) -> int:
            calls.append(x)
            return self.weight + x

    assert [Own(2).run(3), Own(2).run(x=3), Own(3).run(3)] == [6, 6, 9] and len(calls) == 2
    assert [Own.make(1), Own.make(1), Sub.make(1)] == ["Own 1", "Own 1", "Sub 1"] and len(calls) == 4
    assert [Own.plain(1), Own(1).plain(1)] == [1, 1] and len(calls) == 5
    assert [Own(1).same(1), Own(2).same(1)] == [1, 1] and len(calls) == 6
    assert [Frozen(1).run(1), Frozen(1).run(1), Frozen(2).run(1)] == [2, 2, 3] and len(calls) == 8
    assert Own.run.invalidate(Own(2), 3)


def test_coroutines(cache: shmemo.Cache) -> None:
    @cache.memoize(ttl=60)
    async def f(a: int) -> int:
        calls.append(a)
        await asyncio.sleep(0)
        return a + 1

    async def main() -> list[Any]:
        return [await f(1), await f(a=1)]

    assert inspect.iscoroutinefunction(f) and asyncio.run(main()) == [2, 2] and calls == [1]


def test_a_result_that_does_not_fit_is_given_all_the_same(cache: shmemo.Cache) -> None:
    @cache.memoize
    def f(n: int) -> bytes:
        return bytes(n)

    with pytest.warns(shmemo.ShmemoWarning, match="not kept") as warned:
        assert len(f(1 << 20)) == 1 << 20
    assert warned[0].filename == __file__ and len(f(1 << 20)) == 1 << 20


def test_a_result_that_cannot_be_stored_is_given_all_the_same() -> None:
    with shmemo.Cache(capacity="2MB") as pickling, shmemo.Cache(capacity="2MB", pickle=False) as strict:

        def f(x: int) -> Any:
            calls.append(x)
            return x if x else threading.Lock()

        for cache in (pickling, strict):
            g = cache.memoize(f)
            with pytest.warns(shmemo.ShmemoWarning, match="lock"):
                assert type(g(0)) is type(threading.Lock())
            assert type(g(0)) is type(threading.Lock()) and g(1) == g(1) == 1
        assert calls == [0, 0, 1] * 2
    with pytest.raises(shmemo.Closed):
        g(1)


def test_what_no_call_could_use_is_refused_at_once(cache: shmemo.Cache) -> None:
    def f(a: int) -> int:
        return a

    for options, error in (
        ({"ttl": 0}, shmemo.ZeroTtl),
        ({"ttl": -1}, shmemo.InvalidTtl),
        ({"ttl": "1"}, TypeError),
        ({"version": [1]}, shmemo.UnsupportedKey),
        ({"key": "a"}, TypeError),
        ({"condition": 1}, TypeError),
        ({"ignore": ("b",)}, TypeError),
    ):
        with pytest.raises(error):
            cache.memoize(**options)(f)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="by their names"):
        cache.memoize(60)  # type: ignore[call-overload]
    # Those that other processes would not know have to be given a name.
    for nameless in (lambda x: x, functools.partial(f, 1), Callable()):
        with pytest.raises(TypeError, match="name="):
            cache.memoize(nameless)
        assert cache.memoize(name=repr(type(nameless)))(nameless) is not None
    with pytest.raises(TypeError, match="does not tell"):
        cache.memoize(max)
    with pytest.raises(TypeError, match="generator"):
        cache.memoize(functools.partial(generator))


def generator() -> Iterator[int]:
    yield 1


class Callable:
    def __call__(self, x: int) -> int:
        return x


def test_two_functions_of_one_name_are_told(cache: shmemo.Cache) -> None:
    def make(step: int) -> Any:
        def f(x: int) -> int:
            return x + step

        return f

    def f(x: int) -> int:
        return x

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.memoize(make(1))
        # The same again, and others by name or version.
        cache.memoize(make(1)), cache.memoize(version=2)(make(2)), cache.memoize(name="three")(make(3))
    for other in (make(2), functools.wraps(make(1))(f)):
        with pytest.warns(shmemo.NameCollisionWarning, match="name="):
            cache.memoize(version=other.__dict__.get("v"))(other)


def test_a_child_that_is_forked_while_another_thread_counts(cache: shmemo.Cache) -> None:
    @cache.memoize
    def f(x: int) -> int:
        return x

    with _memoize._counting:
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            os._exit(f(1) - 1)
    assert os.waitpid(pid, 0)[1] == 0 and f(1) == 1


def test_coroutines_that_do_not_look_like_one(cache: shmemo.Cache) -> None:
    class Async:
        async def __call__(self, x: int) -> int:
            calls.append(x)
            return x

    async def plain(x: int) -> int:
        calls.append(x)
        return x

    f, g = cache.memoize(name="f")(Async()), cache.memoize(name="g")(functools.partial(plain))

    async def main() -> list[int]:
        return [await f(1), await f(1), await g(2), await g(2)]

    assert asyncio.run(main()) == [1, 1, 2, 2] and calls == [1, 2]


def test_a_method_is_invalidated_by_its_class(cache: shmemo.Cache) -> None:
    class Own(Model):
        @cache.memoize
        def run(self, x: int) -> int:
            calls.append(x)
            return self.weight * x

    own = Own(2)
    assert own.run(3) == 6 and Own.run.invalidate(own, 3) and own.run(3) == 6 and calls == [3, 3]
    assert own.run.__wrapped__(own, 3) == 6


def compute(cache: shmemo.Cache, x: int) -> bool:
    """Whether the function ran."""

    @cache.memoize(name="compute")
    def f(x: int) -> int:
        calls.append(x)
        return x * x

    assert f(x) == x * x
    return bool(calls)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_memoized_function_can_be_a_task(method: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "tasks.py").write_text(
        f"import os, shmemo\ncache = shmemo.Cache(name={name!r}, capacity='2MB')\n"
        "@cache.memoize\ndef f(x):\n    cache.incr('runs')\n    return x * 2\n"
    )
    code = f"""if True:
        import multiprocessing, tasks
        if __name__ == "__main__":
            with multiprocessing.get_context({method!r}).Pool(2) as pool:
                assert pool.map(tasks.f, [1, 2, 1, 2] * 5, chunksize=20) == [2, 4, 2, 4] * 5
                pool.close()
                pool.join()
            assert tasks.f(1) == 2 and tasks.cache["runs"] == 2
    """
    (tmp_path / "main.py").write_text(code)
    done = subprocess.run([sys.executable, tmp_path / "main.py"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_results_are_shared_by_processes(method: str, cache: shmemo.Cache) -> None:
    with mp.get_context(method).Pool(1) as pool:
        assert pool.apply(compute, (cache, 3)) is True
    assert compute(cache, 3) is False
