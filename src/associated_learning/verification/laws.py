"""Proof, on a user's own network and batch, that what AL promises holds for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from associated_learning.conversion import ConvertedNetwork
from associated_learning.conversion.checks.check import Check
from associated_learning.conversion.checks.conversion import checks_on
from associated_learning.conversion.html_table import text_table
from associated_learning.errors import VerificationError
from associated_learning.layer import ALLayer, LayerOutput
from associated_learning.network import ALNetwork
from associated_learning.tensors.batch_checks import check_batch
from associated_learning.tensors.chain import encode
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.modes import evaluating, training
from associated_learning.tensors.nested import map_tensors, to_device

__all__ = ["Check", "Verification", "verify"]


@dataclass(frozen=True)
class Verification:
    """What `verify` checked; print it to read it.

    Attributes:
        checks: Every check, in order.
    """

    checks: tuple[Check, ...]

    def __str__(self) -> str:
        rows = [(c.claim, "yes" if c.holds else "NO", c.evidence) for c in self.checks]
        return text_table(("claim", "holds", "evidence"), rows)


def verify(net: ALNetwork, batch: tuple[Any, Tensor]) -> Verification:
    """Check the laws of an AL network on a batch, and say what was checked.

    Isolation: the loss of every block gives no gradient to any parameter of another block, and
    one to the encoder of its own. Shortcuts: the stand-alone prefix of every depth answers as the
    network does.

    For a network of `convert`, beside the model itself: the chained encoders give its features bit
    for bit, on the batch, on its first half, on one, two, three and five samples, and on other
    lengths or image sizes that the model takes; in training mode they give its features and the
    gradients of all parameters, with the same random numbers; every parameter is the model's own,
    in one layer; changing a sample changes its own row of every s, and of what the bridge reads,
    and no other; and which inputs reach each bridge. Weights, statistics and the random generator
    are left as they were.

    Args:
        net: The network.
        batch: Inputs and targets, as in training.

    Raises:
        InputError: The batch does not fit.
        VerificationError: Something does not hold; it shows the whole list.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> x, y = torch.randn(8, 4), torch.arange(8) % 3
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Linear(8, 3))
        >>> report = al.verify(al.convert(model, x, target=al.Classes(3), at=2), (x, y))
        >>> print(report.checks[0].claim)
        loss 1 trains layer 1 alone
    """
    x, y = batch
    check_batch(x, y, 0)
    device = device_of(net)
    x, y = to_device(x, device), y.to(device)
    checks = [*_isolation(net, x, y), *_shortcuts(net, x)]
    if isinstance(net, ConvertedNetwork):
        checks += _backbone(net, x)
        checks += checks_on(net.subject(), net.subject().arguments.bind(x), net.plan.branches)
    report = Verification(tuple(checks))
    if not all(check.holds for check in checks):
        raise VerificationError(f"the network does not keep what AL promises:\n{report}")
    return report


def _isolation(net: ALNetwork, x: Any, y: Tensor) -> list[Check]:
    blocks = net.blocks()
    names = {id(p): name for name, p in net.named_parameters()}
    owners = {id(p): i for i, block in enumerate(blocks, start=1) for p in block.parameters()}
    trained = [p for p in net.parameters() if p.requires_grad]
    if len(y) == 1:  # BatchNorm in training takes two samples or more
        x, y = map_tensors(_twice, x), _twice(y)
    with training(net):
        s, t, checks = x, net.target.encode(y), []
        for i, block in enumerate(blocks, start=1):
            with net.held(block):
                output: LayerOutput = block(s, t)
                loss = torch.stack(list(output.losses.values())).sum()
                reached = _reached(loss, trained)
            foreign = [names[id(p)] for p in reached if owners[id(p)] != i]
            own = sum(owners[id(p)] == i for p in trained)
            found = _isolated(i, len(reached), own, foreign, len(trained) - own)
            checks.append(_deaf(i) if found.holds and _is_deaf(block, reached) else found)
            s, t, _ = output
    return checks


def _twice(rows: Tensor) -> Tensor:
    return torch.cat([rows, rows]) if rows.dim() and len(rows) == 1 else rows


def _reached(loss: Tensor, parameters: list[Parameter]) -> list[Parameter]:
    if not loss.requires_grad:
        return []
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
    return [p for p, gradient in zip(parameters, gradients, strict=True) if gradient is not None]


def _is_deaf(block: nn.Module, reached: list[Parameter]) -> bool:
    """Whether a layer's encoder has parameters to train, and its loss a gradient for none."""
    if not (isinstance(block, ALLayer) and block.use_associated):
        return False
    own = {id(p) for p in block.f.parameters() if p.requires_grad}
    return bool(own) and own.isdisjoint(map(id, reached))


def _deaf(i: int) -> Check:
    evidence = "it has a gradient for no parameter of the encoder f: its output is detached"
    return Check(f"loss {i} trains layer {i} alone", False, evidence)


def _isolated(i: int, reached: int, own: int, foreign: list[str], others: int) -> Check:
    claim = f"loss {i} trains layer {i} alone"
    if foreign:
        more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
        return Check(claim, False, f"it has a gradient for {foreign[0]}{more}")
    if not reached:
        return Check(claim, False, "it has a gradient for no parameter at all")
    evidence = f"gradient for {reached} of its {own} parameters, for none of the {others} others"
    return Check(claim, True, evidence)


def _shortcuts(net: ALNetwork, x: Any) -> list[Check]:
    checks = []
    with evaluating(net):
        for depth in range(1, net.num_layers + 1):
            same = torch.equal(net(x, depth), net.prefix(depth)(x))
            evidence = "same bits" if same else "the answers differ"
            checks.append(Check(f"prefix {depth} answers as the network", same, evidence))
    return checks


def _backbone(net: ConvertedNetwork, x: Any) -> list[Check]:
    arguments, checks = net.subject().arguments, []
    inputs = arguments.bind(x)
    size = arguments.count(inputs)
    counts = (size,) if arguments.linked else (size, max(1, size // 2))
    for count in dict.fromkeys(counts):
        part = arguments.fewer(inputs, count)
        with evaluating(net):
            s = encode(net.encoders(), part)
        expected = net.backbone_features(part)
        same = torch.equal(s.values, expected)
        evidence = f"{list(expected.shape)}, same bits" if same else _difference(s.values, expected)
        checks.append(Check(f"encoders give the model's features, {count} samples", same, evidence))
    return checks


def _difference(got: Tensor, expected: Tensor) -> str:
    if got.shape != expected.shape:
        return f"shape {list(got.shape)} instead of {list(expected.shape)}"
    return f"they differ by up to {float((got - expected).abs().max()):.3g}"
