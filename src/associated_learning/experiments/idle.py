"""Idle settings: those that would have no effect, which is never what was meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from associated_learning.errors import InputError
from associated_learning.experiments.config import RunConfig

__all__ = ["check_idle"]

_AL_ONLY = (
    "latent", "readout", "bridge", "bridge_hidden", "coder_activation", "first_loss",
    "detach_target", "stop_gradients", "lower_associated", "target_warmup",
)  # fmt: skip
_SIZES = ("num_layers", "hidden", "dropout")
_WORDS = ("embedding_dim", "embedding_dropout")
_CUTS = ("at", "balance")
_NOT_HUB = ("hidden", "dropout", *_WORDS, "vectors")
_NOT_CONVERTED = ("readout", "stop_gradients", "lower_associated")


def check_idle(config: RunConfig, filled: Mapping[str, Any]) -> None:
    """Check that the method and the model read every setting that came.

    Args:
        config: The settings.
        filled: What None stands for by name; such a value counts as not given, because
            settings that are resolved already hold it.

    Raises:
        InputError: One would have no effect.

    Example:
        >>> check_idle(RunConfig(method="bp", latent=64), {})
        Traceback (most recent call last):
        ...
        associated_learning.errors.InputError: --latent 64 came, but --method bp has no ...
    """
    if config.method == "bp":
        _refuse(config, filled, _AL_ONLY, "--method bp has no associated layers")
    if config.bridge != "mlp":
        _refuse(config, filled, ("bridge_hidden",), "only --bridge mlp has a width between")
    if config.model in ("cnn", "vgg"):
        _refuse(config, filled, _SIZES, f"the layers of --model {config.model} are fixed")
    if config.model in ("mlp", "cnn", "vgg"):
        _refuse(config, filled, _WORDS, f"--model {config.model} has no word embedding")
    if config.family == "hf":
        _refuse(config, filled, _NOT_HUB, f"the configuration of {config.model} tells it")
        _refuse(config, filled, _NOT_CONVERTED, "a converted model has one way only")
    else:
        _refuse(config, filled, _CUTS, f"--model {config.model} is made of layers already")


def _refuse(config: RunConfig, filled: Mapping[str, Any], names: tuple[str, ...], why: str) -> None:
    defaults = {setting.name: setting.default for setting in fields(config)}
    for name in names:
        value = getattr(config, name)
        if value not in (defaults[name], filled.get(name)):
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} {value} came, but {why}; leave it out.")
