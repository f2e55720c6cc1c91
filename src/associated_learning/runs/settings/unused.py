"""Unused settings: those that would have no effect, which is never what was meant."""

from __future__ import annotations

from associated_learning.errors import InputError
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.tasks.unused import check_task, refuse

__all__ = ["AL_ONLY", "BP_ONLY", "check_unused"]

_ASSOCIATED = (
    "latent", "latents", "coders", "coder_activation", "coder_bias", "first_loss",
    "association", "detach_target", "lower_associated", "single_layer", "target_warmup",
)  # fmt: skip
_COPIES = ("bridge_blocks", "bridge_select", "bridge_frozen", "bridge_momentum")
_BRIDGE = ("bridge", "bridge_hidden", *_COPIES)
_GROWTH = ("grow_patience", "grow_rise", "grow_gain", "grow_freeze", "grow_settled")
_JOINT = ("stop_gradients", "lower_associated", "single_layer")
AL_ONLY = (
    *_ASSOCIATED,
    *_BRIDGE,
    "local_loss",
    "input_loss",
    "overlap",
    "greedy",
    "stop_gradients",
    "grow_from",
)
BP_ONLY = ("head_hidden", "double_softmax", "encoders")
_OF_LOSS = ("label_smoothing", "class_weight")
_HEADS = [("bilstm", readout) for readout in ("last", "mean", "state-concat")]
_SIZES = ("num_layers", "hidden", "dropout")
_WORDS = ("embedding_dim", "embedding_dropout", "head_hidden")
_CUTS = ("at", "balance")
_NOT_HUB = ("hidden", "dropout", *_WORDS, "vectors")
_NOT_CONVERTED = (
    "readout", "stop_gradients", "lower_associated", "latents", "coder_bias",
    "single_layer", "double_softmax", "encoders",
)  # fmt: skip


def check_unused(config: RunConfig) -> None:
    """Check that the method and the model read every setting that was given.

    Raises:
        InputError: One would have no effect.

    Example:
        >>> check_unused(RunConfig(method="bp", latent=64))
        Traceback (most recent call last):
        ...
        associated_learning.errors.InputError: --latent 64 came, but --method bp has no ...
    """
    if config.method == "bp":
        refuse(config, AL_ONLY, "--method bp has no associated layers")
        _check_head(config)
    else:
        refuse(config, BP_ONLY, "--method al has no such head")
    check_task(config)
    if config.task in ("tokens", "lm"):
        refuse(config, _OF_LOSS, f"--task {config.task} has no such loss yet")
    _check_losses(config)
    if config.grow_from is None:
        refuse(config, _GROWTH, "there is no --grow-from")
    else:
        why = "a network that grows has --grow-patience and --grow-freeze instead"
        refuse(config, ("patience", "greedy"), why)
        refuse(config, _JOINT, "only layers that train in isolation can grow")
    if config.vectors is None:
        refuse(config, ("vector_shift",), "there are no --vectors")
    if config.model != "bilstm":
        refuse(config, ("carry_state",), "only --model bilstm has such states")
    if config.bridge != "mlp":
        refuse(config, ("bridge_hidden",), "only --bridge mlp has a width between")
    if config.bridge != "block":
        refuse(config, _COPIES, "only --bridge block has copies")
    if config.model not in ("cnn", "vgg"):
        refuse(config, ("batch_norm",), f"--model {config.model} has no convolutions")
    else:
        refuse(config, _SIZES, f"the layers of --model {config.model} are fixed")
    if config.model in ("mlp", "cnn", "vgg"):
        refuse(config, _WORDS, f"--model {config.model} has no word embedding")
    if config.family == "hf":
        refuse(config, _NOT_HUB, f"the configuration of {config.model} tells it")
        refuse(config, _NOT_CONVERTED, "a converted model has one way only")
    else:
        refuse(config, _CUTS, f"--model {config.model} is made of layers already")


def _check_losses(config: RunConfig) -> None:
    if config.first_loss == "mse":
        refuse(config, _OF_LOSS, "--first-loss mse has no cross-entropy")
    if config.double_softmax:
        refuse(config, _OF_LOSS, "--double-softmax has the loss of the released code")
    if config.coders != "learned":
        learned = ("detach_target", "target_warmup", *_OF_LOSS)
        refuse(config, learned, f"g and h of --coders {config.coders} learn nothing")
    if config.local_loss != "associated":
        refuse(config, _OF_LOSS, f"--local-loss {config.local_loss} has a loss of its own")
        why = f"--local-loss {config.local_loss} has no autoencoders"
        refuse(config, _ASSOCIATED, why)


def _check_head(config: RunConfig) -> None:
    encoders = config.encoders or ("paper" if config.preset == "paper" else "al")
    if config.readout is None or encoders == "al" or (config.model, config.readout) in _HEADS:
        return
    raise InputError(
        f"--readout {config.readout} came, but --encoders paper has a head of its own; only that "
        "of --model bilstm can read something else: last, mean or state-concat. Leave it out."
    )
