"""From the settings of a run to the options of its AL form."""

from __future__ import annotations

from associated_learning.conversion.options import ALOptions
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.runs.settings.setting import numbers

__all__ = ["al_options"]

_AUTOMATIC = {"target": "auto"}  # what fits positions


def al_options(config: ResolvedConfig) -> ALOptions:
    """Return what all models with these settings have beside their encoders, but readouts."""
    with_coders = config.local_loss == "associated"
    chosen = config.association if with_coders else config.local_loss
    return ALOptions(
        latent=_latents(config),
        bridge=config.bridge,  # type: ignore[arg-type]
        bridge_hidden=config.bridge_hidden,
        bridge_blocks=config.bridge_blocks,
        bridge_select=config.bridge_select,  # type: ignore[arg-type]
        bridge_frozen=config.bridge_frozen,
        bridge_momentum=config.bridge_momentum,
        coders=config.coders,  # type: ignore[arg-type]
        activation=config.coder_activation,
        bias=config.coder_bias,
        association=_AUTOMATIC.get(chosen, chosen),
        overlap=config.overlap,
        input_loss=config.input_loss,
        detach_target=config.detach_target,
    )


def _latents(config: ResolvedConfig) -> int | list[int]:
    if config.latents is None:
        return config.latent
    return numbers("latents", config.latents)
