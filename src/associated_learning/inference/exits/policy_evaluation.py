"""Accuracy and cost of an early-exit policy on a data set whose exits were computed once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from associated_learning.inference.exits.costs import DepthCosts
from associated_learning.inference.exits.policy import ExitPolicy

__all__ = ["PolicyEvaluation", "ScoredExits"]


class PolicyEvaluation(NamedTuple):
    """What a policy comes to on a data set.

    Attributes:
        accuracy: Share of samples whose answer is right.
        cost: Mean cost of a sample, where a network that asks only its last exit costs 1.
        shares: Share of samples that leave at depth 1, 2, ..., L.
    """

    accuracy: float
    cost: float
    shares: tuple[float, ...]


class ScoredExits(NamedTuple):
    """How sure each of L exits is of N samples, by one measure, and whether it is right.

    Any policy with this measure and these temperatures is judged without computing them again.

    Attributes:
        scores: ``[L, N]``.
        correct: ``[L, N]`` booleans.
    """

    scores: Tensor
    correct: Tensor

    def taken(self, policy: ExitPolicy) -> Tensor:
        """Return the exit of every sample, from 0, ``[N]``."""
        leaves = torch.ones_like(self.scores, dtype=torch.bool)
        for k, threshold in enumerate(policy.thresholds):
            leaves[k] = False if threshold is None else self.scores[k] >= threshold
        return leaves.int().argmax(dim=0)  # the first one

    def right(self, policy: ExitPolicy) -> Tensor:
        """Return whether the answer to each sample is right, ``[N]`` booleans."""
        return self.correct.gather(0, self.taken(policy).unsqueeze(0)).squeeze(0)

    def outcome(self, policy: ExitPolicy, costs: DepthCosts) -> PolicyEvaluation:
        """Return what a policy would come to."""
        taken = self.taken(policy)
        shares = torch.bincount(taken, minlength=len(self.scores)).double() / len(taken)
        leaving = torch.tensor(costs.leaving(policy), dtype=torch.float64)
        cost = float(shares @ leaving) / costs.prefixes[-1]
        return PolicyEvaluation(
            float(self.right(policy).double().mean()), cost, tuple(shares.tolist())
        )
