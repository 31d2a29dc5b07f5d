"""What the decorators give, for those who use it and for type checkers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from ._cache import Cache

P = ParamSpec("P")
Rest = ParamSpec("Rest")
Owner = TypeVar("Owner")
R = TypeVar("R")
Result = TypeVar("Result", covariant=True)


class CacheInfo(NamedTuple):
    """What `cache_info()` gives: calls of this process, and results that all processes hold now."""

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


class Memoized(Protocol[P, Result]):
    """A function that `Cache.memoize` was given: it is called as before, as a method too."""

    cache: Cache
    __name__: str
    __qualname__: str

    @property
    def __wrapped__(self) -> Callable[P, Result]:
        """The function itself, which looks nothing up and keeps nothing."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Result: ...

    @overload
    def __get__(self, instance: None, owner: Any, /) -> Memoized[P, Result]: ...
    @overload
    def __get__(self: Memoized[Concatenate[Owner, Rest], Result], instance: Owner, owner: Any, /) -> Callable[Rest, Result]: ...

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> tuple[Any, ...]:
        """The key of the result of this call in the cache. `cache_clear` changes it."""

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Removes the result of this call, for all processes. Tells whether there was one. Of a method the object is the first
        argument: `Class.method.invalidate(object, ...)`."""

    def cache_clear(self) -> None:
        """Forgets all results of this function, in all processes, and the counts of this one."""

    def cache_info(self) -> CacheInfo:
        """Counts. To count the results all keys of the cache are gone through."""


class MemoizedBatch(Protocol[P, Result]):
    """A function that `Cache.memoize_batch` was given. `cache_key` and `invalidate` take one input in place of the list."""

    cache: Cache
    __name__: str
    __qualname__: str

    @property
    def __wrapped__(self) -> Callable[P, Result]:
        """The function itself, which looks nothing up and keeps nothing."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Result: ...

    @overload
    def __get__(self, instance: None, owner: Any, /) -> MemoizedBatch[P, Result]: ...
    @overload
    def __get__(
        self: MemoizedBatch[Concatenate[Owner, Rest], Result], instance: Owner, owner: Any, /
    ) -> Callable[Rest, Result]: ...

    def cache_key(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """The key of one input's output in the cache."""

    def invalidate(self, *args: Any, **kwargs: Any) -> bool:
        """Removes one input's output, for all processes. Tells whether there was one."""

    def cache_clear(self) -> None:
        """Forgets all results of this function, in all processes, and the counts of this one."""

    def cache_info(self) -> CacheInfo:
        """Counts. To count the results all keys of the cache are gone through."""


class Memoizer(Protocol):
    """What `memoize` gives if it is given options alone."""

    def __call__(self, function: Callable[P, R], /) -> Memoized[P, R]: ...


class BatchMemoizer(Protocol):
    """What `memoize_batch` gives if it is given options alone."""

    def __call__(self, function: Callable[P, R], /) -> MemoizedBatch[P, R]: ...
