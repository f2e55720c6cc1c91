"""How does the time of an epoch grow with the number of batches, and with that of layers?

Run: ``python benchmarks/pipeline/growth.py``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from itertools import accumulate, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from depth import Epoch, deep, layer_seconds, plain_seconds, real_epoch, text, waiting
from rich.console import Console
from rich.table import Table

from associated_learning.pipeline.planning.partition import balanced
from associated_learning.pipeline.planning.simulation import simulate
from associated_learning.verification.memory import keep_freed_memory

IMAGE = Path(__file__).parents[2] / "docs" / "images" / "pipeline_growth.png"
MICROBATCHES = 8  # of the pipeline for backpropagation that is drawn beside ours
FIXED_DEPTH = 16
WAIT = 0.1  # seconds; the pipeline's own work for 64 stages has to fit into it on two cores


class Line(NamedTuple):
    """Seconds of an epoch by number of batches, or by number of layers."""

    pipeline: list[float]
    one_process: list[float]
    backpropagation: list[float]
    one_f_one_b: list[float]


class Check(NamedTuple):
    """A real run beside the simulated one.

    Attributes:
        what: What the layers do.
        stages: Number of stages.
        batches: Number of batches.
        real: Seconds of the real run.
        alone: Simulated by what the stages take in one process.
        together: Simulated by what they took in the real run, beside each other.
    """

    what: str
    stages: int
    batches: int
    real: float
    alone: float
    together: float


class Costs(NamedTuple):
    """What one batch takes in one process, measured at one depth.

    Attributes:
        layers: Seconds of each AL layer's update.
        plain: Seconds of a step of backpropagation.
    """

    layers: list[float]
    plain: float


def measure(depth: int, steps: int) -> Costs:
    """Measure the costs of a network of one depth."""
    layers = [statistics.median(column) for column in layer_seconds(depth, steps)]
    return Costs(layers, plain_seconds(depth, steps))


def over_batches(costs: Costs, counts: list[int], transfer: float) -> Line:
    """Return the epoch's time against the number of batches; a stage for each layer."""
    finish = simulate(costs.layers, max(counts), transfer=transfer).finish
    return Line(
        [float(finish[n - 1]) for n in counts],
        [n * sum(costs.layers) for n in counts],
        [n * costs.plain for n in counts],
        [n * _one_f_one_b(costs) for n in counts],
    )


def over_depth(costs: dict[int, Costs], batches: int, transfer: float) -> Line:
    """Return the epoch's time against the number of layers, with as many stages as layers."""
    runs = {d: simulate(cost.layers, batches, transfer=transfer) for d, cost in costs.items()}
    return Line(
        [runs[d].makespan for d in costs],
        [batches * sum(cost.layers) for cost in costs.values()],
        [batches * cost.plain for cost in costs.values()],
        [batches * _one_f_one_b(cost) for cost in costs.values()],
    )


def _one_f_one_b(costs: Costs) -> float:
    """Return the seconds of an update by its formula: equal stages, nothing to send.

    A stage for each layer, and microbatches that cost their share of the batch.
    """
    stages = len(costs.layers)
    return (MICROBATCHES + stages - 1) / MICROBATCHES * costs.plain / stages


def scatter_cost(depth: int, steps: int, batches: int) -> float:
    """Return how much longer an epoch is because times differ from batch to batch.

    Every layer's times are drawn anew from those measured for it.
    """
    columns = layer_seconds(depth, steps)
    generator = np.random.default_rng(0)
    drawn = [generator.choice(column, batches) for column in columns]
    means = [float(values.mean()) for values in drawn]
    return simulate(drawn).makespan / simulate(means, batches).makespan


def computing(depth: int, counts: list[int], steps: int) -> list[Check]:
    """Hold the simulation against real runs of two stages on two cores."""
    times = [statistics.median(column) for column in layer_seconds(depth, steps)]
    sizes = list(balanced(times, 2))
    real_epoch(deep(depth), sizes, text(), min(counts))
    return [
        _check("computing", sizes, n, times, real_epoch(deep(depth), sizes, text(), n))
        for n in counts
    ]


def emulated(depths: list[int], counts: list[int]) -> list[Check]:
    """Hold the simulation against real runs of many stages whose layers wait instead."""
    batch = (torch.zeros(2, 4), torch.tensor([0, 1]))
    return [
        _check("waiting", sizes, n, [WAIT] * depth, real_epoch(net, sizes, batch, n))
        for depth in depths
        for n in counts
        for sizes, net in [([1] * depth, waiting(depth, WAIT))]
    ]


