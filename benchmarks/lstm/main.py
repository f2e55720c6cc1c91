"""How fast is one bidirectional LSTM layer on one CPU core, by which way of running it?"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from timing import CLOCKS, Spread, alternate, ratios

from associated_learning.models import BiLSTM
from associated_learning.models import lstm as ways
from associated_learning.tensors.float32_products import use_fast_products
from associated_learning.tensors.padded_sequence import PaddedSequence

Way = Callable[[nn.LSTM, Tensor, Tensor], tuple[Tensor, ways.States]]
Timed = Callable[[dict[str, Callable[[], object]]], dict[str, list[float]]]


class Shape(NamedTuple):
    """One layer on batches of 64; lengths as in a bucketed batch around the mean."""

    name: str
    mean_length: int
    input_size: int
    hidden: int


SHAPES = (
    Shape("sst2 layer 1", 20, 100, 300),
    Shape("sst2 layer 2", 20, 600, 300),
    Shape("sst2 layer 2, bp", 20, 700, 350),
    Shape("ag_news layer 1", 40, 100, 300),
    Shape("ag_news layer 2", 40, 600, 300),
    Shape("ag_news layer 2, bp", 40, 700, 350),
)


def padded(lstm: nn.LSTM, values: Tensor, lengths: Tensor) -> tuple[Tensor, ways.States]:
    """Run as if padding were text: not exact."""
    out, states = lstm(values)
    return out, states


def in_bfloat16(way: Way) -> Way:
    """Run under autocast."""

    def run(lstm: nn.LSTM, values: Tensor, lengths: Tensor) -> tuple[Tensor, ways.States]:
        with torch.autocast("cpu", torch.bfloat16):
            return way(lstm, values, lengths)

    return run


WAYS: dict[str, Way] = {
    "packed": ways.run_packed,
    "kernel": ways.run_on_kernel,
    "reversed": ways.run_reversed,
    "padded": padded,
    "packed bf16": in_bfloat16(ways.run_packed),
    "padded bf16": in_bfloat16(padded),
}


def lengths_of(mean: int, batch: int = 64) -> Tensor:
    """Return lengths within a fifth of the mean, as bucketing leaves them."""
    return torch.randint(int(mean * 0.8), int(mean * 1.2) + 1, (batch,))


def layer_step(way: Way, lstm: nn.LSTM, values: Tensor, lengths: Tensor) -> list[Tensor]:
    """Run forward and backward; return outputs at real tokens, states and gradients."""
    out, (h, _) = way(lstm, values, lengths)
    real = torch.arange(values.shape[1]).unsqueeze(0) < lengths.unsqueeze(1)
    out = out.float() * real.unsqueeze(2)
    loss = out.square().mean() + h.float().square().mean()
    gradients = torch.autograd.grad(loss, [values, *lstm.parameters()])
    return [out.detach(), h.detach().float(), *gradients]


def error(ours: list[Tensor], exact: list[Tensor]) -> float:
    """Return the largest difference relative to the largest value of each tensor."""
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, exact, strict=True))


def compare_layers(shape: Shape, timed: Timed) -> dict[str, float]:
    """Print one table of ways; return their ratios to packed."""
    lstm = nn.LSTM(shape.input_size, shape.hidden, batch_first=True, bidirectional=True)
    lengths = lengths_of(shape.mean_length)
    values = torch.randn(64, int(lengths.max()), shape.input_size, requires_grad=True)
    steps = {name: partial(layer_step, way, lstm, values, lengths) for name, way in WAYS.items()}
    exact = steps["packed"]()
    times = timed({**steps})
    print(f"\n{shape.name}: D={shape.input_size} H={shape.hidden} T~{shape.mean_length}")
    print("| way | ms | over packed | error |\n|---|---|---|---|")
    found = {name: ratios(times[name], times["packed"]) for name in steps}
    for name, step in steps.items():
        milliseconds = statistics.median(times[name]) * 1e3
        wrong = error(step(), exact)
        print(f"| {name} | {milliseconds:.1f} | {found[name]} | {wrong:.1e} |")
    return {name: round(one.median, 3) for name, one in found.items() if name != "packed"}


@contextlib.contextmanager
def model_runs_packed() -> Iterator[None]:
    """Let the models run packed instead of on the kernel."""
    with (
        mock.patch.object(ways, "run_on_kernel", ways.run_packed),
        mock.patch.object(ways, "_uncompiled_kernel", return_value=ways.run_packed),
    ):
        yield


def compare_models(timed: Timed) -> Spread:
    """Return the time of a whole training step with the kernel over that with packed ones."""
    model = BiLSTM(embedding_dim=100, hidden=300, out_features=2)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    lengths = lengths_of(20)
    batch = PaddedSequence(torch.randint(1, 30_000, (64, int(lengths.max()))), lengths)
    labels = torch.randint(2, (64,))

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(batch), labels).backward()
        optimizer.step()

    def step_packed() -> None:
        with model_runs_packed():
            step()

    times = timed({"packed": step_packed, "kernel": step})
    print("\nwhole training step: embedding 30k x 100, 2 layers of 300, Adam, T~20")
    for name, column in times.items():
        print(f"{name}: {statistics.median(column) * 1e3:.1f} ms")
    return ratios(times["kernel"], times["packed"])


def main() -> None:
    """Measure all shapes and one whole model; print JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="alternating rounds (9)")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    use_fast_products()  # as commands do
    torch.manual_seed(0)
    timed = partial(alternate, rounds=asked.rounds, warmup=1, clock=CLOCKS[asked.clock])
    layers = {shape.name: compare_layers(shape, timed) for shape in SHAPES}
    step = round(compare_models(timed).median, 3)
    print(json.dumps({"lstm_over_packed": layers, "step_over_packed": step, "n": asked.rounds}))


if __name__ == "__main__":
    main()
