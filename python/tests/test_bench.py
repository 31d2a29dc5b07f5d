"""The benchmark runs, and says what it leaves out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

BENCH = Path(__file__).parents[1] / "bench"


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", BENCH, "--rounds", "2", "--seconds", "0.002", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


def test_a_table_and_a_chart(tmp_path: Path) -> None:
    chart = tmp_path / "chart.svg"
    done = bench("--peers", "shmemo", "functools", "Manager", "--processes", "1", "2", "--chart", str(chart))
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 2 * 5 and sum(row.startswith("| shmemo.Cache | yes | 2 | ") for row in rows) == 1
    assert "hit, 14 characters: " in done.stdout
    texts = {text.text for text in ElementTree.parse(chart).iter("{http://www.w3.org/2000/svg}text")}
    assert {"shmemo.Cache", "functools.lru_cache", "shared by processes"} <= texts


@pytest.mark.parametrize("peer", ["redis-py", "pymemcache"])
def test_a_server_that_is_not_there_is_named(peer: str, tmp_path: Path) -> None:
    done = bench("--peers", peer, "shmemo.Cache", "--processes", "1", PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert f"left out: {peer}" in done.stderr and ("apt-get install" in done.stderr or "pip install" in done.stderr)
    assert "| shmemo.Cache |" in done.stdout and f"| {peer}" not in done.stdout
