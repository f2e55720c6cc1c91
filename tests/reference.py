"""A naive AL network written straight from the paper; it imports nothing of the library.

Plain Python lists of weight matrices, Algorithm 2 with every equation spelled out, gradients by
``torch.autograd.grad`` of each loss with respect to the parameters that line 11 and line 12
name, and Adam from its own paper's formulas. Layers are ``s_i = tanh(s_{i-1} F + c)``.
"""

from __future__ import annotations

import torch
from torch import Tensor

NAMES = ("f", "b", "g", "h")


class ReferenceAL:
    def __init__(
        self,
        weights: list[dict[str, tuple[Tensor, Tensor]]],
        lr: float,
        detach_target: bool,
        cross_entropy: bool,
    ) -> None:
        self.layers = [
            {name: tuple(p.clone().requires_grad_() for p in layer[name]) for name in NAMES}
            for layer in weights
        ]
        self.lr, self.detach_target, self.cross_entropy = lr, detach_target, cross_entropy
        self.moments: dict[int, tuple[Tensor, Tensor]] = {}
        self.steps = 0

    @staticmethod
    def linear(x: Tensor, parameters: tuple[Tensor, Tensor]) -> Tensor:
        weight, bias = parameters
        return torch.einsum("ni,oi->no", x, weight) + bias

    def train_step(self, x: Tensor, t0: Tensor) -> list[tuple[float, float]]:
        self.steps += 1
        s, t, losses = x, t0, []
        for i, layer in enumerate(self.layers):
            s_i = self.linear(s, layer["f"]).tanh()
            t_i = self.linear(t, layer["g"]).tanh()
            s_prime = self.linear(s_i, layer["b"])
            t_prime = self.linear(t_i, layer["h"])
            if i > 0:
                t_prime = t_prime.tanh()
            t_target = t_i.clone().detach() if self.detach_target else t_i
            loss_a = ((s_prime - t_target) ** 2).sum() / s_prime.numel()
            if i == 0 and self.cross_entropy:
                log_p = t_prime - t_prime.exp().sum(dim=1, keepdim=True).log()
                loss_ae = -(t * log_p).sum() / len(t)
            else:
                loss_ae = ((t_prime - t) ** 2).sum() / t.numel()
            self.update(layer, loss_a, loss_ae)
            losses.append((loss_a.item(), loss_ae.item()))
            s, t = s_i.detach(), t_i.detach()
        return losses

    def update(self, layer: dict[str, tuple[Tensor, ...]], loss_a: Tensor, loss_ae: Tensor) -> None:
        parameters = [p for name in NAMES for p in layer[name]]
        options = {"retain_graph": True, "allow_unused": True}
        from_a = torch.autograd.grad(loss_a, parameters, **options)
        from_ae = torch.autograd.grad(loss_ae, parameters, **options)
        for parameter, one, two in zip(parameters, from_a, from_ae, strict=True):
            zero = torch.zeros_like(parameter)
            self.adam(parameter, (zero if one is None else one) + (zero if two is None else two))

    def adam(self, parameter: Tensor, gradient: Tensor) -> None:
        zeros = (torch.zeros_like(parameter), torch.zeros_like(parameter))
        m, v = self.moments.get(id(parameter), zeros)
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        self.moments[id(parameter)] = (m, v)
        m_hat, v_hat = m / (1 - 0.9**self.steps), v / (1 - 0.999**self.steps)
        with torch.no_grad():
            parameter -= self.lr * m_hat / (v_hat.sqrt() + 1e-8)

    def infer(self, x: Tensor, depth: int) -> Tensor:
        for layer in self.layers[:depth]:
            x = self.linear(x, layer["f"]).tanh()
        t = self.linear(x, self.layers[depth - 1]["b"])
        for i in range(depth - 1, -1, -1):
            t = self.linear(t, self.layers[i]["h"])
            t = t.tanh() if i > 0 else t
        return t
