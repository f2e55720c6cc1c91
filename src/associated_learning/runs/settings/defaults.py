"""The defaults of a run's settings, by preset, family and method (Tables 7 and 8, section 6.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.model import FAMILIES
from associated_learning.runs.settings.unused import AL_ONLY

__all__ = ["defaults_of", "family_default"]

_SHARED: dict[str, Any] = {
    "task": "classification",  # unless the column of the labels decides: tasks/deciding.py
    "dropout": 0.1,  # the released AL code's, and the same for both methods, unlike there
    "embedding_dropout": 0.0,
    "batch_norm": False,
    "balance": "flops",
    "schedule": "constant",
    "warmup": 0.0,
    "clip": 0.0,
    "patience": 5,
    "min_updates": 0,
    "patience_updates": 0,
    "judge": "full",
    "target_warmup": 0,
    "latent": 128,
    "bridge": "linear",
    "bridge_hidden": 1280,  # the released TensorFlow code
    "coder_activation": "tanh",
    "association": "squared",
}
# Learning rates, batches, clipping: Tables 7 and 8, section 6.6. Widths: the BP network's; the
# AL network's where they differ stand in _AL.
_FAMILY: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": 256, "num_layers": 3, "lr": 1e-3, "batch_size": 64, "epochs": 30},
    "cnn": {"lr": 1e-4, "batch_size": 128, "epochs": 200, "schedule": "milestones"},
    "vgg": {"lr": 1e-4, "batch_size": 128, "epochs": 200, "schedule": "milestones",
            "batch_norm": True},
    "bilstm": {"hidden": 350, "num_layers": 2, "embedding_dim": 300, "lr": 1e-4, "batch_size": 64,
               "epochs": 50, "clip": 5.0},
    "transformer": {"hidden": 512, "num_layers": 2, "embedding_dim": 300, "lr": 2.5e-4,
                    "batch_size": 128, "epochs": 50},
    # for pretrained weights; fresh ones learn faster at --encoder-lr 1e-3
    "hf": {"lr": 1e-3, "encoder_lr": 5e-5, "batch_size": 32, "epochs": 3, "clip": 1.0,
           "schedule": "linear", "warmup": 0.1, "dropout": None, "embedding_dropout": None},
}  # fmt: skip
_AL: dict[str, dict[str, Any]] = {
    "mlp": {},
    "cnn": {"latent": 256, "readout": "pooled", "association": "contrast"},
    "vgg": {"latent": 300, "readout": "grid", "association": "contrast"},
    "bilstm": {"hidden": 300, "readout": "state-sum"},
    "transformer": {"hidden": 256, "readout": "mean"},
    "hf": {"encoder_lr": 2e-4, "target_warmup": 500},
}
_ENCODERS = ("hidden", "readout")  # what of the above decides about encoders and readouts
# What takes the place of the above by the preset "any", for AL and BP alike: chosen on half of the
# sets of benchmarks/first_run, judged on the other half.
_ANY: dict[str, Any] = {
    "lr": 1e-3,
    "batch_size": 32,
    "epochs": 20,
    "min_updates": 1000,
    "schedule": "cosine",
    "warmup": 0.1,
    "judge": "any",
    "association": "contrast",
}
# an update of these costs as much as fifty of an mlp, and few texts are learned by heart long
# before the last: what 250 updates do not better at any depth, the others did not either
_ANY_FAMILY: dict[str, dict[str, Any]] = {"bilstm": {"patience_updates": 250}}
# layers that come late would have no rate left; a network that grows ends by its own rules
_ANY_GROWING: dict[str, Any] = {"epochs": 100, "schedule": "constant", "warmup": 0.0}
# tuned for pretrained weights (benchmarks/finetuning); some hundred updates even of small data
_ANY_HUB: dict[str, Any] = {"min_updates": 300, "judge": "any"}
# with an answer at every position every exit answers by itself
_POSITIONS: dict[str, Any] = {"association": "target", "target_warmup": 0, "readout": None}
# the head is pretrained too, so that one rate is for all
_LANGUAGE: dict[str, Any] = {"lr": 2e-4, "encoder_lr": None, "block_size": None}
# an image has thousands of labels; the first layers see little of one, unless they look ahead
_PIXELS: dict[str, Any] = {"batch_size": 8}
_PIXELS_CNN: dict[str, Any] = {**_PIXELS, "bridge": "block"}


def defaults_of(config: RunConfig) -> Mapping[str, Any]:
    """Return the defaults of the settings that were not given, for the ones that were.

    Example:
        >>> defaults_of(RunConfig(model="bilstm", preset="paper"))["lr"]
        0.0001
    """
    defaults = dict(_defaults(config.family, config.method, config.preset, config.encoders))
    if config.epochs is not None:
        defaults["min_updates"] = 0  # as many epochs as were asked for
    if config.epochs is not None or config.min_updates is not None:
        defaults["patience_updates"] = 0  # and as many updates
    if config.task in ("regression", "multilabel"):  # few samples have equal targets to contrast
        defaults["association"] = "squared"
    elif config.task in ("tokens", "lm", "segmentation"):
        defaults |= _POSITIONS | _of_positions(config)
    if config.grow_from is not None:
        defaults["patience"] = 0
        if config.preset == "any" and config.family != "hf":
            defaults |= _ANY_GROWING
    if config.vectors is not None:
        defaults["embedding_dim"] = None  # that of the vectors
    return defaults


def _of_positions(config: RunConfig) -> dict[str, Any]:
    if config.task == "lm":
        return _LANGUAGE
    if config.task != "segmentation":
        return {}
    return _PIXELS_CNN if config.family == "cnn" and config.method == "al" else _PIXELS


def family_default(name: str) -> str | None:
    """Return the defaults of a setting by family, for the help; None where no family has one.

    Example:
        >>> family_default("clip"), family_default("patience"), family_default("stages")
        ('0.0; bilstm 5.0, hf 1.0', '5', None)
        >>> family_default("hidden")
        'mlp 256, bilstm 300, transformer 256'
    """
    shared = {**_SHARED, **_ANY}.get(name)
    by_family = {family: _both(name, family) for family in (*FAMILIES, "hf")}
    own = ", ".join(
        f"{family} {text}" for family, text in by_family.items() if text and text != str(shared)
    )
    return "; ".join(part for part in ("" if shared is None else str(shared), own) if part) or None


def _both(name: str, family: str) -> str:
    al, bp = (_defaults(family, method).get(name) for method in ("al", "bp"))
    if al is None:
        return "" if bp is None else f"(bp {bp})"
    return f"{al}" if bp in (None, al) or name in AL_ONLY else f"{al} (bp {bp})"


def _defaults(
    family: str, method: str, preset: str = "any", encoders: str | None = None
) -> Mapping[str, Any]:
    found = {**_SHARED, **_FAMILY[family]}
    if method == "al":
        found |= _AL[family]
    elif family != "hf":  # whose BP has the encoders of AL anyway
        found["encoders"] = encoders or ("paper" if preset == "paper" else "al")
        if found["encoders"] == "al":
            found |= {name: _AL[family][name] for name in _ENCODERS if name in _AL[family]}
    if preset == "paper":
        return found
    if family == "hf":
        return {**found, **_ANY_HUB}
    return {**found, **_ANY, **_ANY_FAMILY.get(family, {})}
