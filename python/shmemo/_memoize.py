"""Memoizing: results of functions, shared by all processes."""

from __future__ import annotations

import functools
import inspect
import os
import secrets
import threading
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from ._arguments import Arguments, encode_values, name_of
from ._errors import Busy, NameCollisionWarning, NotAttached, ShmemoWarning, UnsupportedKey
from ._memoized import CacheInfo
from ._native import check_ttl, encode_key
from ._views import MISSING
from ._warn import warn

if TYPE_CHECKING:
    from ._cache import Cache

# Held while calls are counted, for moments. A child may be forked in one of them.
_counting = threading.Lock()


def _renew_lock() -> None:
    global _counting
    _counting = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


class Memo:
    """What a decorator knows of one function."""

    def __init__(self, cache: Cache, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self.cache = cache
        self.function = function
        self.ttl = options["ttl"]
        self.condition = options["condition"]
        self.make_key = options["key"]
        self.typed = options["typed"]
        self.arguments = Arguments(function, options["ignore"], options["typed"])
        self.name = (options["name"] or _own_name(function), options["version"])
        self.generation_key = ("shmemo:generation", *self.name)
        self.own_generation = secrets.randbits(62)
        self.hits = self.misses = 0
        self.warned = False
        self.check(options)

    def check(self, options: dict[str, Any]) -> None:
        """Raises at once what each call would raise."""
        check_ttl(self.ttl)
        # The version has to be a key.
        encode_key(self.generation_key)
        for option in ("key", "condition"):
            if options[option] is not None and not callable(options[option]):
                raise TypeError(f"{option} is {options[option]!r}, and must be a function")
        fingerprint = _fingerprint(self.function)
        if self.cache._functions.setdefault(self.name, fingerprint) != fingerprint:
            words = (
                f"another function is memoized as {self.name[0]} already, and each gets the results of the other: "
                "give one of them a name=, or another version= if it takes the place of the other"
            )
            warn(words, NameCollisionWarning)

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

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any], generation: int | None = None) -> tuple[Any, ...]:
        """The key of a call's result."""
        if self.make_key is not None:
            encoded = encode_values((self.make_key(*args, **kwargs),), self.typed)
        else:
            encoded = self.arguments.encoded(self.arguments.ordered(args, kwargs))
        return ("shmemo:result", *self.name, self.generation() if generation is None else generation, encoded)

    def lookup(self, key: Any) -> Any:
        """The result of this key, or MISSING."""
        result = self.cache.get(key, MISSING)
        self.count(result is not MISSING)
        return result

    def count(self, hit: bool, times: int = 1) -> None:
        """Counts calls of this process."""
        with _counting:
            if hit:
                self.hits += times
            else:
                self.misses += times

    def keep(self, key: Any, result: Any) -> None:
        """Stores a result, if it is to be kept and can be. The caller has it in any case."""
        if self.condition is not None and not self.condition(result):
            return
        try:
            self.cache.set(key, result, self.ttl)
        except Exception as error:
            # There is no room for it, it is too long, or it cannot be encoded.
            self.not_kept(error)

    def not_kept(self, error: Exception) -> None:
        """Warns once."""
        if not self.warned:
            self.warned = True
            words = f"a result of {self.name[0]} is not kept, nor will others be: {type(error).__name__}: {error}"
            warn(words, ShmemoWarning)

    def invalidate(self, key: Any) -> bool:
        """Removes the result of this key. Tells whether there was one."""
        return self.cache.delete(key)

    def clear(self) -> None:
        """Forgets all results, in all processes. One that is being computed now is not kept for later callers."""
        self.cache.set(self.generation_key, secrets.randbits(62), inf)
        with _counting:
            self.hits = self.misses = 0

    def info(self) -> CacheInfo:
        """Counts of this process, and the number of results."""
        head = ("shmemo:result", *self.name, self.generation())
        held = sum(1 for key in self.cache if isinstance(key, tuple) and key[:-1] == head)
        return CacheInfo(self.hits, self.misses, None, held)

    # The seam for having one process compute while the others wait: all that is missing is computed in one of these two and in
    # their like for batches, which know the keys before they call the function, and have the results when it returns.

    def compute(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Computes a result that is missing."""
        result = self.function(*args, **kwargs)
        self.keep(key, result)
        return result

    async def compute_async(self, key: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same for an `async def`."""
        result = await self.function(*args, **kwargs)
        self.keep(key, result)
        return result

    def dress(self, wrapper: Any) -> Any:
        """Gives a wrapper its attributes."""
        functools.update_wrapper(wrapper, self.function)
        wrapper.cache_key = lambda *args, **kwargs: self.key(args, kwargs)
        wrapper.invalidate = lambda *args, **kwargs: self.invalidate(self.key(args, kwargs))
        wrapper.cache_clear = self.clear
        wrapper.cache_info = self.info
        wrapper.cache = self.cache
        return wrapper


def check_function(function: Any) -> None:
    if isinstance(function, (classmethod, staticmethod)):
        raise TypeError(f"memoize the function, then make it a {type(function).__name__}: put that decorator above this one")
    if not callable(function):
        raise TypeError(f"a function is memoized, and this is {function!r}: options are given by their names, as in ttl=60")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{name_of(function)} is a generator, whose result can be used only once: return a list")


def _own_name(function: Any) -> str:
    """Module and qualified name, by which other processes know the function."""
    name = getattr(function, "__qualname__", "<")
    if name.endswith("<") or name.endswith("<lambda>"):
        raise TypeError(f"{function!r} has no name by which other processes would know it: give it one by name=, or use def")
    return f"{function.__module__}:{name}".replace("__mp_main__", "__main__")


def _fingerprint(function: Any) -> list[Any]:
    """Differs for functions that are not the same, as far as can be told: by their code, and the simple values in it that come
    from the function around them. Of what other decorators made, that of all layers."""
    found: list[Any] = []
    while function is not None:
        found.append(getattr(function, "__code__", None))
        for cell in getattr(function, "__closure__", None) or ():
            try:
                found.append(hash(encode_key(cell.cell_contents)))
            except (UnsupportedKey, ValueError):
                found.append(None)
        function = getattr(function, "__wrapped__", None)
    return found


def is_async(function: Any) -> bool:
    """Whether a call gives a coroutine."""
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def memoize(cache: Cache, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """See `Cache.memoize`."""

    def decorate(function: Callable[..., Any]) -> Any:
        check_function(function)
        memo = Memo(cache, function, options)

        async def call_async(*args: Any, **kwargs: Any) -> Any:
            key = memo.key(args, kwargs)
            result = memo.lookup(key)
            return result if result is not MISSING else await memo.compute_async(key, args, kwargs)

        def call(*args: Any, **kwargs: Any) -> Any:
            key = memo.key(args, kwargs)
            result = memo.lookup(key)
            return result if result is not MISSING else memo.compute(key, args, kwargs)

        return memo.dress(call_async if is_async(function) else call)

    return decorate
