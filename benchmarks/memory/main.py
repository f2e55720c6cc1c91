"""How does the peak memory of one training step grow with the depth of the network?

Run: ``python benchmarks/memory/main.py``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import associated_learning as al
from associated_learning import models
from associated_learning.runs.folder.provenance import describe_hardware
from associated_learning.state.optimizers import make_optimizers
from associated_learning.tensors.nested import to_device
from associated_learning.verification.memory import peak_memory

IMAGE = Path(__file__).parents[2] / "docs" / "images" / "memory.svg"
CLASSES, VOCABULARY, WIDTH, LENGTH = 4, 30_000, 256, 60


class Batch(NamedTuple):
    """One minibatch of texts."""

    x: al.PaddedSequence
    y: Tensor


class Checkpointed(nn.Module):
    """An encoder that keeps its inputs only, and runs once more in the backward pass."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, s: al.PaddedSequence) -> al.PaddedSequence:
        """Return what the encoder returns."""
        result: al.PaddedSequence = checkpoint(self.encoder, s, use_reentrant=False)
        return result


def transformer(depth: int) -> models.LayeredModel:
    """Return an embedding and ``depth`` Transformer layers."""
    return models.Transformer(
        vocabulary_size=VOCABULARY,
        embedding_dim=WIDTH,
        heads=8,
        feedforward=2 * WIDTH,
        num_layers=depth,
        out_features=CLASSES,
    )


def layer_by_layer(net: al.Network, batch: Batch) -> Callable[[], object]:
    """Return one update by `update_network`; backpropagation's network is its one layer."""
    blocks, t0 = net.blocks(), net.target.encode(batch.y)
    optimizers = make_optimizers(blocks)
    return lambda: al.update_network(blocks, optimizers, batch.x, t0, step=0)


def sum_of_losses(net: al.ALNetwork, batch: Batch) -> Callable[[], object]:
    """Return one update of all layers by a single backward pass over the sum of their losses."""
    optimizer = torch.optim.Adam(net.parameters(), fused=True)

    def update() -> None:
        outputs = net.associate(batch.x, batch.y)
        torch.stack(
            [loss for output in outputs for loss in output.losses.values()]
        ).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return update


def step_in_backward(net: al.BPNetwork, batch: Batch) -> Callable[[], object]:
    """Return one update that gives up each gradient at once: its weight steps in the backward."""
    own = {weight: torch.optim.Adam([weight], fused=True) for weight in net.parameters()}

    def step(weight: Tensor) -> None:
        own[weight].step()
        weight.grad = None

    for weight in own:
        weight.register_post_accumulate_grad_hook(step)
    (block,), t0 = net.blocks(), net.target.encode(batch.y)
    return lambda: block(batch.x, t0).losses["task"].backward()


def measure(method: str, depth: int, batch: Batch) -> float:
    """Return the peak of a second update in MiB."""
    model, target = transformer(depth).to(batch.y.device), al.Classes(CLASSES)
    net: al.Network
    if method.startswith("AL"):
        net = associated = al.al_form(model.layers, batch.x, target, association=None)
        joint = method == "AL, sum of losses"
        update = sum_of_losses(associated, batch) if joint else layer_by_layer(net, batch)
    else:
        if "checkpointing" in method:
            model.layers = nn.ModuleList(Checkpointed(layer) for layer in model.layers)
        net = backpropagated = al.BPNetwork(model, target)
        stepping = method.endswith("step in the backward")
        update = (step_in_backward if stepping else layer_by_layer)(backpropagated, batch)
    update()  # makes the optimizer's state, which lives before the update that is measured
    net.zero_grad(set_to_none=True)
    return peak_memory(update, batch.y.device) / 2**20


METHODS = {
    "al": "AL, layer by layer",
    "al_sum": "AL, sum of losses",
    "bp": "BP",
    "bp_checkpointing": "BP, checkpointing",
    "bp_stepping": "BP, checkpointing, step in the backward",
}


def plot(depths: list[int], found: dict[str, list[float]]) -> None:
    """Draw memory against depth."""
    sys.path.append(str(Path(__file__).parents[1]))
    from pictures import canvas, save

    figure, (axes,) = canvas()
    colours = ["#2f7fc1", "#5aa6a0", "#d1632a", "#c99a2e", "#8a6d1f"]
    for key, marker, style, colour in zip(
        METHODS, "osD^v", ["-", "--", "-", "-.", ":"], colours, strict=True
    ):
        axes.plot(depths, found[key], style, marker=marker, color=colour, label=METHODS[key])
    axes.set_xlabel("Transformer layers")
    axes.set_ylabel("peak memory of one training step, MiB")
    axes.set_xticks(depths)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    save(figure, IMAGE)


def main() -> None:
    """Print a table, draw the figure, and print the table again as a last line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depths", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1, help="intra-op threads of torch")
    parser.add_argument("--device", default="cpu", help="cpu, which draws the figure too; or cuda")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    ids = torch.randint(1, VOCABULARY, (arguments.batch, LENGTH))
    lengths = torch.full((arguments.batch,), LENGTH)
    y = torch.randint(CLASSES, (arguments.batch,))
    batch = Batch(*to_device((al.PaddedSequence(ids, lengths), y), arguments.device))
    found = {
        key: [round(measure(method, depth, batch), 1) for depth in arguments.depths]
        for key, method in METHODS.items()
    }
    table = Table("MiB", *[f"{depth} layers" for depth in arguments.depths])
    for key, method in METHODS.items():
        table.add_row(method, *[f"{value:.1f}" for value in found[key]])
    Console(width=100).print(table)
    if arguments.device == "cpu":
        plot(arguments.depths, found)
    values = {f"{key}_mib": row for key, row in found.items()}
    settings = {"depths": arguments.depths, "batch": arguments.batch}
    settings["hardware"] = describe_hardware(arguments.device)
    print(json.dumps({**settings, **values}))


if __name__ == "__main__":
    main()
