"""From the settings of a run to the options of its AL form."""

from __future__ import annotations

from associated_learning.conversion.options import ALOptions
from associated_learning.losses.contrast import contrastive_loss
from associated_learning.runs.config import RunConfig, numbers

__all__ = ["al_options"]

_DEFAULT = ALOptions()


def al_options(config: RunConfig) -> ALOptions:
    """Return what all models with these settings have beside their encoders, but readouts.

    Args:
        config: The settings, `resolved`.
    """
    return ALOptions(
        latent=_latents(config),
        bridge=config.bridge or _DEFAULT.bridge,  # type: ignore[arg-type]
        bridge_hidden=config.bridge_hidden or _DEFAULT.bridge_hidden,
        activation=config.coder_activation or _DEFAULT.activation,
        bias=config.coder_bias,
        association=contrastive_loss if config.association == "contrast" else None,
        detach_target=config.detach_target,
    )


def _latents(config: RunConfig) -> int | list[int]:
    if config.latents is None:
        return config.latent or 128
    return numbers("latents", config.latents)
