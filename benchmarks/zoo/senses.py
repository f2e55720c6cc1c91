"""Models of transformers for sound, video and time series."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from architecture import Architecture, Batch, generator, hugging_face

__all__ = ["AUDIO", "SERIES", "VIDEO"]

_FRAMES, _SIZE, _STEPS, _CHANNELS = 4, 16, 32, 3
_TRANSFORMER: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
# SpecAugment draws from numpy's generator, which no step can key; without layer drop every
# layer has a gradient in every step.
_SPEECH: dict[str, Any] = {
    **_TRANSFORMER,
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 2, 2),
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 16,
    "layerdrop": 0.0,
    "apply_spec_augment": False,
}


def _normal(name: str, *shape: int) -> Callable[[int, int], Batch]:
    def batch(n: int, number: int) -> Batch:
        return {name: torch.randn(n, *shape, generator=generator(n, number))}

    return batch


def _waves(n: int, number: int) -> Batch:
    """Draw sounds of 800 samples; batch 1 has sounds of 1000."""
    samples = 1000 if number == 1 else 800
    return {"input_values": torch.randn(n, samples, generator=generator(n, number))}


def _speech(prefix: str, **settings: Any) -> Architecture:
    head = "ForSequenceClassification"
    return hugging_face(prefix, head, "audio", _waves, **{**_SPEECH, **settings})


def _film(prefix: str, **settings: Any) -> Architecture:
    batch = _normal("pixel_values", _FRAMES, 3, _SIZE, _SIZE)
    settings = {**_TRANSFORMER, "image_size": _SIZE, "num_frames": _FRAMES, **settings}
    return hugging_face(prefix, "ForVideoClassification", "video", batch, **settings)


AUDIO = [
    _speech("Wav2Vec2"),
    _speech("Hubert"),
    _speech("WavLM"),
    _speech("SEW", squeeze_factor=2),
    hugging_face(
        "AST", "ForAudioClassification", "audio", _normal("input_values", 64, 16),
        **_TRANSFORMER, max_length=64, num_mel_bins=16, patch_size=8, frequency_stride=8,
        time_stride=8,
    ),
]  # fmt: skip

VIDEO = [
    _film("Timesformer", patch_size=8),
    _film("VideoMAE", patch_size=8, tubelet_size=2),
    _film("Vivit", tubelet_size=[2, 8, 8]),
]

SERIES = [
    hugging_face(
        "PatchTST", "ForClassification", "series", _normal("past_values", _STEPS, _CHANNELS),
        num_input_channels=_CHANNELS, num_targets=3, context_length=_STEPS, patch_length=8,
        patch_stride=4, d_model=32, num_hidden_layers=4, num_attention_heads=2, ffn_dim=64,
    ),
    hugging_face(
        "PatchTSMixer", "ForTimeSeriesClassification", "series",
        _normal("past_values", _STEPS, _CHANNELS), num_input_channels=_CHANNELS, num_targets=3,
        context_length=_STEPS, patch_length=8, patch_stride=4, d_model=16, num_layers=4,
    ),
]  # fmt: skip
