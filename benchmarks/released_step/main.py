"""How many samples a second does AL train here, and how many by the released code's step?

Run: ``python benchmarks/released_step/main.py``. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import associated_learning as al
from associated_learning import models
from associated_learning.state.optimizers import make_optimizers
from associated_learning.tensors.float32_products import use_fast_products

sys.path.insert(0, str(Path(__file__).parents[1]))  # timing.py and multiplying.py serve several

from multiplying import MKL, ONEDNN, multiplying
from released import ReleasedNetwork, ReleasedStep
from timing import CLOCKS, alternate, ratios, spread

PRODUCTS = "float32 products by oneDNN"  # on processors of AMD
BATCH, LENGTH, WORDS, DIM, HIDDEN, LATENT, CLASSES = 64, 60, 30_000, 300, 300, 128, 4

# tokens a text, cut at 60: the 5th, 15th, .. 95th percentile of the training sets' first 20,000
LENGTHS = {
    "agnews": (27, 34, 38, 41, 44, 47, 50, 53, 58, 60),
    "sst2": (1, 2, 4, 5, 6, 8, 11, 14, 19, 28),
}


def batch(lengths: tuple[int, ...]) -> tuple[al.PaddedSequence, Tensor]:
    """Return random words, padded to 60, with lengths drawn from a distribution; and labels."""
    drawn = torch.tensor(lengths)[torch.randint(len(lengths), (BATCH,))]
    ids = torch.randint(1, WORDS, (BATCH, LENGTH))
    ids = ids.masked_fill(torch.arange(LENGTH) >= drawn.unsqueeze(1), 0)
    return al.PaddedSequence(ids, drawn), torch.randint(CLASSES, (BATCH,))


def released(x: al.PaddedSequence, y: Tensor, *, fused: bool, report: bool) -> Callable[[], object]:
    """Return one update as the released code does it, over the padding."""
    net = ReleasedNetwork(words=WORDS, dim=DIM, hidden=HIDDEN, classes=CLASSES, latent=LATENT)
    update = ReleasedStep(net, fused=fused, report=report)
    return lambda: update(x.values, y)


class PaddedLSTM(nn.Module):
    """torch's own bidirectional LSTM over the padding, as an encoder."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, HIDDEN, batch_first=True, bidirectional=True)

    def forward(self, s: al.PaddedSequence) -> al.PaddedSequence:
        """Return the outputs and final states."""
        out, (h, _) = self.lstm(s.values)
        return al.PaddedSequence(out, s.lengths, h.transpose(0, 1))


def ours(
    x: al.PaddedSequence,
    y: Tensor,
    *,
    torch_lstm: bool = False,
    precision: torch.dtype | None = None,
) -> Callable[[], object]:
    """Return one `update_network` on the same sizes, by default as the library runs it."""
    recurrent = PaddedLSTM if torch_lstm else lambda width: models.BiLSTMLayer(width, HIDDEN)
    embedding = models.TokenEmbedding(vocabulary_size=WORDS, dim=DIM)
    net = al.al_form(
        [embedding, recurrent(DIM), recurrent(2 * HIDDEN)],
        x,
        al.Classes(CLASSES),
        latent=LATENT,
        readout=[models.MaskedMean(), models.StateSum(), models.StateSum()],
        bridge="activated",
        association=None,
        linear_decoders=True,
    )
    blocks, t0 = net.blocks(), net.target.encode(y)
    optimizers, rule = make_optimizers(blocks, lr=1e-3), al.UpdateRule(precision=precision)
    return lambda: al.update_network(blocks, optimizers, x, t0, step=0, rule=rule)


def ladder(x: al.PaddedSequence, y: Tensor) -> dict[str, Callable[[], object]]:
    """Return the steps from theirs to ours; each changes one thing of the one before."""
    full = al.PaddedSequence(x.values.clamp_min(1), torch.full((BATCH,), LENGTH))
    cut = int(x.lengths.max())
    trimmed = al.PaddedSequence(x.values[:, :cut], x.lengths)
    steps = {
        "released": released(x, y, fused=False, report=True),
        "no inference, no .item()": released(x, y, fused=False, report=False),
        "fused Adam": released(x, y, fused=True, report=False),
        "our update_network": ours(full, y, torch_lstm=True),
        "our LSTM kernel": ours(full, y),
        "true lengths": ours(trimmed, y),
    }
    if use_fast_products():  # for all that follows; set back before each step that goes before
        steps = {name: multiplying(MKL, step) for name, step in steps.items()}
        steps[PRODUCTS] = multiplying(ONEDNN, ours(trimmed, y))
    return {**steps, "bfloat16 autocast": ours(trimmed, y, precision=torch.bfloat16)}


def main() -> None:
    """Print the ladder, and as the last line the throughputs and gains in JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="intra-op threads of torch")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--lengths", choices=LENGTHS, default="agnews")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    x, y = batch(LENGTHS[arguments.lengths])
    seconds = alternate(ladder(x, y), rounds=arguments.rounds, clock=CLOCKS[arguments.clock])
    names = list(seconds)
    table = Table("step", "samples / s", "x released", "x row above", "n")
    by: dict[str, float] = {}
    for before, name in zip([names[0], *names], names, strict=False):
        per_second = spread([BATCH / value for value in seconds[name]])
        total = ratios(seconds[names[0]], seconds[name])
        gain = ratios(seconds[before], seconds[name])
        by[name] = round(gain.median, 3)
        table.add_row(name, str(per_second), str(total), str(gain), str(gain.n))
    Console(width=100).print(table)
    # what the commands do unless asked for bfloat16
    default = PRODUCTS if PRODUCTS in seconds else "true lengths"
    rates = {
        "released": round(spread([BATCH / value for value in seconds["released"]]).median, 2),
        "ours": round(spread([BATCH / value for value in seconds[default]]).median, 2),
    }
    speedup = round(ratios(seconds["released"], seconds[default]).median, 3)
    del by["released"]
    settings = {
        "n": arguments.rounds,
        "lengths": arguments.lengths,
        "threads": arguments.threads,
        "clock": arguments.clock,
    }
    print(json.dumps({"samples_per_second": rates, "speedup": speedup, "by": by, **settings}))


if __name__ == "__main__":
    main()
