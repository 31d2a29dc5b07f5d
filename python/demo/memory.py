"""How much memory workers take."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path


def private(pid: int) -> int | None:
    """Bytes of physical memory that are a process's own; None if the system does not tell.

    Left out are the files that it maps, hence code and the weights of the model, which all workers share, and shared
    memory, hence the shared cache. The resident set size, which `ps` and `top` show, counts all that for each process.
    """
    try:
        return parse(Path(f"/proc/{pid}/smaps_rollup").read_text())
    except OSError:
        return None


def parse(rollup: str) -> int | None:
    """Reads what the kernel says of all the mappings of a process together."""
    for line in rollup.splitlines():
        name, _, rest = line.partition(":")
        if name == "Pss_Anon":
            return int(rest.split()[0]) * 1024
    return None


def hand_back() -> None:
    """Gives memory that was freed back to the system, so that what is left is in use. Not every C library can."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def of_all(pids: list[int]) -> int | None:
    """That of several processes together."""
    known = [size for size in map(private, pids) if size is not None]
    return sum(known) if len(known) == len(pids) else None
