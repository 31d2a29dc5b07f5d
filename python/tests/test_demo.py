"""The demonstration: what it is made of, and the whole of it on a few lines."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

DEMO = Path(__file__).parents[1] / "demo"


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives modules of the demonstration by name."""
    monkeypatch.syspath_prepend(DEMO)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    return importlib.import_module


def test_the_whole(tmp_path: Path) -> None:
    command = [sys.executable, str(DEMO), "--lines", "120", "--workers", "2", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all three ways gave the same results, to the last bit" in done.stdout

    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in (tmp_path / "table.md").read_text().splitlines()]
    head, _, *rows = table
    assert [row[0] for row in rows] == ["no cache", "functools.lru_cache", "shmemo"]
    without, private, shared = (int(row[head.index("model runs")].replace(",", "")) for row in rows)
    assert without == 120 and 0 < shared <= 120 and 0 < private <= 120
    assert all(row[head.index("memory")].endswith(" MB") for row in rows)

    picture = ElementTree.parse(tmp_path / "chart.svg").getroot()
    words = [element.text for element in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert words.count("shmemo") == 3 and "time" in words


def test_the_model_gives_what_was_published_of_it(part: Any) -> None:
    model = part("model").Model()
    result = model.embed("This is an example sentence")
    expected = [0.0676569, 0.0634959, 0.0487131, 0.0793050, 0.0374480]
    np.testing.assert_allclose(result[:5], expected, atol=2e-7)
    assert model.runs == 1 and result.shape == (384,)
    cat, kitten, licence = (model.embed(line) for line in ("a cat", "a kitten", "Permission is granted to modify it"))
    assert cat @ kitten > 0.7 > 0.3 > cat @ licence


def test_notices_are_read_and_the_library_fills_up(part: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = part("corpus")
    package = tmp_path / "doc" / "package"
    package.mkdir(parents=True)
    (package / "copyright").write_text("/* Permission is granted */\n\n----\n * 1.2.3\n # to anybody\n" + "again\n" * 99)
    (package / "changelog").write_text("not this\n")
    (tmp_path / "doc" / "link").symlink_to(package)
    notices = list(corpus.notices(tmp_path / "doc", tmp_path / "nothing"))
    assert notices == [package / "copyright"]
    assert corpus.lines_of(notices[0]) == ["Permission is granted", "to anybody"] + ["again"] * 48

    monkeypatch.setattr(corpus, "notices", lambda: iter(notices))
    text = corpus.gather()
    assert len(text.lines) > 5000 and text.lines[:2] == ["Permission is granted", "to anybody"]
    assert text.origin.startswith("50 lines from the beginnings of 1 copyright notices") and "standard library" in text.origin


def test_memory_is_what_is_a_process_s_own(part: Any) -> None:
    memory = part("memory")
    rollup = "5581-7ffe ---p 00000000 00:00 0 [rollup]\nRss: 50 kB\nPss: 30 kB\nPss_Anon: 12 kB\nPss_File: 9 kB\n"
    assert memory.parse(rollup) == 12 * 1024
    assert memory.parse("Rss: 50 kB\n") is None
    assert 1 << 20 < memory.private(os.getpid()) < 1 << 34
    assert memory.of_all([os.getpid(), 2**22 + 1]) is None


def test_different_results_are_counted(part: Any) -> None:
    job, ways = part("job"), part("ways")
    same, other = (job.Outcome(ways.Way.SHARED, 1.0, digests, 2, None, None) for digests in ([b"a", b"b"], [b"a", b"c"]))
    assert job.differences([same, same, same]) == 0
    assert job.differences([same, other, other]) == 2


def test_the_death_of_a_worker_is_an_error(part: Any, tmp_path: Path) -> None:
    crew, ways = part("crew"), part("ways")
    with crew.Crew(ways.Way.WITHOUT, 1, tmp_path / "unused") as workers:
        workers.prepare()
        os.kill(workers.progress[0].pid, signal.SIGKILL)
        with pytest.raises(SystemExit, match="worker 1 with no cache has ended with code -9"):
            workers.turn(["a line"] * 9, lambda _: None)
