"""Does conversion work on other people's architectures, and do its promises hold on each?

Run: ``python benchmarks/zoo/main.py``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections import Counter
from typing import Any, NamedTuple

import torch
import transformers
from architecture import Architecture
from architectures import ZOO
from packages import PACKAGES
from separate import LayerProcesses
from specimen import CheckError, convert

import associated_learning as al
from checks import CHECKS, Setting, rising_layers

_COLUMNS = ("convert", *CHECKS)
_ROW = "{:<20} {:<7}{:>7}{:>8}{:>12}  " + "{:>10}" * len(_COLUMNS) + "{:>8}{:>8}"

# Share of the time above which one layer is nearly the model: it passes, but little was gained.
_UNDIVIDED = 0.75


class Failure(NamedTuple):
    """A check that an architecture did not pass, and why.

    Attributes:
        name: Of the architecture.
        check: That it did not pass.
        reason: What was raised.
        fault: "silent" if it converted into something else, "foreign" if an error came that is
            not the library's, "needless" if it was refused.
    """

    name: str
    check: str
    reason: str
    fault: str


class Result(NamedTuple):
    """One row of the table."""

    entry: Architecture
    layers: int
    largest: float
    parameters: int
    rising: list[int]
    convert_seconds: float
    seconds: float
    failures: list[Failure]
    refusal: str = ""


def examine(entry: Architecture, setting: Setting) -> Result:
    """Convert an architecture and run all checks; what they raise is written down."""
    begin = time.perf_counter()
    try:
        specimen = convert(entry)
    except al.AssociatedLearningError as error:
        seconds = time.perf_counter() - begin
        explained = bool(entry.refused) and entry.refused in str(error)
        failures = [] if explained else [_failure(entry, "convert", error)]
        refusal = str(error) if explained else ""
        return Result(entry, 0, 1.0, 0, [], 0.0, seconds, failures, refusal)
    except Exception as error:  # every architecture gets its row, whatever happens to one
        seconds = time.perf_counter() - begin
        return Result(entry, 0, 1.0, 0, [], 0.0, seconds, [_failure(entry, "convert", error)])
    failures: list[Failure] = []
    if entry.refused:
        error = CheckError(f"it was converted; expected a refusal: {entry.refused}")
        failures.append(_failure(entry, "convert", error))
    found: dict[str, Any] = {}
    for name, check in {"rising": rising_layers, **CHECKS}.items():
        try:
            found[name] = check(specimen, setting)
        except Exception as error:
            failures.append(_failure(entry, name, error))
    parameters = sum(parameter.numel() for parameter in specimen.original.parameters())
    layers, ended = specimen.net.plan.layers, time.perf_counter()
    return Result(
        entry=entry,
        layers=len(layers),
        largest=max(layer.share for layer in layers),
        parameters=parameters,
        rising=found.get("rising", []),
        convert_seconds=specimen.seconds,
        seconds=ended - begin,
        failures=failures,
    )


def _failure(entry: Architecture, check: str, error: Exception) -> Failure:
    fault = "foreign"
    if isinstance(error, al.AssociatedLearningError):
        fault = "needless"
    elif isinstance(error, CheckError):
        fault = "silent"
    return Failure(entry.name, check, f"{type(error).__name__}: {error}", fault)


def show(result: Result) -> None:
    """Print a row, and below it why a check failed."""
    failed = {failure.check for failure in result.failures}
    convert = (
        "refused"
        if result.refusal
        else "FAIL"
        if "convert" in failed
        else f"{result.convert_seconds:.2f} s"
    )
    marks = ["FAIL" if name in failed else "ok" if result.layers else "-" for name in CHECKS]
    largest = f"{result.largest:.0%}" if result.layers else "-"
    cells = [result.entry.name, result.entry.kind, result.layers, largest]
    cells.append(f"{result.parameters:,}")
    rising = ",".join(map(str, result.rising)) or "-"
    print(_ROW.format(*cells, convert, *marks, rising, f"{result.seconds:.1f} s"), flush=True)
    if result.refusal:
        print(f"    refused, as expected: {result.refusal}", flush=True)
    for failure in result.failures:
        print(f"    {failure.check}: {failure.reason}", flush=True)


def main() -> None:
    """Print a row for each architecture, and as the last line what failed, in JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    known = {**ZOO, **PACKAGES}
    kinds = {entry.kind for entry in known.values()}
    parser.add_argument(
        "--only", choices=[*known, *kinds], nargs="+", default=[], metavar="NAME_OR_KIND"
    )
    parser.add_argument("--packages", metavar="FOLDER", help="take models of packages there, too")
    parser.add_argument("--steps", type=int, default=20, help="training steps on the fixed batch")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate of Adam")
    parser.add_argument("--threads", type=int, default=1, help="intra-op threads of torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.packages:
        sys.path.append(arguments.packages)
    transformers.logging.set_verbosity_error()
    warnings.filterwarnings("ignore", "The PyTorch API of nested tensors")
    processes = LayerProcesses(arguments.threads)
    setting = Setting(steps=arguments.steps, lr=arguments.lr, processes=processes)
    print(
        _ROW.format(
            "architecture", "kind", "layers", "largest", "parameters", *_COLUMNS, "rising", "all"
        )
    )
    results = []
    only = [n for n, e in known.items() if n in arguments.only or e.kind in arguments.only]
    for name in only or (known if arguments.packages else ZOO):
        results.append(examine(known[name], setting))
        show(results[-1])
    processes.close()
    print(json.dumps({**summary(results), "steps": arguments.steps, "lr": arguments.lr}))


def _count(results: list[Result], fault: str) -> int:
    """Return how many architectures have a fault of a kind."""
    return sum(any(failure.fault == fault for failure in r.failures) for r in results)


def summary(results: list[Result]) -> dict[str, Any]:
    """Return what is printed as JSON."""
    share = sum(not result.failures for result in results) / len(results)
    return {
        "models": len(results),
        "share": round(share, 4),
        "refused": [r.entry.name for r in results if r.refusal],
        "silent": _count(results, "silent"),
        "foreign": _count(results, "foreign"),
        "needless": _count(results, "needless"),
        "failed": [failure._asdict() for result in results for failure in result.failures],
        "kinds": dict(Counter(result.entry.kind for result in results)),
        "undivided": [r.entry.name for r in results if r.layers and r.largest > _UNDIVIDED],
        "rising": {r.entry.name: r.rising for r in results if r.rising},
    }


if __name__ == "__main__":
    main()
