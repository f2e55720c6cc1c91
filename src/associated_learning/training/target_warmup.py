"""The target's autoencoders trained ahead of the encoders, from labels alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from associated_learning.errors import InputError
from associated_learning.layer import ALLayer
from associated_learning.network import ALNetwork, Network
from associated_learning.targets import Classes
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.nested import detach
from associated_learning.tensors.randomness.keyed import seeded

__all__ = ["warm_targets"]


def warm_targets(
    net: Network, y: Tensor | None = None, *, steps: int = 500, lr: float = 1e-3, seed: int = 0
) -> list[float]:
    r"""Train g and h of every layer by their own loss, before the encoders see any input.

    .. math::
        L_i = \|h_i(g_i(t_{i-1})) - t_{i-1}\|^2,\quad t_i = g_i(t_{i-1})

    That is the second term of Equation 3 (at the first layer, the target's own loss), and no
    gradient crosses layers. Fresh coders bring the targets of all classes closer together from
    layer to layer, and it takes hundreds of updates until the upper layers have something to
    learn: too many when pretrained encoders are tuned for an epoch or two. Nothing but the
    targets is needed, so that these updates cost a second or two in all.

    Args:
        net: An AL network; its encoders and bridges stay as they are.
        y: Targets to train on; for `Classes` one of each class if not given.
        steps: Number of updates.
        lr: Learning rate, of Adam.
        seed: Keys what is random in g and h, as dropout.

    Returns:
        The loss of every layer at the last update.

    Raises:
        InputError: The network has no target autoencoders, or targets have to be given.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> layers = [nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 8)]
        >>> net = al.al_form(layers, torch.randn(2, 4), al.Classes(3), latent=16)
        >>> fresh = al.warm_targets(net, steps=1)
        >>> warm = al.warm_targets(net, steps=100)
        >>> all(after < before for after, before in zip(warm, fresh))
        True
    """
    if not isinstance(net, ALNetwork):
        raise InputError(
            f"a {type(net).__name__} came, which has no target autoencoders; expected an ALNetwork."
        )
    if steps < 1:
        raise InputError(f"steps={steps} came; expected at least 1.")
    t0, device = _targets(net, y), device_of(net)
    layers = net.al_layers()
    optimizers = [_optimizer(layer, lr) for layer in layers]
    losses: list[Tensor] = []
    with net.coders():
        for step in range(steps):
            t, losses = t0, []
            for i, (layer, optimizer) in enumerate(zip(layers, optimizers, strict=True), start=1):
                with seeded(seed, "targets", i, step, device=device):
                    t, loss = _update(layer, optimizer, t)
                losses.append(loss)
    return [float(loss) for loss in losses]


def _targets(net: ALNetwork, y: Tensor | None) -> Tensor:
    if y is None:
        if not isinstance(net.target, Classes):
            raise InputError(
                f"no targets came for {type(net.target).__name__}; expected y, a sample of them."
            )
        y = torch.arange(net.target.k)
        for _ in range(net.target.positions):
            y = y.unsqueeze(0)
    return net.target.encode(y.to(device_of(net)))


def _optimizer(layer: ALLayer, lr: float) -> Optimizer | None:
    own = [p for part in (layer.g, layer.h) for p in part.parameters() if p.requires_grad]
    return Adam(own, lr=lr, fused=True) if own else None


def _update(layer: ALLayer, optimizer: Optimizer | None, t: Tensor) -> tuple[Tensor, Tensor]:
    t_next = layer.g(t)
    if layer.reconstruction is None:
        return t_next, torch.zeros(())
    loss = layer.reconstruction(layer.h(t_next), t)
    if optimizer is not None:
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    return detach(t_next), loss.detach()
