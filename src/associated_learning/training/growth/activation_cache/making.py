"""Making a cache of activations, or opening one that fits."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from associated_learning.errors import CheckpointError, InputError
from associated_learning.network import ALNetwork
from associated_learning.state.files import (
    is_ours,
    remove_ours,
    remove_unfinished,
    replaced_folder,
)
from associated_learning.state.lock import FOREVER, held_lock
from associated_learning.training.batch_stream import BatchSource
from associated_learning.training.growth.activation_cache.cache import ActivationCache
from associated_learning.training.growth.activation_cache.columns import Form, rows_of
from associated_learning.training.growth.activation_cache.filling import Progress, fill
from associated_learning.training.growth.activation_cache.frozen_encoders import FrozenEncoders
from associated_learning.training.growth.activation_cache.row_files import RowFiles
from associated_learning.training.growth.activation_cache.sample_census import (
    Batch,
    batches,
    census,
    check_sources,
)

__all__ = ["cache_activations"]

_TOLERANCE = 0.01  # of the largest activation: other kernels and devices are well within it


def cache_activations(
    net: ALNetwork,
    depth: int,
    folder: Path | str,
    *sources: BatchSource,
    rebuild: bool = False,
    progress: Progress | None = None,
) -> ActivationCache:
    """Store what the lowest layers give for whole data sets, or open what was stored.

    They run in evaluation mode and without gradients, once for each sample, in the batches of
    the sources' first epoch. `UpperLayers` then trains the layers above, at the cost of those
    alone. Samples are known by their content: batches and order may change from epoch to epoch.
    Making a cache takes two passes over the data beside the one through the layers; opening it
    again takes one, a look at every byte of the cache, and one batch through the layers.

    Args:
        net: The network.
        depth: Number of lowest layers.
        folder: Where the files are, or will be; for this cache alone.
        sources: Batches whose samples are to be stored, as for training and validation.
        rebuild: Throw away what is there, and make it anew.
        progress: Told after every batch how many samples of how many are stored.

    Raises:
        InputError: The cache is of other layers, weights or data; a source gives other samples
            in every epoch; the disk is too small; or what the layers give cannot be stored.
        CheckpointError: Files are truncated or have changed, or cannot be written.

    Example:
        >>> import tempfile, torch
        >>> from torch import nn
        >>> import associated_learning as al
        >>> x, y = torch.randn(64, 4), torch.arange(64) % 2
        >>> net = al.al_form([nn.Linear(4, 8), nn.Linear(8, 8)], x, al.Classes(2), latent=5)
        >>> train = al.LoaderBatches([(x[:32], y[:32]), (x[32:], y[32:])])
        >>> cache = al.cache_activations(net, 1, tempfile.mkdtemp(), train)
        >>> len(cache), cache.nbytes == 64 * 8 * 4
        (64, True)
        >>> _ = net.layers[:1].requires_grad_(False)
        >>> state = al.Trainer(epochs=2).fit(al.UpperLayers(net, 1), cache.batches(train))
    """
    encoders = FrozenEncoders(net, depth)
    check_sources(sources)
    folder = Path(folder)
    place = folder / "activations"
    with _alone_in(folder):
        if rebuild and place.exists():
            _remove(place)
        if place.exists():
            return _opened(place, encoders, sources)
        with replaced_folder(place) as new:
            form = fill(new, encoders, sources, progress)
        return ActivationCache(RowFiles(place), form)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let others that ask for the same cache wait, as ranks do; clear up after killed ones."""
    with held_lock(folder / "lock", patience=FOREVER):
        remove_unfinished(folder)
        yield


def _remove(place: Path) -> None:
    """Remove a cache; raise InputError for a folder that is none. Older ones have no marker."""
    if not is_ours(place) and not (place / "digests.bin").is_file():
        raise InputError(
            f"{place} is no cache of this library, so rebuild=True does not remove it; name another"
            " folder."
        )
    if is_ours(place):
        remove_ours(place)  # so that what a kill leaves of it can still be removed
    else:
        shutil.rmtree(place)
    if place.exists():
        raise CheckpointError(
            f"{place} cannot be removed whole, and an old cache must not be taken for a new one; "
            "make the folder writable, or name another."
        )


def _opened(
    place: Path, encoders: FrozenEncoders, sources: Sequence[BatchSource]
) -> ActivationCache:
    store = RowFiles(place)
    _check_description(place, store.description, encoders.description())
    store.check()
    samples = census(sources, 0).keys()
    missing = len(samples - store.digests.keys())
    if missing:
        raise _refusal(place, f"of other data: {missing} of {len(samples)} samples are not in it")
    first = next(batches(sources, 0))
    s = encoders(first.x)
    cache = ActivationCache(store, Form(s, len(first.digests)))
    if not _agrees(cache, first, s):
        raise _refusal(place, "that is not what the layers give now: they compute something else")
    return cache


def _check_description(place: Path, found: dict[str, Any], expected: dict[str, Any]) -> None:
    names = {"version": "version of the library", "layers": "number of layers"}
    other = [
        f"{names.get(key, key)} ({found.get(key)}, expected {value})"
        for key, value in expected.items()
        if found.get(key) != value
    ]
    if other:
        raise _refusal(place, f"made with other {' and '.join(other)}")


def _agrees(cache: ActivationCache, batch: Batch, s: Any) -> bool:
    size = len(batch.digests)
    cached, now = (rows_of(some, size) for some in (cache.read(batch.x), s))
    if cached.columns != now.columns:
        return False
    pairs = zip(cached.packed(range(size)), now.packed(range(size)), strict=True)
    return all(
        bool((a.double() - b.double()).abs().max() <= _TOLERANCE * b.double().abs().max())
        for a, b in pairs
    )


def _refusal(place: Path, why: str) -> InputError:
    return InputError(
        f"{place.parent} holds a cache {why}. Name another folder, or pass rebuild=True to make "
        "the cache anew."
    )
