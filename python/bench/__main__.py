"""What a hit and a store take, beside other caches: a table, and a chart.

    pip install cachetools cachebox diskcache warp-cache lmdb redis pymemcache duckframework
    apt-get install redis-server memcached
    python -P python/bench [--rounds 25] [--seconds 0.04] [--processes 1 2] [--chart docs/python-speed.svg]

1,000 keys for small values (a text of 14 characters) and 1,000 for long ones (1.5 KiB of bytes), in turn. In each round all
caches take turns, so that what else the machine does meets all of them; figures are microseconds for one call, medians over
the rounds, with the 10th and the 90th percentile, and of two processes the mean while both do the same. A cache that is not
shared has an instance in each. What is not installed is left out, and named.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import sys
from pathlib import Path

from chart import chart
from measure import WHATS, Samples, interleaved, ratio, spread, teams
from peers import BASE, OURS, PEERS, Peer
from servers import is_there

TIMES = "\u00d7"
HEADINGS = {
    "get_small": "hit, 14 characters",
    "get_long": "hit, 1.5 KiB",
    "set_small": "store, 14 characters",
    "set_long": "store, 1.5 KiB",
}


def present(chosen: list[str] | None) -> list[Peer]:
    """Those that can be measured here. Says what the others lack."""
    found = []
    for peer in PEERS:
        if chosen is not None and not any(part in peer.name for part in chosen):
            continue
        if importlib.util.find_spec(peer.module) is None:
            print(f"left out: {peer.name} (pip install {peer.package})", file=sys.stderr)
        elif peer.program is not None and not is_there(peer.program):
            print(f"left out: {peer.name} (apt-get install {peer.program})", file=sys.stderr)
        else:
            found.append(peer)
    return found


def shown(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def cell(samples: Samples, key: tuple[str, int, str], with_ratio: bool) -> str:
    if key not in samples:
        return ""
    tenth, median, ninetieth = spread(samples[key])
    text = f"{shown(median)} ({shown(tenth)}..{shown(ninetieth)})"
    times = ratio(samples, key, (BASE, *key[1:])) if with_ratio else None
    return text if times is None else f"{text}, {TIMES}{times:.2f}" if times < 10 else f"{text}, {TIMES}{times:.0f}"


def table(samples: Samples, peers: list[Peer], counts: list[int]) -> str:
    rows = [f"| cache | shared | processes | {' | '.join(HEADINGS[what] for what in WHATS)} |", "| --- " * (3 + len(WHATS)) + "|"]
    for peer in peers:
        for count in counts:
            cells = [cell(samples, (peer.name, count, what), what.startswith("get")) for what in WHATS]
            rows.append(f"| {peer.name} | {'yes' if peer.shared else 'no'} | {count} | {' | '.join(cells)} |")
    return "\n".join(rows)


def goals(samples: Samples) -> str:
    """What is to hold with one process, and what was found."""
    lines = ["what is to hold, one process:"]
    for what, most in (("get_small", 0.35), ("get_long", 0.5)):
        median = spread(samples[OURS, 1, what])[1]
        lines.append(f"  {HEADINGS[what]}: {median:.2f} µs of at most {most:.2f}")
    times = ratio(samples, (OURS, 1, "get_small"), (BASE, 1, "get_small"))
    if times is not None:
        lines.append(f"  beside {BASE}: {TIMES}{times:.2f} of at most {TIMES}0.60")
    for name, least in (("diskcache", 30), ("redis-py, Redis", 100), ("duckframework, the original", 500)):
        times = ratio(samples, (name, 1, "get_small"), (OURS, 1, "get_small"))
        if times is not None:
            lines.append(f"  faster than {name}: {times:.0f} times of at least {least}")
    return "\n".join(lines)


def kind_of(peer: Peer) -> str:
    return "ours" if peer.name.startswith("shmemo") else "shared" if peer.shared else "private"


def draw(samples: Samples, peers: list[Peer], counts: list[int]) -> str:
    panels = []
    for what in ("get_small", "get_long"):
        rows = []
        for peer in peers:
            bars = [spread(samples[key]) for key in ((peer.name, count, what) for count in counts) if key in samples]
            rows.append((peer.name, kind_of(peer), bars))
        panels.append((f"A {HEADINGS[what].replace('hit,', 'hit on')}, µs (bars grow by powers of ten)", rows))
    return chart("Time for one call from Python", panels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=0.04, help="how long each is measured in a round")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--peers", nargs="+", help="only those with one of these in their names")
    parser.add_argument("--chart", type=Path, help="where to write the chart")
    options = parser.parse_args()
    peers = present(options.peers)

    def tell(number: int) -> None:
        print(f"round {number} of {options.rounds}", file=sys.stderr, flush=True)

    with teams([(peer.name, peer.make) for peer in peers], options.processes) as made:
        samples = interleaved(made, options.rounds, options.seconds, tell)
    print(f"CPython {platform.python_version()}, {os.cpu_count()} cores; µs for one call: median (10 %..90 %), {TIMES} {BASE}\n")
    print(table(samples, peers, options.processes))
    if (OURS, 1, "get_small") in samples:
        print(f"\n{goals(samples)}")
    if options.chart is not None:
        options.chart.write_text(draw(samples, peers, options.processes))


if __name__ == "__main__":
    main()
