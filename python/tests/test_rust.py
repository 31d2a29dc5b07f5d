"""A Rust service and Python workers meet in one cache."""

from __future__ import annotations

import datetime as dt
import math
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

import shmemo

ROOT = Path(__file__).parents[2]
QUESTIONS: list[Any] = [
    *(None, True, 0, -1, 2**63 - 1, 2**63, -(2**70), 1.5, math.inf, 1 - 2j, "", "grüße", "\ud800", "1234567", b"", b"1234567"),
    *(bytearray(b"x"), [1, [2.0, None]], (1, ("a",)), {"name": "Ada", 2: [True]}, {1}, frozenset({(1, "a")})),
    *(
        dt.date(2026, 1, 31),
        dt.datetime(2026, 1, 31, 12),
        dt.datetime(2026, 1, 31, tzinfo=dt.UTC),
        dt.time(1, 2),
        dt.timedelta(-1),
    ),
    *(UUID(int=5), Decimal("1.10"), np.float64(0.5), np.arange(6, dtype="<f4"), bytes(1000)),
]


def test_questions_are_answered(path: Path) -> None:
    with shmemo.Cache(path, capacity="16MB") as cache:
        numbers = {i: (i, i + 0.0, Decimal(i))[i % 3] for i in range(len(QUESTIONS))}
        cache.set_many((("question", number), QUESTIONS[i]) for i, number in numbers.items())
        cache.incr("answered", 1000)
        cache[b"\xff", "something else"] = 1
        command = ["cargo", "run", "--quiet", "--package", "shmemo-encoding", "--example", "service", "--", str(path)]
        subprocess.run(command, cwd=ROOT, check=True, timeout=600)
        assert cache["answered"] == 1000 + len(QUESTIONS)
        for i, question in enumerate(QUESTIONS):
            # Whoever asked by 2.0 finds the answer by 2.
            seen, answer = cache["answer", i]
            if isinstance(question, np.ndarray):
                assert answer.dtype == question.dtype and answer.tolist() == [question.sum()]
            elif type(question) is str and question.isprintable():
                assert answer == len(question) and question in seen
            else:
                assert answer == question and type(answer) is type(question), seen
        cache.verify()
