"""The paper's network families with their settings (Tables 7 and 8, section 6.6), AL and BP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from associated_learning.backprop import BPNetwork
from associated_learning.conversion import al_form
from associated_learning.conversion.rivals import rival_form
from associated_learning.errors import InputError
from associated_learning.models import (
    CNN,
    MLP,
    VGG,
    BiLSTM,
    Flatten,
    GlobalAverage,
    LastState,
    LayeredModel,
    MaskedMean,
    MeanMax,
    PooledFlatten,
    StateConcat,
    StateSum,
    Transformer,
)
from associated_learning.network import Network
from associated_learning.runs.al_options import al_options
from associated_learning.runs.config import RunConfig, numbers
from associated_learning.runs.hub.network import Backbone, build_converted
from associated_learning.runs.input_spec import InputSpec
from associated_learning.runs.unused_settings import check_idle
from associated_learning.targets import Classes
from associated_learning.tensors.randomness.keyed import seeded

__all__ = ["IMAGE_MODELS", "TEXT_MODELS", "build_network", "resolved"]

TEXT_MODELS = ("bilstm", "transformer")
IMAGE_MODELS = ("cnn", "vgg")


# Learning rates, batches, clipping: Tables 7 and 8, section 6.6. Widths: the BP network's; the
# AL network's where they differ stand in _AL_DEFAULTS. Dropout 0.1 is the released AL code's,
# and the same for both methods, unlike there.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": 256, "num_layers": 3, "lr": 1e-3, "batch_size": 64, "epochs": 30},
    "cnn": {"lr": 1e-4, "batch_size": 128, "epochs": 200, "schedule": "milestones",
            "batch_norm": False},
    "vgg": {"lr": 1e-4, "batch_size": 128, "epochs": 200, "schedule": "milestones",
            "batch_norm": True},
    "bilstm": {"hidden": 350, "num_layers": 2, "lr": 1e-4, "batch_size": 64, "epochs": 50,
               "clip": 5.0},
    "transformer": {"hidden": 512, "num_layers": 2, "lr": 2.5e-4, "batch_size": 128, "epochs": 50},
    # for pretrained weights; fresh ones learn faster at --encoder-lr 1e-3
    "hf": {"lr": 1e-3, "encoder_lr": 5e-5, "batch_size": 32, "epochs": 3, "clip": 1.0,
           "schedule": "linear", "warmup": 0.1, "dropout": None, "embedding_dropout": None},
}  # fmt: skip
_AL_DEFAULTS: dict[str, dict[str, Any]] = {
    "mlp": {"latent": 128, "coder_activation": "tanh"},
    "cnn": {
        "latent": 256,
        "coder_activation": "tanh",
        "readout": "pooled",
        "association": "contrast",
    },
    "vgg": {
        "latent": 300,
        "coder_activation": "tanh",
        "readout": "grid",
        "association": "contrast",
    },
    "bilstm": {"latent": 128, "coder_activation": "tanh", "hidden": 300, "readout": "state-sum"},
    "transformer": {"latent": 128, "coder_activation": "tanh", "hidden": 256, "readout": "mean"},
    "hf": {"latent": 128, "coder_activation": "tanh", "encoder_lr": 2e-4, "target_warmup": 500},
}
_SHARED = {"dropout": 0.1, "embedding_dropout": 0.0, "schedule": "constant", "clip": 0.0,
           "patience": 5, "bridge": "linear", "association": "squared"}  # fmt: skip


def resolved(config: RunConfig) -> RunConfig:
    """Return the settings with every None that has a default of the model filled in.

    Raises:
        InputError: A setting came that the model or the method would not read.
    """
    own = _AL_DEFAULTS[config.family] if config.method == "al" else {}
    defaults = {**_SHARED, **_DEFAULTS[config.family], **own}
    if config.grow_from is not None:
        defaults["patience"] = 0
    check_idle(config, defaults)
    given = config.to_json()
    return replace(config, **{k: v for k, v in defaults.items() if given[k] is None})


def build_network(
    config: RunConfig,
    spec: InputSpec,
    vectors: Tensor | None = None,
    *,
    backbone: Backbone | None = None,
    pretrained: bool = False,
) -> Network:
    """Build the network of a run; the weights are keyed by its seed.

    Args:
        config: The settings, `resolved`.
        spec: What the data look like.
        vectors: Word vectors ``[vocabulary_size, embedding_dim]`` for the embedding.
        backbone: A model of transformers, where the settings name one.
        pretrained: Whether to read its weights, if it has any.

    Raises:
        InputError: The model does not fit the kind of data.
    """
    mse = config.method == "al" and config.first_loss == "mse"
    target = Classes(spec.num_classes, "mse" if mse else "ce")
    if backbone is not None:
        with seeded(config.seed, "weights"):
            return build_converted(config, spec, backbone, target, pretrained=pretrained)
    _check_kind(config.model, spec)
    with seeded(config.seed, "weights"):
        model = _MODELS[config.model](config, spec, vectors)
        if config.method == "bp":
            return _end_to_end(config, model, target)
        encoders = [nn.Sequential(*model.layers)] if config.single_layer else list(model.layers)
        count = len(encoders)
        stops = [True] + [config.stop_gradients] * (count - 1)
        if config.local_loss != "associated":
            return rival_form(
                encoders,
                spec.example(),
                target,
                loss=config.local_loss,  # type: ignore[arg-type]
                readout=_readouts(config, count),
                stop_gradients=stops,
            )
        return al_form(
            encoders,
            spec.example(),
            target,
            options=al_options(config),
            readout=_readouts(config, count),
            stop_gradients=stops,
            use_associated=[config.lower_associated] * (count - 1) + [True],
        )


def _end_to_end(config: RunConfig, model: LayeredModel, target: Classes) -> BPNetwork:
    if config.readout is not None:
        model.readout = _READOUTS[config.readout]()
    if config.double_softmax:
        model.head = nn.Sequential(model.head, nn.Softmax(dim=1))
    return BPNetwork(model, target)


def _check_kind(model: str, spec: InputSpec) -> None:
    if model in TEXT_MODELS and spec.kind != "text":
        raise InputError(
            f"--model {model} reads text, the data are of kind {spec.kind}; use mlp"
            + (", cnn or vgg." if spec.kind == "image" else ".")
        )
    if model in IMAGE_MODELS and spec.kind != "image":
        fit = "bilstm or transformer" if spec.kind == "text" else "mlp"
        raise InputError(f"--model {model} reads images, the data are {spec.kind}; use {fit}.")
    if model == "mlp" and spec.kind == "text":
        raise InputError("--model mlp reads numbers, the data are text; use bilstm or transformer.")


def _mlp(config: RunConfig, spec: InputSpec, vectors: Tensor | None) -> LayeredModel:
    return MLP(
        in_features=int(torch.Size(spec.shape).numel()),
        out_features=spec.num_classes,
        hidden=config.hidden or 256,
        num_layers=config.num_layers,
        dropout=config.dropout or 0.0,
    )


def _cnn(config: RunConfig, spec: InputSpec, vectors: Tensor | None) -> LayeredModel:
    return CNN(
        in_channels=spec.shape[0],
        image_size=_side(spec),
        out_features=spec.num_classes,
        batch_norm=bool(config.batch_norm),
        activation="elu" if config.method == "al" else "relu",
    )


def _vgg(config: RunConfig, spec: InputSpec, vectors: Tensor | None) -> LayeredModel:
    isolated = config.method == "al"  # the released AL code: ELU, a dense layer
    return VGG(
        in_channels=spec.shape[0],
        image_size=_side(spec),
        out_features=spec.num_classes,
        batch_norm=bool(config.batch_norm),
        activation="elu" if isolated else "relu",
        dense=(1024, 1024) if isolated else (),
    )


def _bilstm(config: RunConfig, spec: InputSpec, vectors: Tensor | None) -> LayeredModel:
    return BiLSTM(
        hidden=config.hidden or 300,
        carry_state=config.carry_state,
        **_of_texts(config, spec, vectors),
    )


def _transformer(config: RunConfig, spec: InputSpec, vectors: Tensor | None) -> LayeredModel:
    return Transformer(feedforward=config.hidden or 256, **_of_texts(config, spec, vectors))


def _of_texts(config: RunConfig, spec: InputSpec, vectors: Tensor | None) -> dict[str, Any]:
    """Return the arguments that all models of texts take."""
    return {
        "vocabulary_size": spec.vocabulary_size,
        "embedding_dim": spec.embedding_dim,
        "out_features": spec.num_classes,
        "num_layers": config.num_layers or 2,
        "dropout": config.dropout or 0.0,
        "embedding_dropout": config.embedding_dropout or 0.0,
        "head_hidden": tuple(numbers("head_hidden", config.head_hidden)),
        "weights": vectors,
    }


_MODELS = {
    "mlp": _mlp,
    "cnn": _cnn,
    "vgg": _vgg,
    "bilstm": _bilstm,
    "transformer": _transformer,
}


def _side(spec: InputSpec) -> int:
    if spec.shape[1] != spec.shape[2]:
        raise InputError(f"images of {spec.shape[1]} x {spec.shape[2]} came; expected squares.")
    return spec.shape[1]


_READOUTS: dict[str, Callable[[], nn.Module]] = {
    "flatten": Flatten,
    "average": GlobalAverage,
    "pooled": lambda: PooledFlatten(4),
    "mean": MaskedMean,
    "mean-max": MeanMax,
    "last": LastState,
    "state-sum": StateSum,
    "state-concat": StateConcat,
}


def _readouts(config: RunConfig, count: int) -> Sequence[nn.Module] | None:
    """Return each layer's readout; the embedding is always averaged (section 2.1.1)."""
    if config.readout in (None, "grid"):
        if config.readout is not None and config.model not in IMAGE_MODELS:
            raise InputError(f"--readout grid came for --model {config.model}; it is for images.")
        return None
    make = _READOUTS[config.readout]
    if config.model in TEXT_MODELS and not config.single_layer:
        return [MaskedMean(), *(make() for _ in range(count - 1))]
    return [make() for _ in range(count)]
