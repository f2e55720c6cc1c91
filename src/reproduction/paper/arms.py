"""The arms that are compared: what each is, as settings of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reproduction.paper.tiers import RESAMPLED

__all__ = ["ARMS", "Arm"]

Settings = Mapping[str, Any]
Key = tuple[str, str]  # model, data; "" stands for every data set


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One of the ways to train that a table compares.

    Attributes:
        title: What it is.
        shared: Settings for every model.
        own: Settings for a model and data set; the more special ones come later.
        protocol: Learning rate, batch size and patience where they belong to the arm; a tier that
            declares its own overrules them.
        no_vectors: Models and data sets that get no word vectors.
        only: The one tier that trains it; None for all.
    """

    title: str
    shared: Settings = field(default_factory=dict)
    own: Mapping[Key, Settings] = field(default_factory=dict)
    protocol: Mapping[Key, Settings] = field(default_factory=dict)
    no_vectors: frozenset[Key] = frozenset()
    only: str | None = None

    @property
    def is_al(self) -> bool:
        """Whether it is no backpropagation."""
        return self.shared.get("method") != "bp"

    def settings_of(self, model: str, data: str) -> dict[str, Any]:
        """Return the settings that make the arm what it is."""
        return {**self.shared, **_of(self.own, model, data)}

    def protocol_of(self, model: str, data: str) -> dict[str, Any]:
        """Return the arm's own learning rate, batch size and patience."""
        return _of(self.protocol, model, data)

    def is_of(self, tier: str) -> bool:
        """Return whether a tier trains it."""
        return self.only in (None, tier)

    def reads_vectors(self, model: str, data: str) -> bool:
        """Return whether the embedding starts from word vectors."""
        return (model, data) not in self.no_vectors


def _of(settings: Mapping[Key, Settings], model: str, data: str) -> dict[str, Any]:
    return {**settings.get((model, ""), {}), **settings.get((model, data), {})}


_NO_GLOVE = ("ag_news", "dbpedia_14", "sst2")  # of the scripts only IMDB's gives the LSTM any

# The scripts of autumn 2021, from just before the paper was submitted (docs/decisions.md).
_BP_RELEASED = Arm(
    title="BP as released",
    only="full",  # some hundred updates could say nothing of that code
    shared={"method": "bp"},
    own={
        ("bilstm", ""): {"double_softmax": True, "readout": "last", "head_hidden": "400"},
        ("bilstm", "ag_news"): {
            "num_layers": 1, "hidden": 500, "embedding_dim": 300, "remove_stop_words": True
        },
        ("bilstm", "sst2"): {"num_layers": 1, "hidden": 350, "embedding_dim": 300},
        ("bilstm", "dbpedia_14"): {"embedding_dim": 300},
        ("bilstm", "imdb"): {"vector_shift": 2},
        ("transformer", ""): {"dropout": 0.5, "vector_shift": 2},
        ("transformer", "ag_news"): {"remove_stop_words": True},
    },
    protocol={
        ("bilstm", ""): {"lr": 1e-3, "batch_size": 32, "patience": 20},
        ("bilstm", "dbpedia_14"): {"batch_size": 128},
        ("transformer", ""): {"lr": 1e-3, "batch_size": 256, "patience": 20},
    },
    no_vectors=frozenset(("bilstm", data) for data in _NO_GLOVE),
)  # fmt: skip

_AL_TEXT = {
    "bridge": "activated",
    "first_loss": "mse",
    "detach_target": False,
    "coder_bias": False,
    "vector_shift": 2,
}
_AL_IMAGE = {
    "association": "squared",
    "readout": "flatten",
    "bridge": "mlp",
    "coder_activation": "sigmoid",
    "first_loss": "mse",
}
_AL_RELEASED = Arm(
    title="AL as released",
    only="full",  # some hundred updates could say nothing of that code
    own={
        ("bilstm", ""): {
            **_AL_TEXT, "readout": "last", "latents": "128,300,300", "carry_state": True
        },
        ("bilstm", "sst2"): {"num_layers": 1, "latents": "128,300"},
        ("transformer", ""): {**_AL_TEXT, "latents": "128,256,256"},
        ("cnn", ""): _AL_IMAGE,
        ("vgg", ""): {**_AL_IMAGE, "bridge_hidden": 1500, "batch_norm": False},
    },
    protocol={
        ("bilstm", ""): {"lr": 1e-3, "batch_size": 64, "patience": 4},
        ("transformer", ""): {"lr": 1e-3, "batch_size": 256, "patience": 4},
        ("cnn", ""): {"batch_size": 32},
        ("vgg", ""): {"batch_size": 32},
    },
)  # fmt: skip


def _al(title: str, **settings: Any) -> Arm:
    return Arm(title=title, shared=settings)


def _bp(title: str, **settings: Any) -> Arm:
    return Arm(title=title, shared={"method": "bp", **settings})


ARMS: dict[str, Arm] = {
    "bp": _bp("BP, the paper's network"),
    "bp-encoders": _bp("BP, AL's encoders", encoders="al"),
    "bp-shallow": Arm(
        title="BP, AL's encoders, one layer",
        shared={"method": "bp", "encoders": "al", "num_layers": 1},
        only=RESAMPLED,
    ),
    "bp-released": _BP_RELEASED,
    "al": _al("AL (Equation 3)", association="squared"),
    "contrast": _al("AL of this library (contrast)", association="contrast"),
    "al-released": _AL_RELEASED,
    # Table 6, section 3.5
    "no-stops": _al("AL w/o gradient stops", stop_gradients=False),
    "one-associated": _al(
        "AL w/o gradient stops and lower associated losses",
        stop_gradients=False,
        lower_associated=False,
    ),
    "one-autoencoder": _al("BP + AE*1", single_layer=True),
    "no-autoencoders": _al("AL w/o AE: local cross-entropy", local_loss="ce"),
    "mlp-head": _bp("BP + MLP*3", head_hidden="128,128"),
    # the field
    "deep-supervision": _al("Deep supervision", local_loss="ce", stop_gradients=False),
    "predsim": _al("predsim", local_loss="predsim"),
    "greedy": _al("Layer-wise greedy", local_loss="ce", greedy=True, patience=0),
    # the switches between paper and released code
    "target-learns": _al("g learns from the associated loss", detach_target=False),
    "first-mse": _al("squared error for the first autoencoder", first_loss="mse"),
    "target-learns-mse": _al("both of them", detach_target=False, first_loss="mse"),
    "bridge-activated": _al("bridge with activation", bridge="activated"),
    "bridge-mlp": _al("bridge of two dense layers", bridge="mlp"),
    "read-last": _al("bridge reads the last step", readout="last"),
    "read-mean": _al("bridge reads the mean", readout="mean"),
    "read-flatten": _al("bridge reads the whole map", readout="flatten"),
    # beyond the paper
    "read-mean-max": _al("bridge reads mean and maximum", readout="mean-max"),
    "wide-latents": _al("latents 128, 300, 300", latents="128,300,300"),
}
