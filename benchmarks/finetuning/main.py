"""What does a fine-tuning step of MiniLM cost by AL and by backpropagation: memory and time?

Run: ``python benchmarks/finetuning/main.py``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModel

sys.path.insert(0, str(Path(__file__).parents[1]))  # timing.py and update.py serve several

from timing import CLOCKS, alternate, ratios
from update import training_step

import associated_learning as al
from associated_learning.models import LayeredModel
from associated_learning.pipeline.offload.recomputation import Recomputation
from associated_learning.verification.memory import keep_freed_memory, peak_memory

CUTS = {6: (1, 2, 3, 4, 5), 3: (2, 4), 2: (3,)}
CLASSES = 2


def minilm() -> nn.Module:
    """Return a network of MiniLM-L6's shape (its weights matter for neither memory nor time)."""
    config = AutoConfig.for_model(
        "bert", hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
        intermediate_size=1536, vocab_size=30522,
    )  # fmt: skip
    return AutoModel.from_config(config, add_pooling_layer=False)


def converted(num_layers: int, x: dict[str, Tensor], **bridge: Any) -> al.ConvertedNetwork:
    """Return MiniLM by AL in so many layers, its embeddings frozen."""
    model = minilm()
    for parameter in model.embeddings.parameters():
        parameter.requires_grad_(False)
    names = [f"encoder.layer.{i}" for i in CUTS[num_layers]]
    return al.convert(
        model,
        x,
        target=al.Classes(CLASSES),
        at=names,
        association=None,
        **(bridge or {"bridge": "mlp", "bridge_hidden": 384}),
    )


class ComputedTwice(nn.Module):
    """An encoder whose activations are computed again in the backward pass."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, s: Any) -> Any:
        """Return what the encoder makes of its input."""
        return checkpoint(self.encoder, s, use_reentrant=False)


def backpropagated(x: dict[str, Tensor], *, checkpointing: bool = False) -> al.BPNetwork:
    """Return the same encoders, a block each, with a linear head, trained end to end."""
    layers = converted(6, x).al_layers()
    encoders = [ComputedTwice(layer.f) if checkpointing else layer.f for layer in layers]
    model = LayeredModel(encoders, layers[-1].readout, nn.Linear(384, CLASSES))
    return al.BPNetwork(model, al.Classes(CLASSES))


def contestants(
    x: dict[str, Tensor], y: Tensor
) -> dict[str, tuple[Callable[[], None], AbstractContextManager[None]]]:
    """Return an update of each network by name, and the context that it is made in.

    Recomputed: each part of a block (attention, the two maps) by itself, so that less of a block
    is in memory than all of it. It is the same for both methods.
    """
    kept = {
        "BP": backpropagated(x),
        "BP, checkpointing": backpropagated(x, checkpointing=True),
        **{f"AL, {n} layers": converted(n, x) for n in CUTS},
        "AL, 3 layers, lookahead 1": converted(3, x, bridge="block"),
        "AL, 6 layers, lookahead 2": converted(6, x, bridge="block", bridge_blocks=2),
    }
    parts = {f"{name}, recomputed": copy.deepcopy(net) for name, net in kept.items()}
    found = {}
    for name, net in {**kept, **parts}.items():
        context = Recomputation(net.blocks()) if name in parts else nullcontext()
        found[name] = training_step(net.train(), x, y, torch.optim.AdamW), context
    return found


def inside(context: AbstractContextManager[None], step: Callable[[], None]) -> None:
    """Do one update in its context, which can be entered again."""
    with context:
        step()


def main() -> None:
    """Print a table, and ratios to backpropagation as one line of JSON last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=64, help="tokens of every text")
    parser.add_argument("--threads", type=int, default=2, help="intra-op threads of torch")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    shape = (arguments.batch, arguments.length)
    x = {"input_ids": torch.randint(1, 30000, shape), "attention_mask": torch.ones(shape).long()}
    y = torch.randint(CLASSES, (arguments.batch,))
    steps, peaks = {}, {}
    for name, (step, context) in contestants(x, y).items():
        steps[name] = functools.partial(inside, context, step)
        steps[name]()  # makes the optimizer's state, which lives before the update measured next
        peaks[name] = peak_memory(steps[name]) / 2**20
    keep_freed_memory()
    rounds = arguments.rounds
    seconds = alternate(steps, rounds=rounds, warmup=1, clock=CLOCKS[arguments.clock])
    table = Table("method", "peak, MiB", "of BP's", "step, of BP's", "n")
    line: dict[str, object] = {"batch": arguments.batch, "length": arguments.length, "n": rounds}
    for name, peak in peaks.items():
        ratio = ratios(seconds[name], seconds["BP"])
        share = peak / peaks["BP"]
        table.add_row(name, f"{peak:.1f}", f"{share:.3f}", str(ratio), str(ratio.n))
        line[name] = {"memory": round(share, 3), "time": round(ratio.median, 3)}
    Console(width=100).print(table)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
