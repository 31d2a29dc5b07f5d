"""What the tests share."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

import shmemo


@pytest.fixture
def cache() -> Iterator[shmemo.Cache]:
    with shmemo.Cache(capacity="8MB") as cache:
        yield cache


@pytest.fixture
def path() -> Iterator[Path]:
    """A path in /dev/shm at which nothing is."""
    path = Path(f"/dev/shm/shmemo-test-{uuid.uuid4().hex}")
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def name() -> Iterator[str]:
    """A name of a cache, of which nothing must be left."""
    name = f"test-{uuid.uuid4().hex}"
    yield name
    left = Path(f"/dev/shm/shmemo-{os.geteuid()}-{name}")
    if left.exists():
        left.unlink()
        pytest.fail(f"{left} was left behind")
