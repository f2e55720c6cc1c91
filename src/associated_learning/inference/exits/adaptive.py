"""Early exit in real batches: who is sure leaves, the rest is compacted and goes on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from associated_learning.errors import InputError
from associated_learning.inference.exits.confidence import ExitAnswer, measure_named, prototypes
from associated_learning.inference.exits.policy import ExitPolicy
from associated_learning.network import ALNetwork
from associated_learning.tensors.batch_checks import check_finite, explained
from associated_learning.tensors.batch_rows import Axes, axes_of, num_samples, take_rows
from associated_learning.tensors.devices import device_of
from associated_learning.tensors.modes import evaluating
from associated_learning.tensors.nested import tensors_in, to_device
from associated_learning.tensors.padded_sequence import PaddedSequence

__all__ = ["AdaptiveInference", "AdaptivePrediction"]


class AdaptivePrediction(NamedTuple):
    """What early exit says of a batch, in the order of its samples.

    Attributes:
        labels: Class numbers ``[B]``.
        probabilities: Calibrated at the exit that answered, ``[B, C]``.
        depths: The depth that answered, 1 to L, ``[B]``.
    """

    labels: Tensor
    probabilities: Tensor
    depths: Tensor


class AdaptiveInference:
    """Answers each sample at the depth that a policy finds sure enough (section 2.2.1).

    After each layer the samples that are sure leave the batch; the others are put together, with
    no more padding than they need, and go on. Below an exit nothing is computed twice.

    Args:
        net: The network, in AL form, of one of several classes. It is put into evaluation mode.
        policy: Made for as many layers; see `associated_learning.inference.exits.goals.tune`.

    Raises:
        InputError: The policy is for another number of layers, or the target is not `Classes`.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> x = torch.randn(6, 4)
        >>> net = al.al_form([nn.Linear(4, 8), nn.Linear(8, 8)], x, al.Classes(2), latent=8)
        >>> policy = ExitPolicy.constant("probability", 0.0, depth=2)  # all are sure enough
        >>> AdaptiveInference(net, policy).predict(x).depths.tolist()
        [1, 1, 1, 1, 1, 1]
    """

    def __init__(self, net: ALNetwork, policy: ExitPolicy) -> None:
        if policy.depth != net.num_layers:
            raise InputError(
                f"an exit policy for {policy.depth} layers came for a network of "
                f"{net.num_layers}; tune it on this network."
            )
        self.net = net.eval()
        self.policy = policy
        self._measure = measure_named(policy.measure)
        self._prototypes = prototypes(self.net)
        self._axes: dict[tuple[int, int], Axes] = {}

    def predict(self, x: Any) -> AdaptivePrediction:
        """Answer a batch.

        Raises:
            InputError: An input is not finite or does not fit the network.
        """
        with evaluating(self.net):
            return self._predict(x)

    def predict_batches(self, inputs: Iterable[Any]) -> AdaptivePrediction:
        """Answer batch by batch and join the results, on the CPU.

        Raises:
            InputError: There is no batch, or one does not fit.
        """
        with evaluating(self.net):  # once, because it looks at every module
            found = [self._predict(x) for x in inputs]
        if not found:
            raise InputError("no inputs came to predict; expected at least one batch.")
        return AdaptivePrediction(*(torch.cat(parts).cpu() for parts in zip(*found, strict=True)))

    def _predict(self, x: Any) -> AdaptivePrediction:
        check_finite(x, "input")
        x = to_device(x, device_of(self.net))
        with explained("the network cannot take the input", x):
            return self._run(x)

    def _run(self, x: Any) -> AdaptivePrediction:
        count, device = num_samples(x), device_of(self.net)
        rows = torch.arange(count, device=device)
        before: ExitAnswer | None = None
        s, left = x, []
        for depth, layer in enumerate(self.net.al_layers(), start=1):
            s = layer.f(s)
            if not self.policy.asks(depth):
                continue
            before = self._answer(depth, s, before)
            leaves, stays = self._parted(depth, before)
            if len(leaves):
                left.append(_Left(rows[leaves], depth, before.rows(leaves)))
            if len(stays) == 0:
                break
            if len(leaves):
                rows, before = rows[stays], before.rows(stays)
                s = take_rows(s, stays, self._axes_at(depth, s, x))
        return _together(left, count)

    def _answer(self, depth: int, s: Any, before: ExitAnswer | None) -> ExitAnswer:
        latent = self.net.al_layers()[depth - 1].bridge(s)
        return ExitAnswer.of(
            self.net.target,
            self.net.decode(latent, depth),
            latent,
            self._prototypes[depth - 1],
            temperature=self.policy.temperatures[depth - 1],
            before=before,
        )

    def _parted(self, depth: int, answer: ExitAnswer) -> tuple[Tensor, Tensor]:
        """Return the numbers of the samples that leave, and of those that stay."""
        everyone = torch.arange(len(answer.labels), device=answer.labels.device)
        if depth == self.net.num_layers:
            return everyone, everyone[:0]
        threshold = self.policy.thresholds[depth - 1]
        if threshold is None:
            return everyone[:0], everyone
        leaves = self._measure(answer) >= threshold
        return everyone[leaves], everyone[~leaves]

    def _axes_at(self, depth: int, s: Any, x: Any) -> Axes | None:
        if isinstance(s, (Tensor, PaddedSequence)):
            return None
        # what is handed on may depend on the batch: where no text is padded there is no mask
        key = (depth, len(list(tensors_in(s))))
        if key not in self._axes:
            found = axes_of(self.net.encoders(), x)
            self._axes |= {(number, len(axes)): axes for number, axes in enumerate(found)}
        if key not in self._axes:
            raise InputError(
                f"layer {depth} hands on {key[1]} tensors for some samples of a batch and another "
                "number for all of them; early exit cannot tell which are of samples."
            )
        return self._axes[key]


class _Left(NamedTuple):
    """Samples that left at one depth."""

    rows: Tensor
    depth: int
    answer: ExitAnswer


def _together(left: list[_Left], count: int) -> AdaptivePrediction:
    """Put all answers in the order of the samples."""
    order = torch.cat([some.rows for some in left]).argsort()
    depths = torch.cat([torch.full_like(some.rows, some.depth) for some in left])
    labels = torch.cat([some.answer.labels for some in left])
    probabilities = torch.cat([some.answer.probabilities for some in left])
    assert len(order) == count
    return AdaptivePrediction(labels[order], probabilities[order], depths[order])
