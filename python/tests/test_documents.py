"""Every block of Python in the documents runs as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = [
    pytest.param(block, id=f"{name}-{i}")
    for name in ("README.md", "docs/guide.md", "docs/migrating.md")
    for i, block in enumerate(re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), re.DOTALL | re.MULTILINE))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_runs(block: str, tmp_path: Path) -> None:
    script = tmp_path / "block.py"
    # Names and paths of this test alone.
    text = re.sub(r'"/dev/shm/[\w.]+"', repr(str(tmp_path / "cache")), block)
    text = re.sub(r'name="(\w[\w-]*)"', lambda match: f'name="{match[1]}-{tmp_path.name}"', text)
    text = re.sub(r"# computing .*", "", text)
    script.write_text(text)
    done = subprocess.run([sys.executable, "-W", "error", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 9
    # And none in the other documents, whose blocks would not be run.
    others = {path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("python/*.md")]}
    for path in others - {ROOT / "README.md", ROOT / "docs/guide.md", ROOT / "docs/migrating.md"}:
        assert "```python" not in path.read_text(), path


def test_the_page_of_the_api_is_what_the_docstrings_say() -> None:
    script = ROOT / "python" / "apidoc.py"
    done = subprocess.run([sys.executable, "-P", script, "--check"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
