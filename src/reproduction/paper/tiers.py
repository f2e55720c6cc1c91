"""The protocols: the paper's, a declared smaller one for two cores, and one that tunes each arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from associated_learning.errors import InputError, nearest
from associated_learning.runs.settings.config import ResolvedConfig

__all__ = [
    "PAPER_SIZES",
    "RESAMPLED",
    "SEEDS",
    "Sizes",
    "data_seed",
    "expected_seconds",
    "protocol",
    "tier_has",
]

RESAMPLED = "resampled"
SEEDS: dict[str, tuple[int, ...]] = {
    "full": (0, 1, 2, 3, 4),
    "cpu": (0, 1, 2),
    RESAMPLED: tuple(range(10)),
}


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How large a data set is.

    Attributes:
        train: Training samples, of which a part is for validation.
        test: Test samples.
        own_validation: Samples of a validation split of its own; None where one is cut off.
    """

    train: int
    test: int
    own_validation: int | None = None

    def validation(self, config: ResolvedConfig) -> int:
        """Return how many samples a run validates on, up to the rounding of classes."""
        if self.own_validation is not None:
            return self.own_validation
        return round(self.train * config.validation_fraction)


# section 6.4
PAPER_SIZES = {
    "imdb": Sizes(train=25_000, test=25_000),
    "ag_news": Sizes(train=120_000, test=7_600),
    "sst2": Sizes(train=67_349, test=1_821, own_validation=872),
    "dbpedia_14": Sizes(train=560_000, test=70_000),
    "cifar10": Sizes(train=50_000, test=10_000),
    "fashion_mnist": Sizes(train=60_000, test=10_000),
}

# All of the paper's data, sections 6.4 to 6.6, with its batches and widths. Ours are the learning
# rates, which are tuned for both methods alike, and how long is trained: the paper gives 50 epochs
# for texts, none for images ("scheduled decay until converging"), and stops at no epoch before the
# last. A patience of five epochs changes the best one only where it comes after so long a pause;
# images get as many epochs as the GPU had minutes for, in which the rate falls to nothing.
_DECAY: dict[str, Any] = {"schedule": "cosine", "patience": 0}
_FULL: dict[str, dict[str, Any]] = {
    "imdb": {"max_length": 500, "patience": 5},
    "ag_news": {"patience": 5},
    "sst2": {"patience": 5},
    "dbpedia_14": {"max_length": 500, "patience": 5},
    "cifar10": {**_DECAY, "augment": True, "epochs": 30},
    "fashion_mnist": {**_DECAY, "epochs": 20},
}
_FULL_VGG: dict[str, dict[str, Any]] = {
    "cifar10": {"precision": "bf16", "epochs": 24},
    "fashion_mnist": {"precision": "bf16", "epochs": 12},
}

# A run of each takes some minutes on one core. All arms share these, so that none is favoured:
# the same subset (--data-seed), test set, batches, epochs and patience.
_TEXT = {"batch_size": 64, "patience": 3, "flush_denormals": True}
_IMAGE = {"batch_size": 128, "patience": 3, "schedule": "constant"}
_CPU: dict[str, dict[str, Any]] = {
    "imdb": {**_TEXT, "limit_train": 3_000, "epochs": 5, "max_length": 60,
             "validation_fraction": 0.04},
    "ag_news": {**_TEXT, "limit_train": 6_000, "epochs": 6, "validation_fraction": 0.02},
    "sst2": {**_TEXT, "limit_train": 12_000, "epochs": 6},
    "dbpedia_14": {**_TEXT, "limit_train": 2_800, "epochs": 6, "max_length": 60},
    "cifar10": {**_IMAGE, "limit_train": 4_000, "epochs": 8, "validation_fraction": 0.04},
    "fashion_mnist": {**_IMAGE, "limit_train": 6_000, "epochs": 8, "validation_fraction": 0.04},
}  # fmt: skip
_CPU_VGG: dict[str, Any] = {
    "limit_train": 1_000, "epochs": 6, "batch_size": 32, "validation_fraction": 0.01
}  # fmt: skip

# The same numbers of samples, but each seed draws its own; all arms of a seed share them, and both
# networks the validation samples. Patience ends a run: no run is expected to come near its last
# epoch, and where one does the comparison is not fair. Rates are no part of this protocol: each
# arm has the best of its own grid (`campaign.rates`).
_NO_CAP, _USUAL_EPOCHS = 100, 20
_PATIENCE = {
    "imdb": 5, "ag_news": 5, "sst2": 5, "dbpedia_14": 5, "cifar10": 8, "fashion_mnist": 8
}  # fmt: skip
_RESAMPLED: dict[str, dict[str, Any]] = {
    data: {**smaller, "patience": _PATIENCE[data], "epochs": _NO_CAP}
    for data, smaller in _CPU.items()
}
_RESAMPLED_VGG: dict[str, Any] = {"limit_train": 1_000, "batch_size": 32}

