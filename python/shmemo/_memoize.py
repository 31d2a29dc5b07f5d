"""Memoizing: results of functions, shared by all processes."""

from __future__ import annotations

import functools
import inspect
import secrets
import threading
import warnings
from collections.abc import Callable, Iterable
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from ._arguments import Arguments, encode_values
from ._errors import Busy, NotAttached, ShmemoWarning, ValueTooLarge
from ._views import MISSING

if TYPE_CHECKING:
    from ._cache import Cache


class CacheInfo(NamedTuple):
    """What `cache_info()` gives: calls of this process, and results that all processes hold now."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


class Memoized:
    """What a decorator knows of one function."""

    def __init__(self, cache: Cache, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self.cache = cache
        self.function = function
        self.ttl = options["ttl"]
        self.condition = options["condition"]
        self.make_key = options["key"]
        self.typed = options["typed"]
        module = getattr(function, "__module__", "").replace("__mp_main__", "__main__")
        name = options["name"] or f"{module}:{getattr(function, '__qualname__', repr(function))}"
        self.arguments = Arguments(function, options["ignore"], options["typed"])
        self.name = (name, options["version"])
        self.generation_key = ("shmemo:generation", *self.name)
        self.own_generation = secrets.randbits(62)
        self.hits = self.misses = 0
        self.lock = threading.Lock()
        self.warned = False

    def generation(self) -> int:
        """A number that `cache_clear` changes. It is random, so one that was evicted never comes back."""
        found = self.cache.get(self.generation_key)
        if type(found) is int:
            return found
        try:
            made = self.cache.setdefault(self.generation_key, secrets.randbits(62), inf)
        except (Busy, NotAttached) as error:
            self.not_kept(error)
            return self.own_generation
        return made if type(made) is int else self.own_generation

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """The key of a call's result."""
        if self.make_key is not None:
            encoded = encode_values((self.make_key(*args, **kwargs),), self.typed)
        else:
            encoded = self.arguments.encoded(self.arguments.ordered(args, kwargs))
        return ("shmemo:result", *self.name, self.generation(), encoded)

    def lookup(self, key: Any) -> Any:
        """The result of this key, or MISSING."""
        result = self.cache.get(key, MISSING)
        self.count(result is not MISSING)
        return result

    def count(self, hit: bool, times: int = 1) -> None:
        """Counts calls of this process."""
        with self.lock:
            if hit:
                self.hits += times
            else:
                self.misses += times

    def keep(self, key: Any, result: Any) -> None:
        """Stores a result, if it is to be kept and fits. The caller has it in any case."""
        if self.condition is not None and not self.condition(result):
            return
        try:
            self.cache.set(key, result, self.ttl)
        except (Busy, NotAttached, ValueTooLarge) as error:
            self.not_kept(error)

    def not_kept(self, error: Exception) -> None:
        """Warns once."""
        if not self.warned:
            self.warned = True
            warnings.warn(f"a result of {self.name[0]} is not kept: {error}", ShmemoWarning, stacklevel=5)

    def invalidate(self, key: Any) -> bool:
        """Removes the result of this key. Tells whether there was one."""
        return self.cache.delete(key)

    def clear(self) -> None:
        """Forgets all results, in all processes. One that is being computed now is not kept for later callers."""
        self.cache.set(self.generation_key, secrets.randbits(62), inf)
        with self.lock:
            self.hits = self.misses = 0

    def info(self) -> CacheInfo:
        """Counts of this process, and the number of results."""
        head = ("shmemo:result", *self.name, self.generation())
        held = sum(1 for key in self.cache if isinstance(key, tuple) and key[:-1] == head)
        return CacheInfo(self.hits, self.misses, None, held)

    def compute(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Computes a result that is missing. The seam for having one process compute while the others wait."""
        result = self.function(*args, **kwargs)
        self.keep(key, result)
        return result

    async def compute_async(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same for an `async def`."""
        result = await self.function(*args, **kwargs)
        self.keep(key, result)
        return result

    def dress(self, wrapper: Any, key_of: Callable[..., Any]) -> Any:
        """Gives a wrapper its attributes."""
        functools.update_wrapper(wrapper, self.function)
        wrapper.cache_key = key_of
        wrapper.invalidate = lambda *args, **kwargs: self.invalidate(key_of(*args, **kwargs))
        wrapper.cache_clear = self.clear
        wrapper.cache_info = self.info
        wrapper.cache = self.cache
        return wrapper


def _check(function: Any) -> None:
    if isinstance(function, (classmethod, staticmethod)):
        raise TypeError(f"memoize the function, then make it a {type(function).__name__}: put that decorator above this one")
    if not callable(function):
        raise TypeError(f"a function is memoized, and this is {function!r}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__qualname__} is a generator, whose result can be used only once: return a list")


def memoize(cache: Cache, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """See `Cache.memoize`."""
    options["ignore"] = _names(options["ignore"])

    def decorate(function: Callable[..., Any]) -> Any:
        _check(function)
        memo = Memoized(cache, function, options)

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            key = memo.key(args, kwargs)
            result = memo.lookup(key)
            return result if result is not MISSING else await memo.compute_async(key, args, kwargs)

        def call(*args: Any, **kwargs: Any) -> Any:
            key = memo.key(args, kwargs)
            result = memo.lookup(key)
            return result if result is not MISSING else memo.compute(key, args, kwargs)

        wrapper = call_async if inspect.iscoroutinefunction(function) else call
        return memo.dress(wrapper, lambda *args, **kwargs: memo.key(args, kwargs))

    return decorate


def memoize_batch(cache: Cache, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """See `Cache.memoize_batch`."""
    options["ignore"] = _names(options["ignore"])

    def decorate(function: Callable[..., Any]) -> Any:
        _check(function)
        memo = Memoized(cache, function, options)

        def begin(inputs: Iterable[Any], rest: tuple[Any, ...], kwargs: dict[str, Any]) -> _Batch:
            items = list(inputs)
            return _Batch(memo, items, [memo.key((item, *rest), kwargs) for item in items])

        async def call_async(inputs: Iterable[Any], /, *rest: Any, **kwargs: Any) -> list[Any]:
            batch = begin(inputs, rest, kwargs)
            if batch.missing:
                batch.keep(await function(batch.inputs(), *rest, **kwargs))
            return batch.results()

        def call(inputs: Iterable[Any], /, *rest: Any, **kwargs: Any) -> list[Any]:
            batch = begin(inputs, rest, kwargs)
            if batch.missing:
                batch.keep(function(batch.inputs(), *rest, **kwargs))
            return batch.results()

        wrapper = call_async if inspect.iscoroutinefunction(function) else call
        return memo.dress(wrapper, lambda item, /, *rest, **kwargs: memo.key((item, *rest), kwargs))

    return decorate


def _names(ignore: Iterable[str]) -> tuple[str, ...]:
    return (ignore,) if isinstance(ignore, str) else tuple(ignore)


class _Batch:
    """One call of a function from a list to a list."""

    def __init__(self, memo: Memoized, items: list[Any], keys: list[Any]) -> None:
        self.memo, self.items, self.keys = memo, items, keys
        self.known = memo.cache.get_many(keys)
        # The first place of each key that has no result, in order.
        self.missing: dict[Any, int] = {}
        for place, key in enumerate(keys):
            if key not in self.known:
                self.missing.setdefault(key, place)
        memo.count(False, len(self.missing))
        memo.count(True, len(keys) - len(self.missing))

    def inputs(self) -> list[Any]:
        """What is to be computed."""
        return [self.items[place] for place in self.missing.values()]

    def keep(self, outputs: Iterable[Any]) -> None:
        """Takes what was computed."""
        outputs = list(outputs)
        if len(outputs) != len(self.missing):
            name = self.memo.name[0]
            words = f"{name} was given {len(self.missing)} inputs and gave {len(outputs)} outputs: it must give one for each"
            raise ValueError(words)
        for key, output in zip(self.missing, outputs, strict=True):
            self.known[key] = output
            self.memo.keep(key, output)

    def results(self) -> list[Any]:
        """The outputs of all inputs."""
        return [self.known[key] for key in self.keys]
