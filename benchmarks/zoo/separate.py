"""Layers in processes of their own: what crosses between them is files of activations."""

from __future__ import annotations

import gc
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

import associated_learning as al

__all__ = ["LayerProcesses"]

Part = Literal["f", "bridge", "h"]


class LayerProcesses:
    """One process for each position of a layer, started when first needed and kept for the zoo.

    A process reads its layer from a file for every call and forgets it afterwards.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._processes: dict[int, ProcessPoolExecutor] = {}

    def close(self) -> None:
        """End all processes."""
        for process in self._processes.values():
            process.shutdown()

    def infer(self, net: al.ALNetwork, x: Any, folder: Path) -> Tensor:
        """Run Algorithm 3 at full depth, every layer in its own process.

        Args:
            net: The network, in evaluation mode.
            x: A batch of inputs.
            folder: Where layers and activations are written.

        Raises:
            RuntimeError: A process held more parameters than its layer has.
        """
        for i, layer in enumerate(net.al_layers()):
            torch.save(layer, _layer_file(folder, i))
        torch.save(x, folder / "0.pt")
        last = net.num_layers - 1
        calls: list[tuple[int, Part]] = [(i, "f") for i in range(last + 1)]
        calls += [(last, "bridge"), *((i, "h") for i in range(last, -1, -1))]
        for number, (i, part) in enumerate(calls):
            source, result = folder / f"{number}.pt", folder / f"{number + 1}.pt"
            arguments = (_layer_file(folder, i), part, source, result)
            held = self._process(i).submit(run_part, *arguments).result()
            own = sum(parameter.numel() for parameter in net.al_layers()[i].parameters())
            if held != own:
                raise RuntimeError(
                    f"the process of layer {i + 1} held {held} parameters; its layer has {own}"
                )
        output: Tensor = torch.load(folder / f"{len(calls)}.pt")
        return output

    def _process(self, i: int) -> ProcessPoolExecutor:
        if i not in self._processes:
            self._processes[i] = ProcessPoolExecutor(
                1, get_context("spawn"), torch.set_num_threads, (self._threads,)
            )
        return self._processes[i]


def run_part(layer_file: Path, part: Part, source: Path, result: Path) -> int:
    """Run one part of a layer, read from a file, on activations read from another.

    Returns:
        Number of parameters that live in this process, used or not.
    """
    gc.collect()  # what is left of the layer before
    layer: nn.Module = torch.load(layer_file, weights_only=False)
    with torch.no_grad():
        torch.save(getattr(layer, part)(torch.load(source, weights_only=False)), result)
    alive = {id(o): o for o in gc.get_objects() if issubclass(type(o), nn.Parameter)}
    return sum(parameter.numel() for parameter in alive.values())


def _layer_file(folder: Path, i: int) -> Path:
    return folder / f"layer-{i + 1}.pt"
