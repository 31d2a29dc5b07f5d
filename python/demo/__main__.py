"""Several worker processes run a real sentence model over real text, three times over the same lines: without a cache,
with `functools.lru_cache` in each process, and with one cache that all of them share.

    python python/demo [--workers 4] [--lines 4096] [--seconds 90] [--output DIRECTORY]

Prints a table and a chart, and fails if the results of the three ways are not the same to the last bit.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import NoReturn

import chart
import corpus
import model
import table
from job import Outcome, differences, run

NOTE = """memory: physical memory that is the workers' own and in use, all together (Pss_Anon in /proc/PID/smaps_rollup), and all
of the shared cache; not the model's weights, which they all map from one file. New: what was not there before the first line."""


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=positive, default=4, help="worker processes (4)")
    parser.add_argument("--lines", type=positive, default=4096, help="how many lines to use (4096)")
    parser.add_argument("--seconds", type=positive, default=90, help="after how long to use fewer (90)")
    parser.add_argument("--output", type=Path, help="where to put the table and the chart as files")
    return parser.parse_args()


def positive(text: str) -> int:
    """A number of something."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be more than zero")
    return number


def run_all(options: argparse.Namespace) -> list[Outcome]:
    """Says what is to be done, and does it."""
    text = corpus.gather()
    lines = text.lines[: options.lines]
    print(f"text: {text.origin}")
    print(f"model: {model.NAME} from the package {model.PACKAGE.replace('_', '-')}, in each worker on one processor")
    print(f"job: {len(lines):,} lines, {len(set(lines)):,} of them different; {options.workers} workers for each way, in turns")
    print(flush=True)
    return run(lines, options.workers, options.seconds)


def show(outcomes: list[Outcome], options: argparse.Namespace) -> None:
    """Prints what came out, and keeps it."""
    print(f"\n{table.plain(outcomes)}\n\n{NOTE}")
    print("".join(f"{one.note}\n" for one in outcomes if one.note))
    print(chart.plain(outcomes))
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        caption = f"{model.NAME} over {len(outcomes[0].digests):,} lines by {options.workers} workers"
        (options.output / "chart.svg").write_text(chart.svg(outcomes, caption))
        (options.output / "table.md").write_text(table.markdown(outcomes))
        print(f"\nkept as {options.output / 'chart.svg'} and {options.output / 'table.md'}")


def stop(*_: object) -> NoReturn:
    """Ends in order: workers and files are cleared away."""
    raise SystemExit("stopped")


def main() -> None:
    """Runs the demo."""
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    options = parse()
    outcomes = run_all(options)
    show(outcomes, options)
    different = differences(outcomes)
    if different:
        sys.exit(f"\nWRONG: {different} results differ from those without a cache")
    print("\nall three ways gave the same results, to the last bit")


if __name__ == "__main__":
    main()