# The best learning rate of each arm by the table "rates": one grid, validation data, seed 0. An
# arm that is not here has that of its method; a data set whose own grid has not been run has the
# rates of the one most like it, which `al report --check` counts as unfair.
_RATES: dict[tuple[str, str], dict[str, float]] = {
    ("bilstm", "sst2"): {"al": 5e-4, "bp": 1e-3},
    ("bilstm", "ag_news"): {"al": 2e-3, "bp": 1e-3},
    ("transformer", "sst2"): {"al": 5e-4, "bp": 2.5e-4},
    ("transformer", "ag_news"): {"al": 2e-3, "bp": 1e-3},
    ("cnn", "fashion_mnist"): {"al": 1e-3, "bp": 5e-4, "bp-encoders": 1e-3},
    ("cnn", "cifar10"): {"al": 1e-3, "bp": 5e-4, "bp-encoders": 1e-3},
    ("vgg", "cifar10"): {"al": 2.5e-4, "bp": 2.5e-4},
}
_LIKE = {
    ("bilstm", "imdb"): "sst2",
    ("transformer", "imdb"): "sst2",
    ("bilstm", "dbpedia_14"): "ag_news",
    ("transformer", "dbpedia_14"): "ag_news",
    ("vgg", "fashion_mnist"): "cifar10",
}
# The same of images by the full tier: the table "rates-images", whose rates Fashion-MNIST has too.
_FULL_RATES: dict[str, dict[str, float]] = {
    "cnn": {"al": 2e-3, "bp": 1e-3},
    "vgg": {"al": 5e-4, "bp": 1e-3},
}

_PROTOCOLS: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "full": _FULL,
    "cpu": _CPU,
    RESAMPLED: _RESAMPLED,
}


def tier_has(tier: str, data: str) -> bool:
    """Return whether a tier declares a data set."""
    return data in _PROTOCOLS.get(tier, {})


def data_seed(tier: str, seed: int) -> int:
    """Return what keys the choice of training and validation samples of a run.

    Example:
        >>> data_seed("cpu", 3), data_seed("resampled", 3)
        (0, 3)
    """
    return seed if tier == RESAMPLED else 0


def protocol(
    tier: str, data: str, model: str, *, method: str, arm: str | None = None
) -> dict[str, Any]:
    """Return what a tier says of a data set and a model.

    The tier "resampled" says no learning rate.

    Raises:
        InputError: There is no such tier.

    Example:
        >>> protocol("full", "imdb", "bilstm", method="al")["max_length"]
        500
    """
    if tier not in _PROTOCOLS:
        known = ", ".join(_PROTOCOLS)
        raise InputError(f"--tier {tier} came; expected one of {known}.{nearest(tier, _PROTOCOLS)}")
    of_vgg = {"full": _FULL_VGG.get(data, {}), "cpu": _CPU_VGG, RESAMPLED: _RESAMPLED_VGG}
    own = of_vgg[tier] if model == "vgg" else {}
    if tier == RESAMPLED:
        return {**_PROTOCOLS[tier][data], **own}
    rates = _RATES[model, _LIKE.get((model, data), data)]
    if tier == "full":
        rates = _FULL_RATES.get(model, rates)
    return {**_PROTOCOLS[tier][data], **own, "lr": rates.get(arm or method, rates[method])}


# Measured with one thread on an Intel Xeon (AVX512): milliseconds to train a sample by AL and by
# BP, and to score one.
_MILLISECONDS: dict[tuple[str, str], tuple[float, float, float]] = {
    ("bilstm", "imdb"): (15.0, 21.2, 8.0),
    ("bilstm", "ag_news"): (5.7, 8.6, 2.9),
    ("bilstm", "sst2"): (1.9, 2.2, 1.4),
    ("bilstm", "dbpedia_14"): (6.4, 9.8, 3.3),
    ("transformer", "imdb"): (4.7, 6.3, 1.2),
    ("transformer", "ag_news"): (1.8, 2.2, 0.5),
    ("transformer", "sst2"): (1.1, 0.6, 0.3),
    ("transformer", "dbpedia_14"): (2.2, 2.6, 0.6),
    ("cnn", "cifar10"): (2.8, 3.3, 1.1),
    ("cnn", "fashion_mnist"): (2.2, 2.3, 0.9),
    ("vgg", "cifar10"): (42.3, 48.7, 18.2),
    ("vgg", "fashion_mnist"): (30.0, 35.5, 13.2),
}
_LENGTHS = {"imdb": 100, "dbpedia_14": 60}  # at which the texts were cut
_FLATTENED = 3.2  # times as long: bridges on the whole map of the CNN
_OVERHEAD = 15.0  # seconds to start, read the data and save


def expected_seconds(config: ResolvedConfig, sizes: Sizes) -> float:
    """Return the seconds that a resolved run should take on one core, if it uses all its epochs."""
    method = 0 if config.method == "al" else 1
    milliseconds = _MILLISECONDS[config.model, config.data]
    length = _LENGTHS.get(config.data, 1)
    longer = (config.max_length or length) / length / 1000
    train_one, score_one = milliseconds[method] * longer, milliseconds[2] * longer
    if (config.model, config.readout) == ("cnn", "flatten"):
        train_one *= _FLATTENED
    train = _training_samples(config, sizes)
    scored = sizes.validation(config) + (train if config.watch_training else 0)
    an_epoch = train * train_one + scored * score_one
    epochs = _USUAL_EPOCHS if config.epochs == _NO_CAP else config.epochs or 1
    return _OVERHEAD + epochs * an_epoch + sizes.test * score_one


def _training_samples(config: ResolvedConfig, sizes: Sizes) -> int:
    """Return how many samples a run trains on, up to the rounding of classes."""
    train = sizes.train - (0 if sizes.own_validation is not None else sizes.validation(config))
    return min(train, config.limit_train or train)
