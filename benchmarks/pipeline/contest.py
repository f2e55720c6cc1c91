"""All contestants on one network: they are started, set up at their best, and take turns."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from networks import NETWORKS, Lengths
from pipelining import SCHEDULES, Microbatches
from replicas import Replicas
from team import Run, Team

from associated_learning.pipeline.planning.costs import LayerCosts
from associated_learning.pipeline.planning.partition import balanced
from training import Backpropagation, Pipeline, Sequential

__all__ = ["CONTESTANTS", "Contest", "Settings", "hold"]

_MICROBATCHES = (2, 4, 8)
_BUCKETS_MIB = (1, 5, 25)
_TRIALS = 3
_EXECUTORS = ("threads", "processes")
_AL = ("al", "al_twice", "al_two", *_EXECUTORS)


class _Entry(NamedTuple):
    make: Callable[..., Any]
    ranks: int
    threads: int
    title: str


CONTESTANTS: dict[str, _Entry] = {
    "al": _Entry(Sequential, 1, 1, "AL, one thread"),
    "al_twice": _Entry(Sequential, 2, 1, "AL, two processes that share nothing"),
    "al_two": _Entry(Sequential, 1, 2, "AL, two intra-op threads"),
    "threads": _Entry(partial(Pipeline, executor="threads"), 1, 1, "AL pipeline, threads"),
    "processes": _Entry(partial(Pipeline, executor="processes"), 2, 1, "AL pipeline, processes"),
    "bp": _Entry(Backpropagation, 1, 1, "BP, one thread"),
    "bp_two": _Entry(Backpropagation, 1, 2, "BP, two intra-op threads"),
    "gpipe": _Entry(partial(Microbatches, schedule="gpipe"), 2, 1, "BP, GPipe"),
    "1f1b": _Entry(partial(Microbatches, schedule="1f1b"), 2, 1, "BP, 1F1B"),
    "interleaved": _Entry(
        partial(Microbatches, schedule="interleaved"), 2, 1, "BP, interleaved 1F1B"
    ),
    "ddp": _Entry(Replicas, 2, 1, "BP, DDP"),
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How long to measure.

    Attributes:
        steps: Steps of a run.
        rounds: Runs of each contestant.
        trial_steps: Steps of a run by which settings are chosen.
        names: Who takes part.
    """

    steps: int
    rounds: int
    trial_steps: int
    names: Sequence[str]


class Contest(NamedTuple):
    """What was measured on one network.

    Attributes:
        runs: One entry a round for every contestant, by its name and the lengths of the texts.
        short: One run each of only so many steps as settings were chosen by.
        chosen: What was found best for a contestant.
        exact: Whether AL's pipelines ended with the weights of AL in one thread; None without them.
    """

    runs: dict[tuple[str, Lengths], list[Run]]
    short: dict[tuple[str, Lengths], Run]
    chosen: dict[str, dict[str, Any]]
    exact: bool | None


def hold(network: str, settings: Settings) -> Contest:
    """Measure all contestants on one network."""
    with _started(network, settings.names) as teams:
        costs = _layer_costs(teams["al"], settings.trial_steps)
        chosen = {name: _set_up(name, team, costs, settings) for name, team in teams.items()}
        entries = [(name, lengths) for lengths in _lengths(network) for name in teams]
        # torch's pipelines need one shape; the others show that AL does not
        entries = [(name, kind) for name, kind in entries if kind == "fixed" or name in _AL]
        short = {
            (name, kind): teams[name].run(kind, settings.trial_steps) for name, kind in entries
        }
        runs = _alternate(teams, entries, settings)
        exact = _equal(teams, _lengths(network)[-1], settings.steps)
        return Contest(runs, short, chosen, exact)


@contextmanager
def _started(network: str, names: Iterable[str]) -> Iterator[dict[str, Team]]:
    teams: dict[str, Team] = {}
    try:
        for name in names:
            make, ranks, threads, _ = CONTESTANTS[name]
            teams[name] = Team(partial(make, network), ranks=ranks, threads=threads)
        yield teams
    finally:
        for team in teams.values():
            team.close()


def _lengths(network: str) -> list[Lengths]:
    return ["fixed", "varying"] if NETWORKS[network].texts else ["fixed"]


def _layer_costs(team: Team, steps: int) -> LayerCosts:
    """Return each layer's seconds a step; the fastest of some trials: others only slow it down."""
    trials = [team.run("fixed", steps).blocks for _ in range(_TRIALS)]
    (sizes,) = team.call("sizes_handed_on")
    return LayerCosts([min(times) / steps for times in zip(*trials, strict=True)], sizes)


def _set_up(name: str, team: Team, costs: LayerCosts, settings: Settings) -> dict[str, Any]:
    """Build what has to be built, and of several ways keep the fastest."""
    ways = _ways(name, costs)
    if not ways:
        return {}
    seconds = [_trial(team, way, settings.trial_steps) for way in ways] if ways[1:] else [0.0]
    chosen = ways[seconds.index(min(seconds))]
    team.call("build", **chosen)
    return chosen


def _ways(name: str, costs: LayerCosts) -> list[dict[str, Any]]:
    sizes = list(balanced(costs.seconds, 2))
    if name in ("threads", "processes"):  # as the library divides layers
        handing = costs.handing("thread" if name == "threads" else "process")
        return [{"sizes": list(balanced(costs.seconds, 2, handing=handing))}]
    if name == "ddp":
        return [{"bucket_mib": size} for size in _BUCKETS_MIB]
    if name not in SCHEDULES:
        return []
    # BP's times by layer differ from AL's, so the cuts beside AL's are tried too
    cuts = [list(balanced(costs.seconds, 4))] if name == "interleaved" else _beside(sizes)
    return [{"sizes": cut, "microbatches": m} for cut in cuts for m in _MICROBATCHES]


def _beside(sizes: list[int]) -> list[list[int]]:
    low, high = sizes
    return [[low + k, high - k] for k in (-1, 0, 1) if low + k > 0 and high - k > 0]


def _trial(team: Team, way: Mapping[str, Any], steps: int) -> float:
    team.call("build", **way)
    team.run("fixed", 2)
    return min(team.run("fixed", steps).seconds for _ in range(_TRIALS))


def _alternate(
    teams: Mapping[str, Team], entries: Sequence[tuple[str, Lengths]], settings: Settings
) -> dict[tuple[str, Lengths], list[Run]]:
    runs: dict[tuple[str, Lengths], list[Run]] = {entry: [] for entry in entries}
    gc.collect()
    for _ in range(settings.rounds):
        for name, lengths in entries:
            runs[name, lengths].append(teams[name].run(lengths, settings.steps))
    return runs


def _equal(teams: Mapping[str, Team], lengths: Lengths, steps: int) -> bool | None:
    """Train new networks and compare the weights of all layers, bit for bit."""
    digests = {
        name: team.call("digests", lengths=lengths, steps=steps)
        for name, team in teams.items()
        if name in ("al", *_EXECUTORS)
    }
    expected = digests.pop("al")[0]
    # every rank answers; rank 0 has the whole network when training has ended
    return all(ranks[0] == expected for ranks in digests.values()) if digests else None
