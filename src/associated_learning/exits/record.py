"""What every exit says of a data set: once computed, any policy can be judged on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from associated_learning.errors import InputError
from associated_learning.exits.costs import DepthCosts
from associated_learning.exits.measures import Answer, measure_named, prototypes
from associated_learning.exits.policy import ExitPolicy
from associated_learning.inference import check_batch, device_of, explained
from associated_learning.modes import evaluating
from associated_learning.network import ALNetwork
from associated_learning.structure import to_device

__all__ = ["ExitRecord", "Outcome", "record_exits"]


class Outcome(NamedTuple):
    """What a policy comes to on a data set.

    Attributes:
        accuracy: Share of samples whose answer is right.
        cost: Mean cost of a sample, where a network that asks only its last exit costs 1.
        shares: Share of samples that leave at depth 1, 2, ..., L.
    """

    accuracy: float
    cost: float
    shares: tuple[float, ...]


class ExitRecord(NamedTuple):
    """Outputs of all L exits on N samples, on the CPU.

    Attributes:
        logits: ``t'_0`` of every exit, ``[L, N, C]``.
        latents: ``s'_k`` of every exit, each ``[N, D_k]``.
        prototypes: ``t_k`` of every class, each ``[C, D_k]``.
        y: The right classes, ``[N]``.
    """

    logits: Tensor
    latents: tuple[Tensor, ...]
    prototypes: tuple[Tensor, ...]
    y: Tensor

    @property
    def depth(self) -> int:
        """Number of exits."""
        return len(self.logits)

    def answers(self, temperatures: Sequence[float]) -> list[Answer]:
        """Return what each exit says of all samples."""
        found: list[Answer] = []
        for k, temperature in enumerate(temperatures):
            probabilities = (self.logits[k] / temperature).softmax(dim=1)
            labels = self.logits[k].argmax(dim=1)
            streak = torch.ones_like(labels)
            if found:
                streak += torch.where(labels == found[-1].labels, found[-1].streak, 0)
            found.append(Answer(probabilities, labels, streak, self.latents[k], self.prototypes[k]))
        return found

    def scores(self, measure: str, temperatures: Sequence[float]) -> Tensor:
        """Return the confidence of every exit in every sample, ``[L, N]``."""
        compute = measure_named(measure)
        return torch.stack([compute(answer) for answer in self.answers(temperatures)])

    def correct(self) -> Tensor:
        """Return whether each exit is right, ``[L, N]`` booleans."""
        return self.logits.argmax(dim=2) == self.y

    def half(self, which: int) -> ExitRecord:
        """Return every other sample: one half for 0, the other for 1."""
        return ExitRecord(
            self.logits[:, which::2],
            tuple(latent[which::2] for latent in self.latents),
            self.prototypes,
            self.y[which::2],
        )

    def outcome(self, policy: ExitPolicy, costs: DepthCosts) -> Outcome:
        """Return what a policy would come to, without running the network again.

        Args:
            policy: For as many exits.
            costs: What encoders and exits cost, in any unit.
        """
        taken = self.taken(policy)
        right = self.correct().gather(0, taken.unsqueeze(0)).squeeze(0)
        shares = torch.bincount(taken, minlength=self.depth).double() / len(taken)
        leaving = torch.tensor(costs.leaving(policy), dtype=torch.float64)
        cost = float(shares @ leaving) / costs.prefixes[-1]
        return Outcome(float(right.double().mean()), cost, tuple(shares.tolist()))

    def taken(self, policy: ExitPolicy) -> Tensor:
        """Return the exit of every sample, from 0, ``[N]``."""
        scores = self.scores(policy.measure, policy.temperatures)
        leaves = torch.ones_like(scores, dtype=torch.bool)
        for k, threshold in enumerate(policy.thresholds):
            leaves[k] = False if threshold is None else scores[k] >= threshold
        return leaves.int().argmax(dim=0)  # the first one


def record_exits(net: ALNetwork, batches: Iterable[tuple[Any, Tensor]]) -> ExitRecord:
    """Run a network on a data set and keep the outputs of all its exits.

    Args:
        net: The network, of one of several classes; its mode is restored.
        batches: Pairs of inputs and targets.

    Raises:
        InputError: There is no batch, or one does not fit the network.
    """
    device, found, labels = device_of(net), [], []
    with evaluating(net):
        known = [t.cpu() for t in prototypes(net)]
        for number, (x, y) in enumerate(batches):
            check_batch(x, y, number)
            s = to_device(x, device)
            with explained(f"the network cannot take batch {number}", s):
                found.append(_exits(net, s))
            labels.append(y.cpu())
    if not labels:
        raise InputError("no samples came; expected at least one batch to record the exits on.")
    logits = [torch.cat([batch[k][0] for batch in found]) for k in range(net.num_layers)]
    latents = [torch.cat([batch[k][1] for batch in found]) for k in range(net.num_layers)]
    return ExitRecord(torch.stack(logits), tuple(latents), tuple(known), torch.cat(labels))


def _exits(net: ALNetwork, s: Any) -> list[tuple[Tensor, Tensor]]:
    """Return the output and the latent of every exit."""
    found = []
    for depth, layer in enumerate(net.al_layers(), start=1):
        s = layer.f(s)
        latent = layer.bridge(s)
        found.append((net.decode(latent, depth).float().cpu(), latent.float().cpu()))
    return found
