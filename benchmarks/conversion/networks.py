"""Models to convert, and the same layers put together by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
)

import associated_learning as al
from associated_learning.models import PooledFlatten

__all__ = ["MODELS", "PAIRS", "Pair", "bert"]


class Pair(NamedTuple):
    """A converted network and one of the same modules, assembled by hand."""

    converted: al.ALNetwork
    by_hand: al.ALNetwork
    x: Any
    y: Tensor


class Hidden(NamedTuple):
    """Hidden states ``[B, T, D]``, the model's own mask, and the tokens to average over."""

    values: Tensor
    mask: Tensor | None
    keep: Tensor


class First(nn.Module):
    """Embeddings and the first blocks of BERT."""

    def __init__(self, bert: nn.Module, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.config = bert.config
        self.embeddings = bert.embeddings
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: dict[str, Tensor]) -> Hidden:
        """Return the hidden states after the last block."""
        from transformers.masking_utils import create_bidirectional_mask

        h = self.embeddings(input_ids=x["input_ids"])
        keep = x["attention_mask"]
        mask = create_bidirectional_mask(config=self.config, inputs_embeds=h, attention_mask=keep)
        for block in self.blocks:
            h = block(h, mask)
        return Hidden(h, mask, keep)


class Next(nn.Module):
    """Further blocks; at the top, the pooler."""

    def __init__(self, blocks: list[nn.Module], pooler: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.pooler = pooler

    def forward(self, s: Hidden) -> Hidden:
        """Return the hidden states after the last block, or the pooled first token."""
        h, mask, keep = s
        for block in self.blocks:
            h = block(h, mask)
        return Hidden(h if self.pooler is None else self.pooler(h), mask, keep)


class Mean(nn.Module):
    """The mean over real tokens; a vector as it is."""

    def forward(self, s: Hidden) -> Tensor:
        """Return ``[B, D]``."""
        if s.values.dim() == 2:
            return s.values
        keep = s.keep.bool()
        kept = s.values.masked_fill(~keep.unsqueeze(2), 0.0)
        return kept.sum(1) / keep.sum(1, keepdim=True)


def bert(num_blocks: int = 12, width: int = 128) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return a fresh BERT classifier and a batch of 16 texts of up to 32 tokens."""
    config = AutoConfig.for_model(
        "bert", hidden_size=width, num_hidden_layers=num_blocks, num_attention_heads=4,
        intermediate_size=4 * width, vocab_size=5000,
    )  # fmt: skip
    lengths = torch.randint(8, 33, (16, 1))
    x = {
        "input_ids": torch.randint(1, 5000, (16, 32)),
        "attention_mask": (torch.arange(32) < lengths).long(),
    }
    return AutoModelForSequenceClassification.from_config(config), x


def linears() -> tuple[nn.Module, Tensor]:
    """Return 600 linear layers and a batch of 16."""
    return nn.Sequential(*(nn.Linear(8, 8) for _ in range(600))), torch.randn(16, 8)


def vit_base() -> tuple[nn.Module, Tensor]:
    """Return a fresh ViT-base and two images of 224 x 224."""
    config = AutoConfig.for_model("vit", num_labels=2)
    return AutoModelForImageClassification.from_config(config), torch.randn(2, 3, 224, 224)


MODELS: dict[str, Callable[[], tuple[nn.Module, Any]]] = {
    "BERT, width 128": bert,
    "BERT, width 768": lambda: bert(width=768),
    "600 linear": linears,
    "ViT-base": vit_base,
}


def bert_pair() -> Pair:
    """Twelve blocks in four layers."""
    model, x = bert()
    target = al.Classes(2)
    names = [f"bert.encoder.layer.{i}" for i in (3, 6, 9)]
    converted = al.convert(model, x, target=target, at=names, association=None)
    again, _ = bert()
    body = again.bert
    groups = [list(body.encoder.layer[i : i + 3]) for i in range(0, 12, 3)]
    encoders = [First(body, groups[0]), *(Next(group, None) for group in groups[1:])]
    encoders[-1].pooler = body.pooler
    by_hand = al.al_form(encoders, x, target, readout=Mean(), association=None)
    return Pair(converted, by_hand, x, torch.randint(0, 2, (16,)))


def cnn_pair() -> Pair:
    """Eight convolutions in four layers."""

    def make() -> nn.Sequential:
        return nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(3 if i == 0 else 16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
                    nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
                )
                for i in range(4)
            ),
            nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 10),
        )  # fmt: skip

    x, target = torch.randn(32, 3, 16, 16), al.Classes(10)
    converted = al.convert(make(), x, target=target, at=["1", "2", "3"], association=None)
    model = make()
    encoders = [model[0], model[1], model[2], nn.Sequential(*model[3:6])]
    readouts = [PooledFlatten(4), PooledFlatten(4), PooledFlatten(4), nn.Identity()]
    by_hand = al.al_form(encoders, x, target, readout=readouts, association=None)
    return Pair(converted, by_hand, x, torch.randint(0, 10, (32,)))


PAIRS: dict[str, Callable[[], Pair]] = {"BERT, 12 blocks": bert_pair, "CNN": cnn_pair}