def _check(what: str, sizes: list[int], n: int, alone: list[float], epoch: Epoch) -> Check:
    simulated = [
        simulate(_stage_times(times, sizes), n).makespan for times in (alone, epoch.layers)
    ]
    return Check(what, len(sizes), n, epoch.seconds, *simulated)


def _stage_times(layers: list[float], sizes: list[int]) -> list[float]:
    ends = [0, *accumulate(sizes)]
    return [sum(layers[a:b]) for a, b in pairwise(ends)]


def draw(
    counts: list[int], by_batches: Line, depths: list[int], by_depth: Line, path: Path
) -> None:
    """Draw both lines."""
    sys.path.append(str(Path(__file__).parents[1]))
    from pictures import canvas, save

    figure, (left, right) = canvas(2)
    for axes, values, line in ((left, counts, by_batches), (right, depths, by_depth)):
        axes.loglog(values, line.one_process, "s--", label="AL, one process")
        axes.loglog(values, line.backpropagation, "D:", label="BP, one process")
        axes.loglog(
            values,
            line.one_f_one_b,
            "^-.",
            label=f"BP, 1F1B, {MICROBATCHES} microbatches (formula)",
        )
        axes.loglog(values, line.pipeline, "o-", label="AL, a stage for each layer")
        axes.set_ylabel("seconds of an epoch")
    left.set_xlabel(f"batches n, {FIXED_DEPTH} layers")
    right.set_xlabel(f"layers L, {max(counts):,} batches")
    right.set_xticks(depths, [str(depth) for depth in depths])
    right.minorticks_off()
    left.legend(frameon=False)
    save(figure, path)


def line_table(title: str, name: str, values: list[int], line: Line) -> Table:
    """Return one line as a table."""
    made = Table(
        name,
        "AL, L stages",
        "AL, one process",
        "BP, one process",
        "BP, 1F1B by formula",
        title=title,
    )
    for i, value in enumerate(values):
        made.add_row(f"{value:,}", *[f"{column[i]:,.3g}" for column in line])
    return made


def check_table(checks: list[Check]) -> Table:
    """Return real runs beside simulated ones."""
    simulated = ("by times alone", "real over it", "by times together", "real over it")
    made = Table("layers are", "stages", "batches", "real, s", *simulated)
    for check in checks:
        cells = [f"{check.real:.2f}"]
        for seconds in (check.alone, check.together):
            cells += [f"{seconds:.2f}", f"{check.real / seconds:.3f}"]
        made.add_row(check.what, str(check.stages), str(check.batches), *cells)
    return made


def main() -> None:
    """Print tables, draw the picture, and print one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=7, help="steps by which layers are timed")
    parser.add_argument("--batches", type=int, default=10**6, help="the longest epoch")
    parser.add_argument("--transfer-ms", type=float, default=0.5, help="from stage to stage")
    parser.add_argument("--quick", action="store_true", help="short, to try it out")
    parser.add_argument("--image", type=Path, default=IMAGE)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    quick, transfer = arguments.quick, arguments.transfer_ms / 1e3
    steps, most = (3, 1000) if quick else (arguments.steps, arguments.batches)
    depths, counts = [2**k for k in range(7)], [n for n in _TENS if n <= most]
    costs = {depth: measure(depth, steps) for depth in depths}
    by_batches = over_batches(costs[FIXED_DEPTH], counts, transfer)
    by_depth = over_depth(costs, max(counts), transfer)
    checks = computing(8, [16, 64] if quick else [16, 64, 256, 1024], steps)
    checks += emulated([1, 4] if quick else [1, 4, 16, 64], [8] if quick else [8, 32])
    console = Console(width=110)
    for title, name, values, line in (
        (f"Seconds of an epoch, {FIXED_DEPTH} layers", "batches n", counts, by_batches),
        (f"Seconds of an epoch, {max(counts):,} batches", "layers L", depths, by_depth),
    ):
        console.print(line_table(title, name, values, line))
    console.print(check_table(checks))
    draw(counts, by_batches, depths, by_depth, arguments.image)
    deepest = costs[depths[-1]]
    found = {
        "stages": depths[-1],
        "batches": max(counts),
        "over_slowest_layer": by_depth.pipeline[-1] / (max(counts) * max(deepest.layers)),
        "one_process_over_pipeline": by_depth.one_process[-1] / by_depth.pipeline[-1],
        "scatter_cost": scatter_cost(FIXED_DEPTH, steps, min(most, 10**4)),
        "real_over_simulated": statistics.median(c.real / c.together for c in checks),
        "real_over_simulated_alone": statistics.median(c.real / c.alone for c in checks),
    }
    print(json.dumps({key: round(value, 4) for key, value in found.items()}))


_TENS = [10**k for k in range(7)]

if __name__ == "__main__":
    main()
