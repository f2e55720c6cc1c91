"""The standard scores of how strange an input is, and of how wrong a label looks.

Each takes what the last layer says of the training data and of the samples in question, and
returns one number a sample, ``[N]``: the larger the stranger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from answers import Answers
from torch import Tensor

Score = Callable[[Answers, Answers], Tensor]
NEIGHBOURS = 50
ROWS = 1000  # compared with all training samples at a time


def probability(known: Answers, asked: Answers) -> Tensor:
    """Return minus the maximum softmax probability (Hendrycks and Gimpel, 2017)."""
    return -asked.logits.double().softmax(1).amax(1)


def energy(known: Answers, asked: Answers) -> Tensor:
    """Return the free energy ``-logsumexp`` of the logits (Liu et al., 2020)."""
    return -asked.logits.logsumexp(1)


def mahalanobis(known: Answers, asked: Answers) -> Tensor:
    """Return the squared distance to the nearest class's mean, one covariance for all classes.

    Lee et al. (2018), on the last features, without their noise on the input.
    """
    features = known.features.double()
    means = torch.stack([features[known.labels == c].mean(0) for c in range(known.logits.shape[1])])
    within = features - means[known.labels]
    precision = torch.linalg.pinv(within.T @ within / len(within), hermitian=True)
    from_means = (asked.features.double() - mean for mean in means)
    return torch.stack([((one @ precision) * one).sum(1) for one in from_means]).amin(0)


def neighbours(known: Answers, asked: Answers) -> Tensor:
    """Return the distance to the 50th neighbour, features normalised (Sun et al., 2022)."""
    likeness = _likeness(known, asked)
    return torch.cat([-rows.topk(NEIGHBOURS).values[:, -1] for rows in likeness])


def own_probability(known: Answers, asked: Answers) -> Tensor:
    """Return minus the probability of a sample's own label, which orders as its loss does."""
    chances = asked.logits.double().softmax(1)
    return -chances.gather(1, asked.labels[:, None]).squeeze(1)


def own_neighbours(known: Answers, asked: Answers) -> Tensor:
    """Return the share of the 50 nearest others with another label; ``asked`` is ``known``."""
    near = torch.cat([rows.topk(NEIGHBOURS + 1).indices for rows in _likeness(known, asked)])
    itself = torch.arange(len(near))[:, None] == near
    others = (known.labels[near] != asked.labels[:, None]) & ~itself
    return others.double().sum(1) / NEIGHBOURS


def _likeness(known: Answers, asked: Answers) -> Iterator[Tensor]:
    """Yield cosines of samples with all training samples, ``[ROWS, N]``."""
    every = F.normalize(known.features, dim=1).T
    for rows in torch.split(F.normalize(asked.features, dim=1), ROWS):
        yield rows @ every


STRANGE: dict[str, Score] = {
    "probability": probability,
    "energy": energy,
    "mahalanobis": mahalanobis,
    "neighbours": neighbours,
}
WRONG: dict[str, Score] = {"own probability": own_probability, "own neighbours": own_neighbours}
