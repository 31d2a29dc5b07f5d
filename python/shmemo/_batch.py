"""Memoizing functions from a list of inputs to the list of their outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from inspect import Parameter
from typing import TYPE_CHECKING, Any

from ._arguments import NAMED, POSITIONAL, name_of
from ._memoize import Memo, check_function, is_async

if TYPE_CHECKING:
    from ._cache import Cache

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Inputs:
    """Where a function takes its inputs: a parameter of this name, or the first that is no object or class."""

    def __init__(self, memo: Memo, name: str | None) -> None:
        self.signature = memo.arguments.signature
        parameters = self.signature.parameters
        positional = [key for key, parameter in parameters.items() if parameter.kind in POSITIONAL]
        if name is None:
            name = next((key for key in positional if key not in ("self", "cls")), None)
        if name is None or name not in parameters or parameters[name].kind not in NAMED:
            wanted = "a parameter for the list of inputs" if name is None else f"the parameter {name}, which batch= names"
            raise TypeError(f"{name_of(memo.function)} has not {wanted}")
        self.name = name
        self.place = positional.index(name) if name in positional else len(parameters)
        self.by_name = parameters[name].kind is not Parameter.POSITIONAL_ONLY

    def of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """The inputs of a call. Raises TypeError as the call would."""
        if len(args) > self.place:
            return list(args[self.place])
        if self.name in kwargs and self.by_name:
            return list(kwargs[self.name])
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return list(bound.arguments[self.name])

    def replaced(self, args: tuple[Any, ...], kwargs: dict[str, Any], value: Any) -> Arguments:
        """The arguments with this in place of the inputs."""
        if len(args) > self.place:
            return (*args[: self.place], value, *args[self.place + 1 :]), kwargs
        return args, {**kwargs, self.name: value}


class Batch:
    """One call of a function from a list to a list."""

    def __init__(self, memo: Memo, inputs: Inputs, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.memo, self.inputs, self.args, self.kwargs = memo, inputs, args, kwargs
        self.items = inputs.of(args, kwargs)
        generation = memo.generation()
        self.keys = [memo.key(*inputs.replaced(args, kwargs, item), generation) for item in self.items]
        self.known = memo.cache.get_many(self.keys)
        # The first place of each key that has no result, in order.
        self.missing: dict[Any, int] = {}
        for place, key in enumerate(self.keys):
            if key not in self.known:
                self.missing.setdefault(key, place)
        memo.count(False, len(self.missing))
        memo.count(True, len(self.keys) - len(self.missing))

    def rest(self) -> Arguments:
        """The arguments with those inputs only that are to be computed."""
        return self.inputs.replaced(self.args, self.kwargs, [self.items[place] for place in self.missing.values()])

    def compute(self) -> list[Any]:
        """Computes what is missing, and gives the outputs of all inputs."""
        if self.missing:
            args, kwargs = self.rest()
            self.keep(self.memo.function(*args, **kwargs))
        return self.outputs()

    async def compute_async(self) -> list[Any]:
        """The same for an `async def`."""
        if self.missing:
            args, kwargs = self.rest()
            self.keep(await self.memo.function(*args, **kwargs))
        return self.outputs()

    def keep(self, outputs: Any) -> None:
        """Takes what was computed."""
        name = self.memo.name[0]
        if isinstance(outputs, (str, bytes, Mapping, Set)) or not hasattr(outputs, "__iter__"):
            raise TypeError(f"{name} gave {type(outputs).__name__}, and must give the list of its inputs' outputs")
        outputs = list(outputs)
        if len(outputs) != len(self.missing):
            words = f"{name} was given {len(self.missing)} inputs and gave {len(outputs)} outputs: it must give one for each"
            raise ValueError(words)
        for key, output in zip(self.missing, outputs, strict=True):
            self.known[key] = output
            self.memo.keep(key, output)

    def outputs(self) -> list[Any]:
        """The outputs of all inputs."""
        return [self.known[key] for key in self.keys]


def memoize_batch(cache: Cache, batch: str | None, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """See `Cache.memoize_batch`."""

    def decorate(function: Callable[..., Any]) -> Any:
        check_function(function)
        memo = Memo(cache, function, options)
        inputs = Inputs(memo, batch)

        async def call_async(*args: Any, **kwargs: Any) -> list[Any]:
            return await Batch(memo, inputs, args, kwargs).compute_async()

        def call(*args: Any, **kwargs: Any) -> list[Any]:
            return Batch(memo, inputs, args, kwargs).compute()

        return memo.dress(call_async if is_async(function) else call)

    return decorate
