"""What a converted model must do: what the untouched model does, forward and backward."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

import associated_learning as al

TARGET = al.Classes(3)


class Maps(nn.Module):
    """Three maps and a head, for forwards that do something between them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 16)
        self.out = nn.Linear(16, 3)


def into_head(model: nn.Module, x: Any, head: str = "out") -> Tensor:
    seen: list[Tensor] = []
    hook = model.get_submodule(head).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(*x) if isinstance(x, tuple) else model(x)
    hook.remove()
    return seen[0]


def chained(net: al.ALNetwork, x: Any) -> Tensor:
    for layer in net.al_layers():
        x = layer.f(x)
    values: Tensor = x.values
    return values


def check_as_the_model(model: nn.Module, x: Any, *others: Any, **options: Any) -> al.ALNetwork:
    """Convert a model; compare features and gradients with an untouched copy, in either mode."""
    untouched = copy.deepcopy(model)
    net = al.convert(model, x, target=TARGET, **options)
    for training in (False, True):
        for batch in (x, *others):
            check_batch(net.train(training), untouched.train(training), batch)
    return net


def check_batch(net: al.ConvertedNetwork, untouched: nn.Module, x: Any) -> None:
    torch.manual_seed(3)
    found = chained(net, x)
    torch.manual_seed(3)
    expected = into_head(untouched, x)
    assert torch.equal(found, expected)
    weights = torch.randn(expected.shape)
    for module, s in ((net, found), (untouched, expected)):
        module.zero_grad()
        (s * weights).sum().backward()
    own = dict(net.backbone().named_parameters())
    for name, parameter in untouched.named_parameters():
        gradient = own[name].grad
        assert (gradient is None) is (parameter.grad is None), name
        if parameter.grad is not None:
            assert torch.allclose(gradient, parameter.grad, atol=1e-5), name


def layers_of(net: al.ALNetwork) -> dict[str, list[int]]:
    """Return the layers that hold each parameter of the model, by name."""
    model = net.backbone()  # type: ignore[attr-defined]
    encoders = [{id(p) for p in layer.f.parameters()} for layer in net.al_layers()]
    return {
        name: [i for i, own in enumerate(encoders, start=1) if id(p) in own]
        for name, p in model.named_parameters()
    }
