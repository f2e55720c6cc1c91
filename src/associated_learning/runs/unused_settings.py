"""Idle settings: those that would have no effect, which is never what was meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from associated_learning.errors import InputError
from associated_learning.runs.config import RunConfig

__all__ = ["check_idle"]

_ASSOCIATED = (
    "latent", "latents", "bridge", "bridge_hidden", "coder_activation", "coder_bias", "first_loss",
    "association", "detach_target", "lower_associated", "single_layer", "target_warmup",
)  # fmt: skip
_GROWTH = ("grow_patience", "grow_rise", "grow_gain", "grow_freeze", "grow_settled")
_JOINT = ("stop_gradients", "lower_associated", "local_loss", "single_layer")
_AL_ONLY = (*_ASSOCIATED, "local_loss", "greedy", "stop_gradients", "grow_from")
_BP_ONLY = ("head_hidden", "double_softmax")
_HEADS = [("bilstm", readout) for readout in ("last", "mean", "state-concat")]
_SIZES = ("num_layers", "hidden", "dropout")
_WORDS = ("embedding_dim", "embedding_dropout", "head_hidden")
_CUTS = ("at", "balance")
_NOT_HUB = ("hidden", "dropout", *_WORDS, "vectors")
_NOT_CONVERTED = (
    "readout", "stop_gradients", "lower_associated", "local_loss", "latents", "coder_bias",
    "single_layer", "double_softmax", "association",
)  # fmt: skip


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
        _check_head(config)
    else:
        _refuse(config, filled, _BP_ONLY, "--method al has no such head")
    if config.local_loss != "associated":
        why = f"--local-loss {config.local_loss} has no autoencoders"
        _refuse(config, filled, _ASSOCIATED, why)
    if config.grow_from is None:
        _refuse(config, filled, _GROWTH, "there is no --grow-from")
    else:
        why = "a network that grows has --grow-patience and --grow-freeze instead"
        _refuse(config, filled, ("patience", "greedy"), why)
        _refuse(config, filled, _JOINT, "only layers that train in isolation can grow")
    if config.vectors is None:
        _refuse(config, filled, ("vector_shift",), "there are no --vectors")
    if config.model != "bilstm":
        _refuse(config, filled, ("carry_state",), "only --model bilstm has such states")
    if config.bridge != "mlp":
        _refuse(config, filled, ("bridge_hidden",), "only --bridge mlp has a width between")
    if config.model not in ("cnn", "vgg"):
        _refuse(config, filled, ("batch_norm",), f"--model {config.model} has no convolutions")
    else:
        _refuse(config, filled, _SIZES, f"the layers of --model {config.model} are fixed")
    if config.model in ("mlp", "cnn", "vgg"):
        _refuse(config, filled, _WORDS, f"--model {config.model} has no word embedding")
    if config.family == "hf":
        _refuse(config, filled, _NOT_HUB, f"the configuration of {config.model} tells it")
        _refuse(config, filled, _NOT_CONVERTED, "a converted model has one way only")
    else:
        _refuse(config, filled, _CUTS, f"--model {config.model} is made of layers already")


def _check_head(config: RunConfig) -> None:
    if config.readout is None or (config.model, config.readout) in _HEADS:
        return
    raise InputError(
        f"--readout {config.readout} came, but --method bp has a head of its own; only that of "
        "--model bilstm can read something else: last, mean or state-concat. Leave it out."
    )


def _refuse(config: RunConfig, filled: Mapping[str, Any], names: tuple[str, ...], why: str) -> None:
    defaults = {setting.name: setting.default for setting in fields(config)}
    for name in names:
        value = getattr(config, name)
        if value not in (defaults[name], filled.get(name)):
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} {value} came, but {why}; leave it out.")
