"""What every exit says of a data set: once computed, any policy can be judged on it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from associated_learning.errors import InputError
from associated_learning.inference.exits.confidence import ExitAnswer, measure_named, prototypes
from associated_learning.inference.exits.costs import DepthCosts
from associated_learning.inference.exits.policy import ExitPolicy
from associated_learning.inference.exits.policy_evaluation import PolicyEvaluation, ScoredExits
from associated_learning.network import ALNetwork
from associated_learning.targets import Classes
from associated_learning.tensors.batch_checks import check_batch, explained
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.modes import evaluating
from associated_learning.tensors.nested import to_device

__all__ = ["ExitRecord", "record_exits"]


class ExitRecord(NamedTuple):
    """Outputs of all L exits on N samples, on the CPU.

    Attributes:
        outputs: ``t'_0`` of every exit, ``[L, N, C]``.
        latents: ``s'_k`` of every exit, each ``[N, D_k]``.
        prototypes: ``t_k`` of every class, each ``[C, D_k]``.
        y: The right classes, ``[N]``.
        target: Of the network; it reads the outputs.
    """

    outputs: Tensor
    latents: tuple[Tensor, ...]
    prototypes: tuple[Tensor, ...]
    y: Tensor
    target: Classes

    @property
    def depth(self) -> int:
        """Number of exits."""
        return len(self.outputs)

    def answers(self, temperatures: Iterable[float]) -> list[ExitAnswer]:
        """Return what each exit says of all samples."""
        found: list[ExitAnswer] = []
        exits = zip(self.outputs, self.latents, self.prototypes, temperatures, strict=True)
        for output, latent, known, temperature in exits:
            before = found[-1] if found else None
            answer = ExitAnswer.of(
                self.target, output, latent, known, temperature=temperature, before=before
            )
            found.append(answer)
        return found

    def scored(self, measure: str, temperatures: Iterable[float]) -> ScoredExits:
        """Return how sure each exit is of every sample."""
        compute = measure_named(measure)
        scores = torch.stack([compute(answer) for answer in self.answers(temperatures)])
        return ScoredExits(scores, self.correct())

    def correct(self) -> Tensor:
        """Return whether each exit is right, ``[L, N]`` booleans."""
        return self.outputs.argmax(dim=2) == self.y

    def half(self, which: int) -> ExitRecord:
        """Return every other sample: one half for 0, the other for 1."""
        return self._replace(
            outputs=self.outputs[:, which::2],
            latents=tuple(latent[which::2] for latent in self.latents),
            y=self.y[which::2],
        )

    def outcome(self, policy: ExitPolicy, costs: DepthCosts) -> PolicyEvaluation:
        """Return what a policy would come to, without running the network again."""
        return self.scored(policy.measure, policy.temperatures).outcome(policy, costs)


def record_exits(net: ALNetwork, batches: Iterable[tuple[Any, Tensor]]) -> ExitRecord:
    """Run a network of classes on a data set and keep the outputs of all its exits.

    Raises:
        InputError: There is no batch, or one does not fit the network.
    """
    device, found, labels = device_of(net), [], []
    with evaluating(net):
        known = [t.cpu() for t in prototypes(net)]
        for number, (x, y) in enumerate(batches):
            check_batch(x, y, number)
            x = to_device(x, device)
            with explained(f"the network cannot take batch {number}", x):
                found.append(_exits(net, x))
            labels.append(y.cpu())
    if not labels:
        raise InputError("no samples came; expected at least one batch to record the exits on.")
    outputs, latents = (
        [torch.cat(k) for k in zip(*part, strict=True)] for part in zip(*found, strict=True)
    )
    assert isinstance(net.target, Classes)  # or there are no prototypes
    return ExitRecord(
        torch.stack(outputs), tuple(latents), tuple(known), torch.cat(labels), net.target
    )


def _exits(net: ALNetwork, x: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Return the output and the latent of every exit, on the CPU."""
    latents = list(net.latents(x))
    outputs = [net.decode(latent, depth) for depth, latent in enumerate(latents, start=1)]
    return [t.float().cpu() for t in outputs], [t.float().cpu() for t in latents]
