"""Text models of transformers: encoders, decoders, and recurrent ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from architecture import PADDED, Architecture, Batch, generator, hugging_face
from torch.nn import functional

__all__ = ["DECODER", "SPECIAL", "TEXT", "TRANSFORMER", "VOCABULARY", "ids_and_mask"]

_PAD, _BEGIN, _END, VOCABULARY = 0, 1, 2, 64
SPECIAL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "pad_token_id": _PAD,
    "bos_token_id": _BEGIN,
    "eos_token_id": _END,
}
TRANSFORMER: dict[str, Any] = {
    **SPECIAL,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
DECODER: dict[str, Any] = {**TRANSFORMER, "num_key_value_heads": 1}


def ids_and_mask(n: int, number: int) -> dict[str, torch.Tensor]:
    """Draw texts of up to 12 tokens (16 in batch 1), padded on the right but in batch 2."""
    draw, longest = generator(n, number), 16 if number == 1 else 12
    ids = torch.randint(3, VOCABULARY, (n, longest), generator=draw)
    lengths = torch.randint(4, longest + 1, (n,), generator=draw)
    lengths[0] = longest
    if not PADDED[number]:
        lengths[:] = longest
    mask = torch.arange(longest) < lengths.unsqueeze(1)
    ids[torch.arange(n), lengths - 1] = _END
    return {"input_ids": ids.where(mask, _PAD), "attention_mask": mask.long()}


def _windows(n: int, number: int) -> Batch:
    """Draw texts of 16 tokens, 24 in batch 1: whole windows, to which users pad for Longformer."""
    texts = ids_and_mask(n, number)
    more = 8 if number == 1 else 4
    return {name: functional.pad(value, (0, more)) for name, value in texts.items()}


def _ids(n: int, number: int) -> Batch:
    return {"input_ids": ids_and_mask(n, number)["input_ids"]}


def _sixteen(n: int, number: int) -> Batch:
    """Draw texts of 16 tokens without padding, for a model that fails with a mask."""
    draw = generator(n, number)
    return {"input_ids": torch.randint(3, VOCABULARY, (n, 16), generator=draw)}


def _model(
    prefix: str,
    head: str = "ForSequenceClassification",
    *,
    batch: Callable[[int, int], Batch] = ids_and_mask,
    **settings: Any,
) -> Architecture:
    return hugging_face(prefix, head, "text", batch, **settings)


TEXT = [
    _model("Bert", **TRANSFORMER),
    _model("Roberta", **TRANSFORMER),
    _model("DistilBert", **SPECIAL, dim=32, n_layers=4, n_heads=2, hidden_dim=64),
    _model("Albert", **TRANSFORMER, embedding_size=16),  # one block, used four times
    _model("Electra", **TRANSFORMER, embedding_size=16),
    _model("Deberta", **TRANSFORMER, relative_attention=True, pos_att_type=["c2p", "p2c"]),
    _model("DebertaV2", **TRANSFORMER, relative_attention=True, pos_att_type=["c2p", "p2c"],
           position_buckets=8, norm_rel_ebd="layer_norm", share_att_key=True),
    _model("MPNet", **TRANSFORMER),
    _model("RoFormer", **TRANSFORMER),
    _model("ModernBert", **TRANSFORMER, cls_token_id=_BEGIN, sep_token_id=_END),
    _model("SqueezeBert", **TRANSFORMER, embedding_size=32),
    _model("ConvBert", **TRANSFORMER, embedding_size=16),
    _model("Nystromformer", **TRANSFORMER, batch=_sixteen, num_landmarks=4,
           segment_means_seq_len=16),
    _model("MobileBert", **TRANSFORMER, embedding_size=16, intra_bottleneck_size=16,
           true_hidden_size=16, num_feedforward_networks=2),
    _model("FNet", batch=_ids, **TRANSFORMER),
    _model("Funnel", **SPECIAL, block_sizes=[1, 2, 1], d_model=32, n_head=2, d_head=16,
           d_inner=64),
    _model("Longformer", batch=_windows, **TRANSFORMER, attention_window=4),
    _model("BigBird", **TRANSFORMER, attention_type="original_full",
           sep_token_id=_END),
    _model("XLNet", **SPECIAL, d_model=32, n_layer=4, n_head=2, d_inner=64),
    _model("T5", "EncoderModel", **SPECIAL, d_model=32, d_kv=16, d_ff=64, num_layers=4,
           num_heads=2),
    _model("Bart", **SPECIAL, d_model=32, encoder_layers=2, decoder_layers=2,
           encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=64,
           decoder_ffn_dim=64),
    _model("GPT2", **SPECIAL, n_embd=32, n_layer=4, n_head=2),
    _model("GPTNeo", **SPECIAL, hidden_size=32, num_layers=4, num_heads=2, window_size=8,
           attention_types=[[["global", "local"], 2]]),
    _model("GPTNeoX", **TRANSFORMER),
    _model("OPT", **SPECIAL, hidden_size=32, word_embed_proj_dim=32, num_hidden_layers=4,
           num_attention_heads=2, ffn_dim=64),
    _model("Bloom", **SPECIAL, hidden_size=32, n_layer=4, n_head=2),
    _model("Falcon", **SPECIAL, hidden_size=32, num_hidden_layers=4, num_attention_heads=2),
    _model("Llama", **DECODER),
    _model("Mistral", **DECODER),
    _model("Qwen2", **DECODER),
    _model("Gemma", **DECODER, head_dim=16),
    _model("Phi", **DECODER),
    _model("Mixtral", **DECODER, num_local_experts=2),
    _model("Mamba", "Model", batch=_ids, **SPECIAL, hidden_size=32, num_hidden_layers=4,
           state_size=4),
]  # fmt: skip
