"""Models of other packages, which need not be installed: they are imported from a folder."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from architecture import CLASSES, Architecture, Batch, generator
from torch import Tensor, nn

__all__ = ["PACKAGES"]

Build = Callable[[], nn.Module]


def _numbers(*shape: int) -> Callable[[int, int], Batch]:
    """Return a maker of batches of numbers of a shape."""
    return lambda n, number: torch.randn(n, *shape, generator=generator(n, number))


def _words(n: int, number: int) -> Tensor:
    return torch.randint(0, 50, (n, 16), generator=generator(n, number))


def _of(module: str, name: str, *args: Any, **kwargs: Any) -> Build:
    """Return how to make a model: of a module, a class or ``Class.method``, and its arguments."""

    def build() -> nn.Module:
        made: Any = importlib.import_module(module)
        for part in name.split("."):
            made = getattr(made, part)
        model: nn.Module = made(*args, **kwargs)
        return model

    return build


def _x_transformers(name: str, **settings: Any) -> Build:
    def build() -> nn.Module:
        library = importlib.import_module("x_transformers")
        layers = library.Encoder(dim=32, depth=4, heads=2)
        model: nn.Module = getattr(library, name)(attn_layers=layers, **settings)
        return model

    return build


def _tcn() -> nn.Module:
    body = _of("pytorch_tcn", "TCN", num_inputs=8, num_channels=[16] * 4)()
    return nn.Sequential(body, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, CLASSES))


_VIT = {"image_size": 32, "patch_size": 8, "num_classes": CLASSES}
_ATTENTION = {"dim": 32, "depth": 4, "heads": 2, "dim_head": 16}
_PERCEIVER = {
    "input_channels": 3, "input_axis": 2, "num_freq_bands": 4, "max_freq": 8.0, "depth": 3,
    "num_latents": 8, "latent_dim": 32, "latent_heads": 2, "num_classes": CLASSES,
}  # fmt: skip
_TABLE = {"n_num_features": 8, "d_out": CLASSES, "n_blocks": 3, "d_block": 32, "k": 4}
_SERIES = {"num_variates": 8, "lookback_len": 24, "pred_length": 6}
_OPERATOR = {"n_modes": (8, 8), "in_channels": 1, "out_channels": 1, "n_layers": 4}
_DENSE = {"init_features": 8, "growth_rate": 4, "block_config": (2, 2, 2)}
_MONAI_VIT = {
    "hidden_size": 32, "mlp_dim": 64, "num_layers": 4, "num_heads": 2, "classification": True,
    "num_classes": CLASSES, "spatial_dims": 2,
}  # fmt: skip
_NETS = "monai.networks.nets"

_BUILDS: dict[str, tuple[Build, Callable[[int, int], Batch]]] = {
    "XTransformer": (
        _x_transformers("TransformerWrapper", num_tokens=50, max_seq_len=32), _words,
    ),
    "XViT": (_x_transformers("ViTransformerWrapper", **_VIT), _numbers(3, 32, 32)),
    "Performer": (
        _of("performer_pytorch", "PerformerLM", num_tokens=50, max_seq_len=32, **_ATTENTION),
        _words,
    ),
    "Perceiver": (_of("perceiver_pytorch", "Perceiver", **_PERCEIVER), _numbers(16, 16, 3)),
    "Conformer": (_of("conformer", "Conformer", **_ATTENTION), _numbers(20, 32)),
    "TCN": (_tcn, _numbers(8, 32)),
    "TabM": (_of("tabm", "TabM.make", **_TABLE), _numbers(8)),
    "iTransformer": (_of("iTransformer", "iTransformer", **_SERIES, **_ATTENTION), _numbers(24, 8)),
    "FNO": (_of("neuralop.models", "FNO", hidden_channels=16, **_OPERATOR), _numbers(1, 16, 16)),
    "MonaiUNet": (_of(_NETS, "UNet", 2, 1, CLASSES, (8, 16, 32), (2, 2)), _numbers(1, 32, 32)),
    "MonaiDenseNet": (_of(_NETS, "DenseNet", 2, 1, CLASSES, **_DENSE), _numbers(1, 32, 32)),
    "MonaiViT": (_of(_NETS, "ViT", 1, (32, 32), (8, 8), **_MONAI_VIT), _numbers(1, 32, 32)),
}  # fmt: skip

PACKAGES: dict[str, Architecture] = {
    name: Architecture(name=name, kind="package", build=build, batch=batch)
    for name, (build, batch) in _BUILDS.items()
}
