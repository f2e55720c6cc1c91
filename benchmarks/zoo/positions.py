"""Models that answer at every token or pixel; each is cut, verified, and keeps its head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from architecture import CLASSES, Architecture, Batch, generator, hugging_face
from plain_positions import (
    BiLSTMTagger,
    ConvTagger,
    DenseRegressor,
    StridedConvolutions,
    UNetPixels,
)
from text import DECODER, SPECIAL, TRANSFORMER, VOCABULARY, ids_and_mask
from torch import Tensor, nn

import associated_learning as al

__all__ = ["POSITIONS"]

_TAGS, _WORDS = al.Classes(CLASSES, positions=1), al.Classes(VOCABULARY, positions=1)
_PIXELS, _VALUES = al.Classes(CLASSES, positions=2), al.Regression(1, positions=2)
_SIZE = 32
_VISION: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": _SIZE,
    "patch_size": 8,
}
_OPT = {"word_embed_proj_dim": 32, "ffn_dim": 64, "num_hidden_layers": 4, "num_attention_heads": 2}


def _labels_of(target: al.Classes) -> Callable[[Batch], Tensor]:
    """Return what makes labels of the words; padding has none."""

    def labels(x: Batch) -> Tensor:
        assert isinstance(x, Mapping)
        return (x["input_ids"] % target.k).masked_fill(x["attention_mask"] == 0, -100)

    return labels


def _text(prefix: str, head: str, target: al.Classes, **settings: Any) -> Architecture:
    made = hugging_face(prefix, head, "positions", ids_and_mask, **settings)
    return replace(
        made, name=prefix + head, target=target, labels=_labels_of(target), at=3, keeps_head=True
    )


def _tags(prefix: str, **settings: Any) -> Architecture:
    return _text(prefix, "ForTokenClassification", _TAGS, **settings)


def _causal(prefix: str, head: str = "ForCausalLM", **settings: Any) -> Architecture:
    return _text(prefix, head, _WORDS, **settings)


def _masked(prefix: str, **settings: Any) -> Architecture:
    return _text(prefix, "ForMaskedLM", _WORDS, **settings)


def _images(n: int, number: int) -> Batch:
    values = torch.randn(n, 3, _SIZE, _SIZE, generator=generator(n, number))
    return {"pixel_values": values}


def _pixels_of(x: Batch) -> Tensor:
    image = next(iter(x.values())) if isinstance(x, Mapping) else x
    assert isinstance(image, Tensor)
    return (image.mean(1) > 0).long() + (image.mean(1) > 1).long()


def _vision(prefix: str, **settings: Any) -> Architecture:
    made = hugging_face(prefix, "Model", "positions", _images, **settings)
    return replace(made, name=f"{prefix}Pixels", target=_PIXELS, labels=_pixels_of, at=3)


def _plain_images(n: int, number: int) -> Tensor:
    """Draw images of 16 x 16; of 16 x 24 in batch 1."""
    return torch.randn(n, 3, 16, 24 if number == 1 else 16, generator=generator(n, number))


def _sequences(n: int, number: int) -> Tensor:
    """Draw sequences ``[B, C, T]`` of 10 steps; of 13 in batch 1."""
    return torch.randn(n, 20, 13 if number == 1 else 10, generator=generator(n, number))


def _steps_first(n: int, number: int) -> Batch:
    return _sequences(n, number).movedim(1, 2)


def _tags_of(axis: int) -> Callable[[Batch], Tensor]:
    def labels(x: Batch) -> Tensor:
        assert isinstance(x, Tensor)
        return x.argmax(axis) % CLASSES

    return labels


def _plain(
    build: Callable[[], nn.Module], batch: Callable[[int, int], Batch], **fields: Any
) -> Architecture:
    name = fields.pop("name", None) or getattr(build, "__name__", "")
    return Architecture(name=name, kind="positions", build=build, batch=batch, **fields)


POSITIONS = [
    _tags("Bert", **TRANSFORMER),
    _tags("DistilBert", **SPECIAL, dim=32, n_layers=4, n_heads=2, hidden_dim=64),
    _tags("Roberta", **TRANSFORMER),
    _tags("Electra", **TRANSFORMER, embedding_size=16),
    _tags("DebertaV2", **TRANSFORMER, relative_attention=True, pos_att_type=["c2p", "p2c"],
          position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=True),
    _masked("Bert", **TRANSFORMER),
    # its head is three modules with a function between: no bridge is a copy of that
    replace(_masked("DistilBert", **SPECIAL, dim=32, n_layers=4, n_heads=2, hidden_dim=64),
            keeps_head=False),
    _masked("Roberta", **TRANSFORMER),
    _causal("GPT2", "LMHeadModel", **SPECIAL, n_embd=32, n_layer=4, n_head=2),
    _causal("Llama", **DECODER),
    _causal("Qwen2", **DECODER, tie_word_embeddings=True),
    _causal("Qwen3", **DECODER, head_dim=16),
    _causal("OPT", **SPECIAL, **_OPT, hidden_size=32),
    _causal("GPTNeoX", **TRANSFORMER),
    _causal("Mistral", **DECODER),
    _causal("Phi", **DECODER),
    _vision("ViT", **_VISION),
    _vision("DeiT", **_VISION),
    _vision("Beit", **_VISION),
    _vision("Segformer", hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 2, 1],
            num_attention_heads=[1, 2, 2, 2], mlp_ratios=[2, 2, 2, 2]),
    _plain(StridedConvolutions, _plain_images, target=_PIXELS, labels=_pixels_of, at=3),
    _plain(DenseRegressor, _plain_images, target=_VALUES, at=3, keeps_head=False,
           labels=lambda x: x.mean(1, keepdim=True).movedim(1, -1)),
    _plain(ConvTagger, _sequences, target=_TAGS, labels=_tags_of(1), at=3),
    _plain(BiLSTMTagger, _steps_first, target=_TAGS, labels=_tags_of(2), at=2, keeps_head=True),
    _plain(UNetPixels, _plain_images, target=_PIXELS, labels=_pixels_of, at=["middle"],
           refused="a connection jumps over this cut"),
    replace(_text("T5", "ForTokenClassification", _TAGS, **SPECIAL, d_model=32, d_kv=16, d_ff=64,
                  num_layers=4, num_heads=2), keeps_head=True),
]  # fmt: skip
