"""Writes python/API.md from the docstrings of the package.

python -P python/apidoc.py          # writes it
python -P python/apidoc.py --check  # fails if it is not what is there
"""

from __future__ import annotations

import inspect
import sys
import warnings
from pathlib import Path
from typing import Any

import shmemo

PAGE = Path(__file__).with_name("API.md")
CLASSES = ["Cache", "Memoized", "MemoizedBatch", "CacheInfo", "ProcessSafeLRUCache", "Stats", "Report", "Serializer"]
# What the docstrings of special methods would say.
SPECIAL = {
    "__getitem__": "`cache[key]`: the value of a key. Raises KeyError if it has none.",
    "__setitem__": "`cache[key] = value`: as `set` with the default time to live.",
    "__delitem__": "`del cache[key]`: removes a key. Raises KeyError if it has no value.",
    "__contains__": "`key in cache`: whether the key has a value. Does not count as a use.",
    "__len__": "`len(cache)`: the number of entries of which it is not yet known that they have expired.",
    "__iter__": "`iter(cache)`: the keys, in no particular order.",
}


def members(cls: type) -> dict[str, Any]:
    """The public members that the package defines, those of its own bases included."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("shmemo"):
            found |= {name: item for name, item in vars(base).items() if not name.startswith("_")}
    return dict(sorted(found.items()))


def signature(item: Any) -> str:
    """Names and defaults; types are in the stub and in what editors show."""
    shown: list[str] = []
    for parameter in inspect.signature(item).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in shown:
            shown.append("*")
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = parameter.default
        if default is inspect.Parameter.empty:
            shown.append(stars + parameter.name)
        elif type(default) is object:
            shown.append(f"{parameter.name}=...")
        else:
            shown.append(f"{parameter.name}={oct(default) if parameter.name == 'mode' else repr(default)}")
    return f"({', '.join(shown)})"


def describe(cls: type) -> list[str]:
    lines = [f"## {cls.__name__}", ""]
    if "__init__" in vars(cls) and cls.__name__ in ("Cache", "ProcessSafeLRUCache"):
        lines += ["```text", f"{cls.__name__}{signature(cls.__init__)}", "```", ""]
    lines += [inspect.getdoc(cls) or "", ""]
    for name, item in members(cls).items():
        words = inspect.getdoc(item)
        if words and callable(item):
            lines += [f"### {name}", "", "```text", f"{name}{signature(item)}", "```", "", words, ""]
        elif (words and isinstance(item, property)) or inspect.isgetsetdescriptor(item):
            lines += [f"### {name}", "", words or "", ""]
    if cls is shmemo.Cache:
        lines += ["### Special methods", "", *(f"- {words}" for words in SPECIAL.values()), ""]
    return lines


def fields(cls: type) -> list[str]:
    if cls not in (shmemo.Stats, shmemo.Report, shmemo.CacheInfo):
        return []
    return ["Fields: " + ", ".join(f"`{name}`" for name in inspect.get_annotations(cls)) + ".", ""]


def page() -> str:
    lines = ["# The Python API", "", "Made from the docstrings by `python/apidoc.py`. The guide is `docs/guide.md`.", ""]
    for name in CLASSES:
        cls = getattr(shmemo, name)
        described = describe(cls)
        lines += [*described[:4], *fields(cls), *described[4:]]
    for title, root in (("Errors", shmemo.Error), ("Warnings", shmemo.ShmemoWarning)):
        lines += [f"## {title}", "", f"| {title.lower()} | is also | says |", "| --- | --- | --- |"]
        for name in sorted(shmemo.__all__):
            kind = getattr(shmemo, name)
            if isinstance(kind, type) and issubclass(kind, root):
                bases = ", ".join(base.__name__ for base in kind.__bases__ if base not in (Exception, UserWarning))
                lines.append(f"| `{name}` | {bases} | {inspect.getdoc(kind)} |")
        lines.append("")
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def main() -> int:
    warnings.simplefilter("error")
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page())
    elif PAGE.read_text() != page():
        print(f"{PAGE} is not what the docstrings say: run python -P python/apidoc.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
