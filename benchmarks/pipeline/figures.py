"""The tables and the line of JSON that are made of what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

from contest import CONTESTANTS, Contest, Settings
from networks import Lengths
from rich.table import Table
from timing import Spread, ratios, spread

__all__ = ["numbers", "stage_table", "table"]

_BATCH = 32
_EXECUTORS = ("threads", "processes")
_RIVALS = {
    "over_one_thread": "al",
    "over_two_threads": "al_two",
    "over_bp_one_thread": "bp",
    "over_bp_two_threads": "bp_two",
    "over_gpipe": "gpipe",
    "over_1f1b": "1f1b",
    "over_interleaved": "interleaved",
    "over_ddp": "ddp",
}


def table(name: str, contest: Contest, settings: Settings) -> Table:
    """Return samples per second, bubbles and bytes of all contestants on one network."""
    columns = ("samples/s", "over AL, 1 thread", "bubble", "MB sent a step", "settings")
    title = f"{name}: {settings.steps} steps a run, n = {settings.rounds}"
    made = Table("contestant", *columns, title=title)
    for (key, lengths), runs in contest.runs.items():
        entry = CONTESTANTS[key]
        work = 2 if key == "al_twice" else 1
        per_second = spread([work * _BATCH * settings.steps / run.seconds for run in runs])
        seconds = [run.seconds / work for run in runs]
        over = ratios(_seconds(contest, "al", lengths), seconds)
        bubble = spread([100 * run.bubble for run in runs]).median
        # what is sent once a run, such as the weights at its end, falls out of the difference
        more = settings.steps - settings.trial_steps
        sent = spread([run.sent for run in runs]).median - contest.short[key, lengths].sent
        made.add_row(
            entry.title + (", varying lengths" if lengths == "varying" else ""),
            str(per_second),
            str(over),
            f"{bubble:.1f} %" if entry.threads == 1 else "",
            f"{sent / more / 1e6:.2f}" if entry.ranks > 1 else "",
            ", ".join(f"{what} {value}" for what, value in contest.chosen[key].items()),
        )
    return made


def stage_table(name: str, contest: Contest) -> Table:
    """Return AL's stages: milliseconds a step alone and together, the bound and what was reached.

    "Alone" is what the stage's layers take in one process with one thread; "together", while
    the other stage works beside it. What both lose there to each other (memory, caches, Python's
    lock) no pipeline can win back.
    """
    made = Table("", "bound", "speed-up", "share", "stages slower together by", title=f"{name}: AL")
    for key, lengths in contest.runs:
        if key in _EXECUTORS:
            alone, together = contest.runs["al", lengths], contest.runs[key, lengths]
            bounds = _bounds(contest, key, lengths)
            speed_ups = _speed_ups(contest, key, lengths)
            slower = ratios([sum(r.blocks) for r in together], [sum(r.blocks) for r in alone])
            made.add_row(
                f"{key}, {lengths} lengths",
                f"{spread(bounds).median:.3f}",
                str(spread(speed_ups)),
                f"{100 * ratios(speed_ups, bounds).median:.1f} %",
                f"{100 * (slower.median - 1):.1f} %",
            )
    return made


def numbers(found: Mapping[str, Contest]) -> dict[str, Any]:
    """Return the medians of all ratios: by executor, then by network."""
    line: dict[str, Any] = {
        "share_of_bound": _by_executor(found, partial(_share, lengths="fixed")),
        "share_of_bound_varying_lengths": _by_executor(found, partial(_share, lengths="varying")),
    }
    for title, rival in _RIVALS.items():
        line[title] = _by_executor(found, partial(_over, rival=rival))
    checked = [contest.exact for contest in found.values() if contest.exact is not None]
    line["exact"] = all(checked) if checked else None
    return line


def _by_executor(
    found: Mapping[str, Contest], figure: Callable[[Contest, str], Spread | None]
) -> dict[str, dict[str, float]]:
    made: dict[str, dict[str, float]] = {key: {} for key in _EXECUTORS}
    for name, contest in found.items():
        for key in _EXECUTORS:
            value = figure(contest, key)
            if value is not None:
                made[key][name] = round(value.median, 3)
    return made


def _share(contest: Contest, key: str, lengths: Lengths) -> Spread | None:
    if (key, lengths) not in contest.runs:
        return None
    return ratios(_speed_ups(contest, key, lengths), _bounds(contest, key, lengths))


def _over(contest: Contest, key: str, rival: str) -> Spread | None:
    if not {(key, "fixed"), (rival, "fixed")} <= contest.runs.keys():
        return None
    return ratios(_seconds(contest, rival, "fixed"), _seconds(contest, key, "fixed"))


def _seconds(contest: Contest, key: str, lengths: Lengths) -> list[float]:
    return [run.seconds for run in contest.runs[key, lengths]]


def _speed_ups(contest: Contest, key: str, lengths: Lengths) -> list[float]:
    alone, together = _seconds(contest, "al", lengths), _seconds(contest, key, lengths)
    return [a / b for a, b in zip(alone, together, strict=True)]


def _bounds(contest: Contest, key: str, lengths: Lengths) -> list[float]:
    """Return the sum of the stages' times over the largest of them, round by round."""
    ends = [0, *accumulate(contest.chosen[key]["sizes"])]
    bounds = []
    for run in contest.runs["al", lengths]:
        times = [sum(run.blocks[a:b]) for a, b in pairwise(ends)]
        bounds.append(sum(times) / max(times))
    return bounds
