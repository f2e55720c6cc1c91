"""What every architecture of the zoo must pass, each law judged by an independent oracle."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from architecture import Batch
from features import call, chained_features, first_tensor, original_features
from separate import LayerProcesses
from specimen import EXAMPLE, CheckError, Specimen
from torch import Tensor, nn

import associated_learning as al
from associated_learning.state.optimizers import make_optimizers
from associated_learning.tensors.randomness.keyed import seeded

__all__ = ["CHECKS", "Setting", "rising_layers"]

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
            expected = original_features(model, x, _heads(net))
            found = chained_features(net, x)
        if torch.equal(found, found[:1].expand_as(found)):
            raise CheckError("the features of all samples are the same: equality shows nothing")
        if not any(torch.equal(found, one) for one in expected):
            raise CheckError(f"on batch {number} of {n} samples {_difference(found, expected[0])}")


def _heads(net: Any) -> tuple[str, ...]:
    """Return the modules that take the features; a tied head is kept, thus not dropped."""
    return tuple(net.plan.dropped) or ((net.plan.head,) if net.plan.head else ())


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
        if logits.shape != (*y.shape[: 1 + net.target.positions], net.target.size) or not bool(
            torch.isfinite(logits).all()
        ):
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

    A layer's batch is what the untrained layers below pass up: in a network that trains as a
    whole it would change with every update of theirs.
    """
    net = specimen.net.train()
    x, y = specimen.labelled(_TRAINING, 0)
    s, t = x, net.target.encode(y)
    worse = []
    for i, layer in enumerate(net.layers, start=1):
        with torch.no_grad(), seeded(0, i, 0):
            above = layer(s, t)
        before = _mean_loss(layer, s, t)
        _train(layer, s, t, i, setting)
        after = _mean_loss(layer, s, t)
        if not after < before:
            worse.append(f"layer {i}: {before:.4g} -> {after:.4g}")
        s, t = above.s, above.t
    if worse:
        raise CheckError(f"after {setting.steps} steps {', '.join(worse)}")


def _train(layer: nn.Module, s: Any, t: Tensor, number: int, setting: Setting) -> None:
    (optimizer,) = make_optimizers([layer], torch.optim.Adam, lr=setting.lr)
    for step in range(setting.steps):
        al.update_layer(layer, optimizer, s, t, number=number, step=step)


def _mean_loss(layer: nn.Module, s: Any, t: Tensor) -> float:
    """Return the loss in training, the mean over draws of dropout that are the same every time."""
    total = 0.0
    for draw in range(_DRAWS):
        with torch.no_grad(), seeded(1, 0, draw):
            total += sum(float(loss) for loss in layer(s, t).losses.values())
    return total / _DRAWS


def rising_layers(specimen: Specimen, setting: Setting) -> list[int]:
    """Return the layers whose loss is no lower after as many updates of all layers at once.

    No check: what a layer is to meet moves with every update of the layers below it. A copy of
    the network is trained.
    """
    net = copy.deepcopy(specimen.net).train()
    x, y = specimen.labelled(_TRAINING, 0)
    before = _mean_losses(net, x, y)
    blocks, t0 = net.blocks(), net.target.encode(y)
    optimizers = make_optimizers(blocks, torch.optim.Adam, lr=setting.lr)
    for step in range(setting.steps):
        al.update_network(blocks, optimizers, x, t0, step=step)
    after = _mean_losses(net, x, y)
    pairs = zip(before, after, strict=True)
    return [i for i, (old, new) in enumerate(pairs, start=1) if not new < old]


def _mean_losses(net: Any, x: Batch, y: Tensor) -> list[float]:
    totals = [0.0] * net.num_layers
    for draw in range(_DRAWS):
        with torch.no_grad(), seeded(1, 0, draw):
            outputs = net.associate(x, y)
        for i, output in enumerate(outputs):
            totals[i] += sum(float(loss) for loss in output.losses.values()) / _DRAWS
    return totals


def laws(specimen: Specimen, setting: Setting) -> None:
    """Of a model that answers at positions: `verify` holds, and its own head answers as before."""
    if not specimen.entry.target.positions:
        return
    net = specimen.net.eval()
    al.verify(net, specimen.labelled(EXAMPLE, 0))
    for n, number in _BATCHES if specimen.entry.keeps_head else ():
        x = specimen.entry.batch(n, number)
        with torch.no_grad():
            expected, found = first_tensor(call(specimen.original, x)), net(x)
        if not torch.equal(found, expected):
            raise CheckError(f"its own head: {_difference(found, expected)}")


CHECKS: dict[str, Callable[[Specimen, Setting], None]] = {
    "features": features,  # the first: in training mode, BatchNorm's statistics change
    "laws": laws,  # before training
    "isolation": isolation,
    "depths": depths,
    "processes": processes,
    "training": training,
    "backbone": backbone,
}
