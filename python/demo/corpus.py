"""Real text with natural repeats: the copyright notices that this machine's packages brought along.

They name the same authors and quote the same licences over and over. What a machine has too little of them is filled up
with the source of Python's standard library, which is there wherever Python is.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# With this many lines there is enough.
ENOUGH = 12_000
# No more lines than this are taken of one file, so that a few long ones do not drown the others.
MOST_OF_A_FILE = 50
# No more bytes than this are read of one file.
MOST_BYTES = 1 << 16
# Shorter lines are marks rather than text, longer ones data rather than text.
SHORTEST, LONGEST = 4, 1000


@dataclass(frozen=True)
class Text:
    """Lines, by file and in their own order, and a sentence about them."""

    lines: list[str]
    origin: str


def gather() -> Text:
    """Reads the notices, and if they are too few the library."""
    lines: list[str] = []
    origins: list[str] = []
    sources = [("copyright notices of this machine's packages", notices()), ("files of Python's standard library", library())]
    for name, files in sources:
        found = [lines_of(file) for file in files] if len(lines) < ENOUGH else []
        if any(found):
            origins.append(f"{sum(map(len, found)):,} lines from the beginnings of {len(found):,} {name}")
            lines.extend(line for part in found for line in part)
    if not lines:
        raise SystemExit("this machine has no text to work on")
    return Text(lines, " and ".join(origins))


def notices(doc: Path = Path("/usr/share/doc"), licenses: Path = Path("/usr/share/licenses")) -> Iterator[Path]:
    """Where Debian and its kin have them, and where Fedora and Arch do. Links to those of another package are left out."""
    for package in entries(doc):
        yield from (file for file in entries(package) if file.name == "copyright" and file.is_file())
    for package in entries(licenses):
        yield from (file for file in entries(package) if file.is_file())


def library() -> Iterable[Path]:
    """The modules of the standard library, without what was installed beside them."""
    root = Path(sysconfig.get_path("stdlib"))
    return sorted(file for file in root.rglob("*.py") if not {"site-packages", "dist-packages"} & set(file.parts))


def entries(directory: Path) -> list[Path]:
    """What is in a directory, links left out, by name. Nothing if it cannot be read or is none."""
    try:
        return sorted(entry for entry in directory.iterdir() if not entry.is_symlink())
    except OSError:
        return []


def lines_of(file: Path) -> list[str]:
    """The first lines of a file that are text, without the marks of comments and lists around them."""
    try:
        with open(file, "rb") as stream:
            text = stream.read(MOST_BYTES).decode(errors="replace")
    except OSError:
        return []
    stripped = (line.strip().strip("#*/.").strip() for line in text.splitlines())
    return [line for line in stripped if is_text(line)][:MOST_OF_A_FILE]


def is_text(line: str) -> bool:
    """Whether there is something to read in a line."""
    return SHORTEST <= len(line) <= LONGEST and any(letter.isalpha() for letter in line)
