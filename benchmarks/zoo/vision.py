"""Vision models of transformers: convolutional, attentive, and between the two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from architecture import Architecture, Batch, generator, hugging_face

__all__ = ["VISION"]

_SIZE = 32
_TRANSFORMER: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
_PATCHED: dict[str, Any] = {**_TRANSFORMER, "image_size": _SIZE, "patch_size": 8}
_WINDOWED: dict[str, Any] = {
    "image_size": _SIZE,
    "patch_size": 2,
    "embed_dim": 16,
    "depths": [1, 1, 2],
    "num_heads": [2, 2, 4],
    "window_size": 4,
}
_STAGES: dict[str, Any] = {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 2, 1]}


def _images(size: int) -> Callable[[int, int], Batch]:
    def batch(n: int, number: int) -> Batch:
        values = torch.randn(n, 3, size, size, generator=generator(n, number))
        return {"pixel_values": values}

    return batch


def _model(
    prefix: str, size: int = _SIZE, config: str | None = None, **settings: Any
) -> Architecture:
    head = "ForImageClassification"
    return hugging_face(prefix, head, "vision", _images(size), config=config, **settings)


VISION = [
    _model("ResNet", embedding_size=16, **_STAGES),
    _model("RegNet", embedding_size=16, groups_width=8, **_STAGES),
    _model("ConvNext", num_stages=4, patch_size=2, **_STAGES),
    _model("ConvNextV2", num_stages=4, patch_size=2, **_STAGES),
    # its default drops 999 of 1000 features: a quirk of the checkpoints, with which nothing trains
    _model("MobileNetV1", depth_multiplier=0.25, min_depth=8, classifier_dropout_prob=0.2),
    _model("MobileNetV2", depth_multiplier=0.25, min_depth=8),
    _model("EfficientNet", width_coefficient=0.25, depth_coefficient=0.5, hidden_dim=320),
    _model("Bit", embedding_size=16, num_groups=8, **_STAGES),
    _model("PoolFormer", hidden_sizes=[16, 24, 32, 48], depths=[1, 1, 2, 1]),
    _model("TextNet", stem_out_channels=16, hidden_sizes=[16, 16, 24, 32, 48]),
    _model("SwiftFormer", depths=[1, 1, 2, 1], embed_dims=[16, 24, 32, 48], mlp_ratio=2),
    _model("ViT", **_PATCHED),
    _model("DeiT", **_PATCHED),
    _model("ViTMSN", **_PATCHED),
    _model("Dinov2", **_PATCHED),
    _model("Dinov2WithRegisters", **_PATCHED),
    _model("Beit", **_PATCHED),
    _model("Data2VecVision", **_PATCHED),
    _model("IJepa", **_PATCHED),
    _model("Swin", **_WINDOWED),
    _model("Swinv2", **_WINDOWED),
    _model("FocalNet", image_size=_SIZE, patch_size=2, embed_dim=16, depths=[1, 1, 2],
           focal_levels=[1, 1, 1], focal_windows=[3, 3, 3]),
    _model("Pvt", image_size=64, size=64, hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 2, 1],
           num_attention_heads=[1, 2, 2, 2], mlp_ratios=[2, 2, 2, 2]),
    _model("PvtV2", hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 2, 1],
           num_attention_heads=[1, 2, 2, 2], mlp_ratios=[2, 2, 2, 2]),
    _model("Segformer", size=64, hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 2, 1],
           num_attention_heads=[1, 2, 2, 2], mlp_ratios=[2, 2, 2, 2]),
    _model("Cvt", embed_dim=[16, 24, 32], num_heads=[1, 2, 2], depth=[1, 2, 3]),
    _model("Levit", size=64, image_size=64, hidden_sizes=[16, 24, 32], depths=[1, 1, 2],
           num_attention_heads=[2, 2, 2], key_dim=[8, 8, 8]),
    _model("Hiera", image_size=[_SIZE, _SIZE], patch_size=[3, 3], patch_stride=[2, 2],
           patch_padding=[1, 1], embed_dim=16, depths=[1, 1, 2], num_heads=[1, 2, 4],
           embed_dim_multiplier=2.0, masked_unit_size=[4, 4], num_query_pool=2),
    _model("MobileViT", image_size=64, size=64, hidden_sizes=[16, 24, 32],
           neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 48], num_attention_heads=2),
]  # fmt: skip
