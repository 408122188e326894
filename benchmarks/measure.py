"""Timing whole processes: wall and CPU time, several runs in turn, medians and ratios."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of one run, its children included."""

    wall_s: float
    cpu_s: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.wall_s + other.wall_s, self.cpu_s + other.cpu_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What was measured of us and of the yardstick, and what we promise of the two."""

    what: str
    ours: float
    yardstick: str
    theirs: float
    limit: float
    """What ours may come to at most, by the promise."""
    promise: str
    unit: str = "s"

    @property
    def holds(self) -> bool:
        return self.ours <= self.limit


def run(
    arguments: Sequence[str | Path], cwd: Path, environ: Mapping[str, str] | None = None
) -> Cost:
    """One run to its end; a failure ends the benchmark with what the command said."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started_s = time.perf_counter()
    done = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        # What pip installed has its bytecode: so must ours, which is run from this checkout.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    wall_s = time.perf_counter() - started_s
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        command = " ".join(str(argument) for argument in arguments)
        raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return Cost(wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.wall_s for cost in costs),
        statistics.median(cost.cpu_s for cost in costs),
    )


def in_turn(runs: int, *measures: Callable[[], Cost]) -> list[Cost]:
    """Each measure's median over so many runs, one of each in turn: drift hits all alike."""
    costs: list[list[Cost]] = [[] for _ in measures]
    for _ in range(runs):
        for index, measure in enumerate(measures):
            costs[index].append(measure())
    return [median(series) for series in costs]


def report(claims: Sequence[Claim]) -> bool:
    """Prints a line a claim; True if all of them hold."""
    for claim in claims:
        ratio = claim.ours / claim.theirs
        less = "faster" if claim.unit == "s" else "less"
        told = f"{ratio:.2f} times that" if ratio > 1 else f"{1 / ratio:.1f} times {less}"
        digits = 3 if claim.unit == "s" else 0
        print(
            f"{'holds' if claim.holds else 'MISSED'}  {claim.what}: "
            f"{claim.ours:.{digits}f} {claim.unit}; "
            f"{claim.yardstick}: {claim.theirs:.{digits}f} {claim.unit}; {told} "
            f"({claim.promise})",
            flush=True,
        )
    return all(claim.holds for claim in claims)
