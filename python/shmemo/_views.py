"""Views of a cache: none raises for an entry that went away while it was looked at."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._cache import Cache

MISSING: Any = object()


class CacheKeys(KeysView[Any]):
    """The keys, in no particular order."""

    __slots__ = ()


class CacheValues(ValuesView[Any]):
    """The values, in no particular order."""

    __slots__ = ()
    _mapping: Cache

    def __iter__(self) -> Iterator[Any]:
        return self._mapping._values()

    def __contains__(self, value: object) -> bool:
        return any(value is other or value == other for other in self)


class CacheItems(ItemsView[Any, Any]):
    """Pairs of key and value, in no particular order."""

    __slots__ = ()
    _mapping: Cache

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self._mapping._items()

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2:
            return False
        value = self._mapping.get(item[0], MISSING)
        return value is item[1] or (value is not MISSING and bool(value == item[1]))
