"""What every architecture of the zoo must pass, each law judged by an independent oracle."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from architecture import CLASSES, Batch
from features import chained_features, original_features
from separate import LayerProcesses
from specimen import EXAMPLE, CheckError, Specimen
from torch import Tensor, nn

import associated_learning as al
from associated_learning.optim import make_optimizers

__all__ = ["CHECKS", "Setting"]

_BATCHES = ((EXAMPLE, 0), (3, 1), (5, 2))
_TRAINING = 8
_DRAWS = 8


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the checks share: number of training steps, learning rate, the processes."""

    steps: int
    lr: float
    processes: LayerProcesses


def isolation(specimen: Specimen, setting: Setting) -> None:
    """Each layer's loss has a gradient for its own f, and none for any other layer.

    The network is in training mode, and gradients are asked of autograd for all parameters.
    """
    net = specimen.net.train()
    parts = [dict(layer.named_parameters()) for layer in net.layers]
    _check_storage(parts)
    outputs = net.associate(*specimen.labelled(_TRAINING, 0))
    for i, output in enumerate(outputs):
        loss = torch.stack(list(output.losses.values())).sum()
        gradients = [_gradients(loss, part) for part in parts]
        own = gradients.pop(i)
        reached = [name for other in gradients for name in other]
        if reached:
            raise CheckError(f"the loss of layer {i + 1} reaches {reached[:3]} of other layers")
        if not any(name.startswith("f.") and bool(g.any()) for name, g in own.items()):
            raise CheckError(f"the loss of layer {i + 1} trains no parameter of its encoder")


def _gradients(loss: Tensor, parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    """Return the gradients of the parameters that autograd connects with the loss."""
    trained = {name: p for name, p in parameters.items() if p.requires_grad}
    found = torch.autograd.grad(loss, list(trained.values()), retain_graph=True, allow_unused=True)
    named = zip(trained, found, strict=True)
    return {name: gradient for name, gradient in named if gradient is not None}


def _check_storage(parts: list[dict[str, nn.Parameter]]) -> None:
    """Raise if parameters of two layers are views of the same memory."""
    owners: dict[int, int] = {}
    for i, part in enumerate(parts, start=1):
        for name, parameter in part.items():
            owner = owners.setdefault(parameter.untyped_storage().data_ptr(), i)
            if owner != i and parameter.numel():
                raise CheckError(f"{name} of layer {i} lies in the memory of layer {owner}")


def features(specimen: Specimen, setting: Setting) -> None:
    """The chained encoders give the features of the model as it was, bit for bit.

    Three batches of different sizes; those of texts differ in length too, and one has no
    padding.
    """
    _compare(specimen, specimen.original)


def backbone(specimen: Specimen, setting: Setting) -> None:
    """After training, ``net.backbone()`` is the original model with the trained weights."""
    model = specimen.net.backbone().eval()
    keys, expected = list(model.state_dict()), list(specimen.original.state_dict())
    if keys != expected:
        changed = sorted(set(keys) ^ set(expected))
        raise CheckError(f"the state of the backbone has other keys: {changed[:3]}")
    _compare(specimen, model)


def _compare(specimen: Specimen, model: nn.Module) -> None:
    net = specimen.net.eval()
    for n, number in _BATCHES:
        x = specimen.entry.batch(n, number)
        with torch.no_grad():
            expected = original_features(model, x, net.plan.dropped)
            found = chained_features(net, x)
        if torch.equal(expected, expected[:1].expand_as(expected)):
            raise CheckError("the features of all samples are the same: equality shows nothing")
        if not torch.equal(found, expected):
            raise CheckError(f"on batch {number} of {n} samples {_difference(found, expected)}")


def _difference(found: Tensor, expected: Tensor) -> str:
    if found.shape != expected.shape:
        return f"the shape is {list(found.shape)}; expected {list(expected.shape)}"
    return f"features differ by up to {float((found - expected).abs().max()):.2g}"


def depths(specimen: Specimen, setting: Setting) -> None:
    """Inference runs through every number of layers, and gives finite logits."""
    net, (x, y) = specimen.net.eval(), specimen.labelled(EXAMPLE, 0)
    for depth in range(1, net.num_layers + 1):
        with torch.no_grad():
            logits = net(x, depth=depth)
        if logits.shape != (len(y), CLASSES) or not bool(torch.isfinite(logits).all()):
            raise CheckError(f"depth {depth} gives {list(logits.shape)}, or values not finite")


def processes(specimen: Specimen, setting: Setting) -> None:
    """Every layer in a process of its own: logits equal those of one process, bit for bit."""
    net, x = specimen.net.eval(), specimen.entry.batch(*_BATCHES[1])
    with torch.no_grad():
        expected = net(x)
    with tempfile.TemporaryDirectory() as folder:
        found = setting.processes.infer(net, x, Path(folder))
    if not torch.equal(found, expected):
        raise CheckError(f"in separate processes {_difference(found, expected)}")


def training(specimen: Specimen, setting: Setting) -> None:
    """After some updates on one batch, every layer's loss on it is lower than before.

    Losses are those of training, averaged over the same draws of dropout before and after.
    """
    net, (x, y) = specimen.net, specimen.labelled(_TRAINING, 0)
    before = _mean_losses(net, x, y)
    blocks, t0 = net.train().blocks(), net.target.encode(y)
    optimizers = make_optimizers(blocks, torch.optim.Adam, lr=setting.lr)
    for step in range(setting.steps):
        al.update_network(blocks, optimizers, x, t0, seed=0, step=step)
    after = _mean_losses(net, x, y)
    worse = [
        f"layer {i}: {old:.4g} -> {new:.4g}"
        for i, (old, new) in enumerate(zip(before, after, strict=True), start=1)
        if not new < old
    ]
    if worse:
        raise CheckError(f"after {setting.steps} steps {', '.join(worse)}")


def _mean_losses(net: Any, x: Batch, y: Tensor) -> list[float]:
    """Return each layer's loss, the mean over draws of dropout that are the same in every call."""
    net.train()
    totals = torch.zeros(net.num_layers, dtype=torch.float64)
    for draw in range(_DRAWS):
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(draw)
            outputs = net.associate(x, y)
        totals += torch.tensor([float(sum(output.losses.values())) for output in outputs])
    return (totals / _DRAWS).tolist()


CHECKS: dict[str, Callable[[Specimen, Setting], None]] = {
    "features": features,  # the first: in training mode, BatchNorm's statistics change
    "isolation": isolation,
    "depths": depths,
    "processes": processes,
    "training": training,
    "backbone": backbone,
}
