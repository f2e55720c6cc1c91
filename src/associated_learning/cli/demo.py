"""``al demo``: AL and BP on the embedded digits in about a minute."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import typer
from rich.table import Table

from associated_learning.cli.tables import command, console, exit_names
from associated_learning.inference.parameters import count_parameters
from associated_learning.network import Network
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.inputs import load_data, training_batches
from associated_learning.runs.plots import plot_curves
from associated_learning.runs.printable import escape
from associated_learning.runs.result import RunResult, read_history
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import ResolvedConfig, RunConfig
from associated_learning.runs.settings.resolved import resolved
from associated_learning.state.optimizers import make_optimizers
from associated_learning.training.progress_bar import ProgressBar
from associated_learning.update import update_network
from associated_learning.verification.memory import keep_freed_memory, peak_memory

__all__ = ["demo"]

NAMES = {"al": "AL", "bp": "BP"}


class _Finished(NamedTuple):
    net: Network
    result: RunResult
    peak: int


def demo(
    folder: Annotated[
        str, typer.Option(help="Where the picture goes, and the runs of this demo.")
    ] = "runs/demo",
    epochs: Annotated[int, typer.Option(help="Number of epochs of each.")] = 30,
    layers: Annotated[int, typer.Option(help="Number of layers.")] = 5,
) -> None:
    """Train the same network by AL and by BP on real digits, offline, in about a minute.

    Shows the progress, then a table and a picture; leaves two runs to play with.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    keep_freed_memory()
    console.print(
        "scikit-learn's 1,797 handwritten digits; a network of "
        f"{layers} layers, trained twice. [bold]AL[/]: every layer by its own loss, no gradient "
        "between layers. [bold]BP[/]: end-to-end backpropagation."
    )
    # A new folder each time, so that the demo always shows the training.
    home = Path(tempfile.mkdtemp(dir=folder, prefix="run-"))
    finished = {method: _train(method, home, epochs, layers) for method in NAMES}
    histories = {NAMES[m]: read_history(home / m) for m in NAMES}
    picture = Path(folder) / "curves.png"
    plot_curves(histories, picture)
    console.print(_table(finished))
    al, run = escape(command()), escape(str(home / "al"))
    console.print(
        f"Curves: {escape(str(picture))}\n"
        f"Every depth of the AL network is a model: {al} evaluate {run} --depth all\n"
        f"What it is made of: {al} info {run}\n"
        f"Your own data: {al} train --data FILE.csv --text-column ... --label-column ... "
        "--model bilstm\n"
        f"All settings: {al} train --help",
        soft_wrap=True,
        highlight=False,
    )


def _train(method: str, home: Path, epochs: int, layers: int) -> _Finished:
    config = resolved(
        # one thread: the network is small, and more would only wait for each other
        RunConfig(
            method=method, epochs=epochs, num_layers=layers, patience=0, dropout=0.2, threads=1
        )
    )
    result = train_run(
        config, home / method, callbacks=[ProgressBar(NAMES[method], only_best=True)]
    )
    net = open_run(home / method).net
    return _Finished(net, result, _peak_of_a_step(config, net))


def _peak_of_a_step(config: ResolvedConfig, net: Network) -> int:
    """Return the peak memory in bytes of one training step beyond weights and optimizers."""
    x, y = next(training_batches(config, load_data(config)).epoch(0))
    t0 = net.target.encode(y)
    blocks = net.blocks()
    optimizers = make_optimizers(blocks, torch.optim.Adam, lr=0.0)
    step = functools.partial(update_network, blocks, optimizers, x, t0, step=0)
    step()  # makes the state of the optimizers, which is not counted
    for optimizer in optimizers:
        if optimizer is not None:
            optimizer.zero_grad(set_to_none=True)
    return peak_memory(step)


def _table(finished: dict[str, _Finished]) -> Table:
    table = Table()
    for heading in ("", "depth", "test accuracy", "parameters", "peak memory of a step", "seconds"):
        table.add_column(heading, justify="right")
    for method, (net, result, peak) in finished.items():
        counts = count_parameters(net).inference
        for i, name in enumerate(exit_names(net)):
            last = i == net.num_layers - 1
            table.add_row(
                NAMES[method] if i == 0 else "",
                name,
                f"{result.test_scores[i]:.4f}",
                f"{counts[i]:,}",
                f"{peak / 2**20:.2f} MiB" if last else "",
                f"{result.seconds:.1f}" if last else "",
                end_section=last,
            )
    return table
