"""Minibatches keyed by (seed, epoch, batch index): the same asked twice is the same twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from associated_learning.data.keys import generator, mix
from associated_learning.data.order import bucketed_order, drawn_by_weight, shuffled_order
from associated_learning.data.samples import Input, Samples, TextSamples
from associated_learning.errors import InputError

__all__ = ["Augment", "Batches"]

Augment = Callable[[Tensor, int], Tensor]

_ORDER, _AUGMENT, _DRAW = 0, 1, 2  # what a seed is for, so that the streams never meet


@dataclass(frozen=True, kw_only=True, eq=False)
class Batches:
    """A source of minibatches that holds no state.

    Order and augmentation are pure functions of ``(seed, epoch, batch index)``. A run that
    stopped in the middle of an epoch resumes with ``epoch(e, start=k)``, which equals the
    tail of the full epoch bit for bit.

    Args:
        samples: Where inputs and labels come from.
        batch_size: Samples per batch; the last batch may be smaller.
        shuffle: A new order every epoch; False for evaluation.
        seed: Keys order and augmentation.
        bucketed: Texts only: batches of similar length, so that little is padded. Without
            shuffling, all texts sorted by length; `order` tells where each one went.
        window: Batches per bucket; wider pads less and mixes lengths less.
        drop_last: Leave out the smaller last batch (a new choice every epoch).
        weights: How much each sample counts in training, ``[N]``: in an epoch it is drawn as often
            as its weight is of the mean (`drawn_by_weight`), so that every loss, whatever it
            compares, sees more of it. None draws each once.
        augment: Called with inputs in natural range (images in [0, 1]) and an integer seed
            before they are normalised.

    Raises:
        InputError: No samples, or a size or seed out of range.

    Example:
        >>> import torch
        >>> from associated_learning.data import TableSamples
        >>> samples = TableSamples(features=torch.eye(5), labels=torch.arange(5))
        >>> batches = Batches(samples=samples, batch_size=2, seed=1)
        >>> len(batches), [len(y) for _, y in batches.epoch(0)]
        (3, [2, 2, 1])
        >>> whole, tail = list(batches.epoch(4)), list(batches.epoch(4, start=2))
        >>> torch.equal(whole[2][0], tail[0][0])
        True
    """

    samples: Samples
    batch_size: int
    shuffle: bool = True
    seed: int = 0
    bucketed: bool = True
    window: int = 50
    drop_last: bool = False
    weights: Tensor | None = None
    augment: Augment | None = None

    def __post_init__(self) -> None:
        if len(self.samples) == 0:
            raise InputError("no samples to make batches of: expected one or more")
        for name in ("batch_size", "window"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: expected 1 or more")
        if self.weights is not None:
            _check_weights(self.weights, len(self.samples), shuffled=self.shuffle)
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}: expected 0 or more")
        if len(self) == 0:
            raise InputError(
                f"batch_size {self.batch_size} with drop_last leaves no batch of the"
                f" {len(self.samples)} samples: take a smaller batch_size or keep the last"
            )

    def __len__(self) -> int:
        whole, rest = divmod(len(self.samples), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    @property
    def num_samples(self) -> int:
        """How many samples one epoch yields."""
        return min(len(self.samples), len(self) * self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Input, Tensor]]:
        """Yield ``(x, y)`` of an epoch from batch index ``start``.

        ``y`` is ``[B]`` (int64), or ``[B, T]`` where texts have a label at every token.

        Raises:
            InputError: ``epoch`` is negative, or ``start`` is beyond the last batch.
        """
        if epoch < 0 or not 0 <= start <= len(self):
            raise InputError(
                f"epoch {epoch} from batch {start}: expected an epoch of 0 or more and a"
                f" batch from 0 to {len(self)}"
            )
        return self._batches(epoch, start)

    def order(self, epoch: int = 0) -> Tensor:
        """Return the sample indices ``[num_samples]`` in the order `epoch` yields them.

        ``restored[batches.order(e)] = torch.cat(predictions)`` puts predictions back in the
        order of the samples.
        """
        return torch.cat(self._indices(epoch))

    def _batches(self, epoch: int, start: int) -> Iterator[tuple[Input, Tensor]]:
        indices = self._indices(epoch)
        for number in range(start, len(indices)):
            yield (
                self._inputs(indices[number], epoch, number),
                self.samples.targets(indices[number]),
            )

    def _inputs(self, indices: Tensor, epoch: int, number: int) -> Input:
        if self.augment is None:
            return self.samples.take(indices)
        x = self.samples.gather(indices)
        if not isinstance(x, Tensor):
            raise InputError("augment is given, but texts are not augmented: leave it out")
        return self.samples.standardise(self.augment(x, mix(self.seed, _AUGMENT, epoch, number)))

    def _indices(self, epoch: int) -> list[Tensor]:
        lengths = self._bucket_lengths()
        if not self.shuffle:
            order = self._plain_order(lengths)
            return list(torch.split(order[: self.num_samples], self.batch_size))
        rng = generator(self.seed, _ORDER, epoch)
        if self.weights is None:
            drawn = torch.arange(len(self.samples))
        else:
            drawn = drawn_by_weight(self.weights, generator(self.seed, _DRAW, epoch))
        if lengths is not None:
            size, window = self.batch_size, self.window
            batches = bucketed_order(lengths[drawn], size, window, rng, drop_last=self.drop_last)
            return [drawn[batch] for batch in batches]
        order = drawn[shuffled_order(len(self.samples), rng)]
        return list(torch.split(order[: self.num_samples], self.batch_size))

    def _plain_order(self, lengths: Tensor | None) -> Tensor:
        if lengths is None:
            return torch.arange(len(self.samples))
        return lengths.argsort(stable=True)

    def _bucket_lengths(self) -> Tensor | None:
        if self.bucketed and isinstance(self.samples, TextSamples):
            return self.samples.lengths
        return None


def _check_weights(weights: Tensor, count: int, *, shuffled: bool) -> None:
    """Raise InputError unless there is a weight of 0 or more for each sample that is drawn."""
    if not shuffled:
        raise InputError("weights came without shuffle; they are for training, leave them out")
    if weights.shape != (count,):
        raise InputError(
            f"weights of shape {list(weights.shape)} came for {count} samples: expected one each"
        )
    finite = bool(torch.isfinite(weights).all())
    if not finite or bool((weights < 0).any()) or not bool((weights > 0).any()):
        raise InputError("weights came that are negative, not finite or all 0: expected 0 or more")
