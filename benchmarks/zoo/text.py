"""Text models of transformers: encoders, decoders, and recurrent ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from architecture import PADDED, Architecture, Batch, generator, hugging_face
from torch.nn import functional

__all__ = ["TEXT"]

_PAD, _BEGIN, _END, _VOCABULARY = 0, 1, 2, 64
_SPECIAL: dict[str, Any] = {
    "vocab_size": _VOCABULARY,
    "pad_token_id": _PAD,
    "bos_token_id": _BEGIN,
    "eos_token_id": _END,
}
_TRANSFORMER: dict[str, Any] = {
    **_SPECIAL,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
_DECODER: dict[str, Any] = {**_TRANSFORMER, "num_key_value_heads": 1}


def _ids_and_mask(n: int, number: int) -> dict[str, torch.Tensor]:
    """Draw texts of up to 12 tokens (16 in batch 1), padded on the right but in batch 2."""
    draw, longest = generator(n, number), 16 if number == 1 else 12
    ids = torch.randint(3, _VOCABULARY, (n, longest), generator=draw)
    lengths = torch.randint(4, longest + 1, (n,), generator=draw)
    lengths[0] = longest
    if not PADDED[number]:
        lengths[:] = longest
    mask = torch.arange(longest) < lengths.unsqueeze(1)
    ids[torch.arange(n), lengths - 1] = _END
    return {"input_ids": ids.where(mask, _PAD), "attention_mask": mask.long()}


def _windows(n: int, number: int) -> Batch:
    """Draw texts of 16 tokens, 24 in batch 1: whole windows, to which users pad for Longformer."""
    ids_and_mask = _ids_and_mask(n, number)
    more = 8 if number == 1 else 4
    return {name: functional.pad(value, (0, more)) for name, value in ids_and_mask.items()}


def _ids(n: int, number: int) -> Batch:
    return {"input_ids": _ids_and_mask(n, number)["input_ids"]}


def _sixteen(n: int, number: int) -> Batch:
    """Draw texts of 16 tokens without padding, for a model that fails with a mask."""
    draw = generator(n, number)
    return {"input_ids": torch.randint(3, _VOCABULARY, (n, 16), generator=draw)}


def _model(
    prefix: str,
    head: str = "ForSequenceClassification",
    *,
    batch: Callable[[int, int], Batch] = _ids_and_mask,
    **settings: Any,
) -> Architecture:
    return hugging_face(prefix, head, "text", batch, **settings)


TEXT = [
    _model("Bert", **_TRANSFORMER),
    _model("Roberta", **_TRANSFORMER),
    _model("DistilBert", **_SPECIAL, dim=32, n_layers=4, n_heads=2, hidden_dim=64),
    _model("Albert", **_TRANSFORMER, embedding_size=16),  # one block, used four times
    _model("Electra", **_TRANSFORMER, embedding_size=16),
    _model("Deberta", **_TRANSFORMER, relative_attention=True, pos_att_type=["c2p", "p2c"]),
    _model("DebertaV2", **_TRANSFORMER, relative_attention=True, pos_att_type=["c2p", "p2c"],
           position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=True),
    _model("MPNet", **_TRANSFORMER),
    _model("RoFormer", **_TRANSFORMER),
    _model("ModernBert", **_TRANSFORMER, cls_token_id=_BEGIN, sep_token_id=_END),
    _model("SqueezeBert", **_TRANSFORMER, embedding_size=32),
    _model("ConvBert", **_TRANSFORMER, embedding_size=16),
    _model("Nystromformer", **_TRANSFORMER, batch=_sixteen, num_landmarks=4,
           segment_means_seq_len=16),
    _model("MobileBert", **_TRANSFORMER, embedding_size=16, intra_bottleneck_size=16,
           true_hidden_size=16, num_feedforward_networks=2),
    _model("FNet", batch=_ids, **_TRANSFORMER),
    _model("Funnel", **_SPECIAL, block_sizes=[1, 2, 1], d_model=32, n_head=2, d_head=16,
           d_inner=64),
    _model("Longformer", batch=_windows, **_TRANSFORMER, attention_window=4),
    _model("BigBird", **_TRANSFORMER, attention_type="original_full",
           sep_token_id=_END),
    _model("XLNet", **_SPECIAL, d_model=32, n_layer=4, n_head=2, d_inner=64),
    _model("T5", "EncoderModel", **_SPECIAL, d_model=32, d_kv=16, d_ff=64, num_layers=4,
           num_heads=2),
    _model("Bart", **_SPECIAL, d_model=32, encoder_layers=2, decoder_layers=2,
           encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=64,
           decoder_ffn_dim=64),
    _model("GPT2", **_SPECIAL, n_embd=32, n_layer=4, n_head=2),
    _model("GPTNeo", **_SPECIAL, hidden_size=32, num_layers=4, num_heads=2, window_size=8,
           attention_types=[[["global", "local"], 2]]),
    _model("GPTNeoX", **_TRANSFORMER),
    _model("OPT", **_SPECIAL, hidden_size=32, word_embed_proj_dim=32, num_hidden_layers=4,
           num_attention_heads=2, ffn_dim=64),
    _model("Bloom", **_SPECIAL, hidden_size=32, n_layer=4, n_head=2),
    _model("Falcon", **_SPECIAL, hidden_size=32, num_hidden_layers=4, num_attention_heads=2),
    _model("Llama", **_DECODER),
    _model("Mistral", **_DECODER),
    _model("Qwen2", **_DECODER),
    _model("Gemma", **_DECODER, head_dim=16),
    _model("Phi", **_DECODER),
    _model("Mixtral", **_DECODER, num_local_experts=2),
    _model("Mamba", "Model", batch=_ids, **_SPECIAL, hidden_size=32, num_hidden_layers=4,
           state_size=4),
]  # fmt: skip
