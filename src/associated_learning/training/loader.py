"""Any iterable of batches (a DataLoader, a list) as a source whose order can be resumed."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from associated_learning.errors import InputError
from associated_learning.tensors.batch_checks import as_pair
from associated_learning.tensors.randomness.keyed import derive_seed, seeded

__all__ = ["LoaderBatches"]


class LoaderBatches:
    """Wraps a ``DataLoader``, or a list of batches, for `Trainer.fit`.

    A batch is a pair ``(x, y)``, or a dictionary with ``labels`` (or ``label``) as collators of
    transformers give it.

    What the loader draws from torch's generators in the main process or in its workers (the
    order of its sampler, random transforms) is keyed by (seed, epoch, batch), so an epoch can be
    entered in the middle; a generator of its own is seeded anew for every epoch, and samplers and
    data sets that have ``set_epoch`` are told the epoch. The batches before ``start`` are made
    and thrown away.

    Args:
        loader: Can be iterated anew for every epoch.
        seed: Keys the order.
        length: Number of batches of an epoch, of a loader that does not tell it (over an iterable
            data set) or never ends. None counts them, in one pass before training.

    Attributes:
        resumes: Whether a run that goes on ends as one that was not stopped, as far as can be
            seen: not where workers live from epoch to epoch, for what they draw cannot be keyed.

    Raises:
        InputError: The loader gives its batches only once, has fewer than ``length``, or gives
            something else; or a worker of it died.

    Example:
        >>> import torch
        >>> batches = LoaderBatches([(torch.zeros(2, 3), torch.tensor([0, 1]))])
        >>> len(batches), next(batches.epoch(0))[1].tolist()
        (1, [0, 1])
    """

    def __init__(self, loader: Iterable[Any], seed: int = 0, *, length: int | None = None) -> None:
        if isinstance(loader, Iterator) or not isinstance(loader, Iterable):
            kind = type(loader).__name__
            raise InputError(
                f"a {kind} came, which holds single samples; expected batches of them: "
                "DataLoader(data, batch_size=32, shuffle=True)."
                if hasattr(loader, "__getitem__")
                else f"a {kind} came, which is not iterated anew for every epoch; expected a list, "
                "a DataLoader, or an object whose __iter__ begins again."
            )
        self.loader = loader
        self.seed = seed
        self.length = length
        self.resumes = not getattr(loader, "persistent_workers", False)

    def __len__(self) -> int:
        return self._length

    @cached_property
    def _length(self) -> int:
        if self.length is not None:
            return self.length
        try:
            return len(self.loader)  # type: ignore[arg-type]
        except TypeError:  # a DataLoader has __len__ even where its data set has none
            warnings.warn(
                f"the {type(self.loader).__name__} has no length, so its batches are counted in "
                "one pass before training; LoaderBatches(loader, length=...) spares it.",
                stacklevel=2,
            )
            return sum(1 for _ in self._iterator(0))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Any, Tensor]]:
        """Yield the pairs of an epoch, from batch number ``start`` on."""
        iterator = self._iterator(epoch)
        with _deaths_named(iterator):
            for i in range(len(self)):
                with seeded(self.seed, "batch", epoch, i):
                    batch = next(iterator, None)
                if batch is None:
                    raise InputError(
                        f"the loader ends before batch {i}; expected {len(self)} batches."
                    )
                if i >= start:
                    yield as_pair(batch, i)

    def _iterator(self, epoch: int) -> Iterator[Any]:
        self._seed_own_generators(epoch)
        with seeded(self.seed, "loader", epoch):
            return iter(self.loader)

    def _seed_own_generators(self, epoch: int) -> None:
        sampler: Any = getattr(self.loader, "sampler", None)
        dataset: Any = getattr(self.loader, "dataset", None)
        for owner in (self.loader, sampler):
            generator = getattr(owner, "generator", None)
            if isinstance(generator, torch.Generator):
                generator.manual_seed(derive_seed(self.seed, "generator", epoch))
        for owner in (self.loader, sampler, dataset):
            tell = getattr(owner, "set_epoch", None)
            if tell is not None:
                tell(epoch)


@contextmanager
def _deaths_named(iterator: Any) -> Iterator[None]:
    """Raise an InputError where a worker died; what its code raised comes as it is."""
    try:
        yield
    except (ConnectionError, EOFError, RuntimeError) as error:
        if not _tells_of_a_death(error) or not hasattr(iterator, "_shutdown_workers"):
            raise
        with suppress(RuntimeError):  # the same death may be told again: a destructor prints it
            iterator._shutdown_workers()
        raise InputError(
            f"a worker of the loader died ({error}): it was killed, as for lack of memory, or its "
            "code ended the process. Use fewer workers or smaller batches; num_workers=0 shows "
            "what happens."
        ) from error


def _tells_of_a_death(error: Exception) -> bool:
    """Whether torch found that a worker is gone: it says so, or the pipe to it broke."""
    if isinstance(error, RuntimeError):
        return "DataLoader worker (pid" in str(error)
    return "Caught " not in str(error)
