"""Every task's encoders, by AL and by backpropagation alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import GPT2Config, GPT2LMHeadModel

import associated_learning as al
from associated_learning import models

__all__ = ["Logits", "language_model", "lists_of_encoders", "network"]

WIDTH, BLOCKS, LENGTH = 256, 6, 64
_CUTS = {2: [3], 3: [2, 4], 6: [1, 2, 3, 4, 5]}


def lists_of_encoders(task: str, known: int) -> list[nn.Module]:
    """Return the encoders of a task whose layers are a list."""
    if task == "tokens":
        made = models.BiLSTM(
            vocabulary_size=known, embedding_dim=64, hidden=64, num_layers=2, out_features=2
        )
        return list(made.layers)
    return [
        _convolution(1, 32),
        _convolution(32, 32, stride=2),
        _convolution(32, 32, dilation=2),
        _convolution(32, 32, dilation=4),
    ]


def _convolution(channels: int, width: int, stride: int = 1, dilation: int = 1) -> nn.Module:
    convolution = nn.Conv2d(channels, width, 3, stride, padding=dilation, dilation=dilation)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())


def language_model(known: int) -> GPT2LMHeadModel:
    """Return a causal Transformer of six blocks of width 256."""
    config = GPT2Config(
        vocab_size=known, n_positions=LENGTH, n_embd=WIDTH, n_layer=BLOCKS, n_head=4,
        bos_token_id=0, eos_token_id=0, use_cache=False, attn_implementation="sdpa",
    )  # fmt: skip
    return GPT2LMHeadModel(config)


class Logits(nn.Module):
    """A language model that returns its logits alone."""

    def __init__(self, model: GPT2LMHeadModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, T, k]`` of token ids ``[B, T]``."""
        logits: Tensor = self.model(x).logits
        return logits


class Answer(nn.Module):
    """The same encoders, with what reads them on top, as one module for backpropagation."""

    def __init__(self, layers: list[al.ALLayer], *, checkpointed: bool = False) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(layer.f for layer in layers)
        self.readout, self.b = layers[-1].readout, layers[-1].b
        self.checkpointed = checkpointed

    def forward(self, s: Any) -> Tensor:
        """Return ``[B, *P, k]``."""
        for encoder in self.encoders:
            kept = self.checkpointed
            s = checkpoint(encoder, s, use_reentrant=False) if kept else encoder(s)
        answer: Tensor = self.b(self.readout(s))
        return answer


def network(
    task: str,
    method: str,
    x: Any,
    target: al.Target,
    known: int,
    seed: int,
    pretrained: Mapping[str, Tensor] | None = None,
) -> al.Network:
    """Return a network.

    Args:
        task: "tokens", "segmentation", "lm" or "finetune".
        method: "bp", "bp_checkpointing", "al", "al_2" and the like (in so many layers), or
            "al_block", whose bridges look ahead.
        x: A batch.
        target: What y is.
        known: Number of different inputs.
        seed: Of the weights, which all methods begin with.
        pretrained: Weights of a language model to begin with instead.
    """
    torch.manual_seed(seed)
    parts = method.removeprefix("al_")
    count = int(parts) if parts.isdecimal() else 0
    if task in ("lm", "finetune"):
        model = language_model(known)
        if pretrained is not None:
            model.load_state_dict(pretrained)
        net: al.ALNetwork = _converted(model, x, target, count or BLOCKS)
    else:
        bridge: Any = "block" if parts == "block" else "linear"
        net = al.al_form(_grouped(lists_of_encoders(task, known), count), x, target, bridge=bridge)
    if method.startswith("al"):
        return net
    return al.BPNetwork(Answer(net.al_layers(), checkpointed="check" in method), target)


def _grouped(encoders: list[nn.Module], count: int) -> list[nn.Module]:
    """Return the encoders as so many layers of as many encoders each; 0 leaves them."""
    if not count:
        return encoders
    each = len(encoders) // count
    return [nn.Sequential(*encoders[i : i + each]) for i in range(0, len(encoders), each)]


def _converted(model: GPT2LMHeadModel, x: Tensor, target: al.Target, count: int) -> al.ALNetwork:
    names = [f"transformer.h.{i}" for i in _CUTS[count]]
    return al.convert(model, x, target=target, at=names)
