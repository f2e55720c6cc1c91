"""Models of transformers as networks of a run: converted, for AL and BP alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from associated_learning.backprop import BPNetwork
from associated_learning.conversion import ConvertedNetwork, convert, plan
from associated_learning.errors import InputError
from associated_learning.models import LayeredModel
from associated_learning.network import Network
from associated_learning.runs.hub.causality import check_causal
from associated_learning.runs.hub.config import config_from_json, config_to_json
from associated_learning.runs.hub.hollow_model import hollow_model
from associated_learning.runs.hub.model import find_model, fresh_model
from associated_learning.runs.networks.al_options import al_options
from associated_learning.runs.networks.input_spec import InputSpec
from associated_learning.runs.settings.config import ResolvedConfig
from associated_learning.runs.tasks.target import task_target
from associated_learning.targets import Target
from associated_learning.tensors.randomness.keyed import seeded

__all__ = [
    "Backbone",
    "build_converted",
    "convert_model",
    "cut_names",
    "find_backbone",
    "needs_store",
]


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A model of transformers as a run's folder keeps it, so that the folder suffices.

    Attributes:
        config: Its configuration in full, fitted to the data.
        cuts: Names of the modules at which the layers above the first begin. They are found
            once: a time that is measured again could give others.
    """

    config: dict[str, Any]
    cuts: tuple[str, ...]


def find_backbone(config: ResolvedConfig, spec: InputSpec, example: Any) -> Backbone:
    """Find the model that the settings name, fit it to the data, and find where to cut it.

    Raises:
        InputError: There is no such model, or it does not fit the data.
        ConversionError: It cannot be cut as asked; holds all reasons.
    """
    fitted = find_model(config.model, config.task).fitted(spec)
    if needs_store(config):
        model = hollow_model(fitted)
    else:
        with seeded(config.seed, "weights"):
            model = fresh_model(fitted, config.task)
    if config.task == "lm":
        check_causal(model, example)
    found = plan(
        model,
        example,
        target=task_target(config, spec) if spec.positions else None,
        at=cut_names(config.at, config.num_layers),
        balance=config.balance,
        head=_head(spec),
    )
    cuts = tuple(layer.begins for layer in found.layers[1:])
    return Backbone(config=config_to_json(fitted), cuts=cuts)


def build_converted(
    config: ResolvedConfig, spec: InputSpec, backbone: Backbone, target: Target, *, pretrained: bool
) -> Network:
    """Build the network of a run: the model's AL form, or the same encoders under one head.

    Both methods have the same encoders with the same weights, cut at the same places; BP reads
    them as the last layer of AL does.

    Args:
        config: The settings.
        spec: What the data look like.
        backbone: The model.
        target: What y is.
        pretrained: Whether to read the weights of the model that the settings name; not needed
            where a checkpoint brings all weights.
    """
    fitted = config_from_json(backbone.config)
    task = config.task
    model = find_model(config.model, task).load(fitted) if pretrained else fresh_model(fitted, task)
    net = convert_model(model, config, spec, backbone, target)
    return net if config.method == "al" else _end_to_end(net, target)


def convert_model(
    model: nn.Module, config: ResolvedConfig, spec: InputSpec, backbone: Backbone, target: Target
) -> ConvertedNetwork:
    """Return the AL form of a model by the settings of a run; see `build_converted`."""
    return convert(
        model,
        spec.example(),
        target=target,
        at=backbone.cuts,
        balance="parameters",  # nothing is balanced, so that nothing has to be measured
        head=_head(spec),
        options=al_options(config),
    )


def _head(spec: InputSpec) -> Literal["auto"] | None:
    """Return what of a model is its head: plain models have none."""
    return "auto" if spec.positions else None


def _end_to_end(net: ConvertedNetwork, target: Target) -> BPNetwork:
    last = net.al_layers()[-1]
    # at positions every exit answers y itself, and the last begins as the model's own head
    head = last.b if target.positions else nn.Linear(net.plan.layers[-1].width, target.size)
    return BPNetwork(LayeredModel(net.encoders(), last.readout, head), target)


def cut_names(at: str | None, num_layers: int | None) -> Sequence[str] | int | Literal["auto"]:
    """Return where to cut: as `plan` takes it, from the text of the option and a number.

    Raises:
        InputError: Both came.

    Example:
        >>> cut_names("encoder.layer.2, encoder.layer.4", None)
        ['encoder.layer.2', 'encoder.layer.4']
        >>> cut_names("4", None), cut_names(None, 3), cut_names(None, None)
        (4, 3, 'auto')
        >>> cut_names("4,", None)  # the module of that name, as in nn.Sequential
        ['4']
    """
    if at is not None and num_layers is not None:
        raise InputError(
            f"--at {at} came with --num-layers {num_layers}, which are two answers to one "
            "question; leave one out."
        )
    if at is None:
        return "auto" if num_layers is None else num_layers
    if at == "auto":
        return "auto"
    return int(at) if at.isdecimal() else [name.strip() for name in at.split(",") if name.strip()]


def needs_store(config: ResolvedConfig) -> bool:
    """Return whether a run's model goes from its files to a store without being in memory."""
    offloaded = config.executor == "offload" and config.store != "host"
    return config.family == "hf" and config.method == "al" and offloaded
