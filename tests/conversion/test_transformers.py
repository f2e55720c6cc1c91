"""Models of transformers, built small from configs: side inputs, caches, masks, shared layers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al

transformers = pytest.importorskip("transformers")
SMALL = {
    "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32,
    "vocab_size": 50, "num_labels": 3, "initializer_range": 0.2,
}  # fmt: skip


def build(kind: str, name: str, **options: Any) -> nn.Module:
    config = transformers.AutoConfig.for_model(kind, **{**SMALL, **options})
    torch.manual_seed(0)
    return getattr(transformers, name)(config)


def texts(size: int, length: int) -> dict[str, Tensor]:
    lengths = torch.randint(2, length + 1, (size, 1))
    lengths[0] = length
    mask = (torch.arange(length) < lengths).long()
    return {"input_ids": torch.randint(1, 50, (size, length)), "attention_mask": mask}


def full_texts(size: int, length: int) -> dict[str, Tensor]:
    batch = texts(size, length)
    return {**batch, "attention_mask": torch.ones_like(batch["attention_mask"])}


def into(model: nn.Module, name: str, x: dict[str, Tensor]) -> Tensor:
    seen: list[Tensor] = []
    hook = model.get_submodule(name).register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        model(**x)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize(
    ("kind", "name", "head", "options"),
    [
        ("bert", "BertForSequenceClassification", "classifier", {}),
        ("gpt2", "GPT2ForSequenceClassification", "score",
         {"n_embd": 16, "n_layer": 4, "n_head": 2, "pad_token_id": 0}),
        ("llama", "LlamaForSequenceClassification", "score", {"pad_token_id": 0}),
        ("albert", "AlbertForSequenceClassification", "classifier", {"embedding_size": 8}),
        ("deberta-v2", "DebertaV2ForSequenceClassification", "pooler",
         {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
    ],
)  # fmt: skip
def test_features_and_isolation(kind: str, name: str, head: str, options: Any) -> None:
    """The example is not padded, later batches are: the mask is not baked in, nor a length."""
    model = build(kind, name, **options)
    untouched = copy.deepcopy(model).eval()
    net = al.convert(model, full_texts(4, 7), target=al.Classes(3)).eval()
    assert net.num_layers >= 2
    for x in (texts(3, 9), full_texts(2, 5), texts(4, 7)):
        s: Any = x
        with torch.no_grad():
            for layer in net.layers:
                s = layer.f(s)
        assert torch.equal(s.values, into(untouched, head, x))
    al.verify(net, (texts(6, 8), torch.arange(6) % 3))


def test_the_position_bias_of_t5_reaches_every_layer() -> None:
    config = transformers.T5Config(
        d_model=16, d_kv=8, d_ff=32, num_layers=4, num_heads=2, vocab_size=50
    )
    model = transformers.T5EncoderModel(config)
    untouched = copy.deepcopy(model).eval()
    net = al.convert(model, full_texts(4, 6), target=al.Classes(3), at=4).eval()
    x = texts(3, 9)
    s: Any = x
    with torch.no_grad():
        for layer in net.layers:
            s = layer.f(s)
        assert torch.equal(s.values, untouched(**x).last_hidden_state)
    al.verify(net, (x, torch.arange(3)))


def test_shared_layers_of_albert_stay_together() -> None:
    model = build("albert", "AlbertForSequenceClassification", embedding_size=8)
    group = "albert.encoder.albert_layer_groups.0"
    with pytest.raises(al.ConversionError, match="shared or tied"):
        al.plan(model, texts(2, 5), at=[group, f"{group}.albert_layers.0.ffn"])
    assert len(al.plan(model, texts(2, 5), at=[group]).layers) == 2


def test_a_sequence_is_taken_as_ids_and_mask() -> None:
    model = build("bert", "BertForSequenceClassification").eval()
    batch = texts(4, 7)
    sequence = al.PaddedSequence(batch["input_ids"], batch["attention_mask"].sum(1))
    net = al.convert(model, sequence, target=al.Classes(3), at=2).eval()
    with torch.no_grad():
        s = net.layers[1].f(net.layers[0].f(sequence))
        assert torch.equal(s.values, into(model, "classifier", batch))


def test_a_vision_model_and_its_head() -> None:
    model = build("vit", "ViTForImageClassification", image_size=16, patch_size=4)
    x = {"pixel_values": torch.randn(3, 3, 16, 16)}
    untouched = copy.deepcopy(model).eval()
    net = al.convert(model, x, target=al.Classes(3), at=["vit.layers.1", "vit.layers.3"]).eval()
    assert net.plan.dropped == ("classifier",)
    with torch.no_grad():
        s: Any = x
        for layer in net.layers:
            s = layer.f(s)
    assert torch.equal(s.values, into(untouched, "classifier", x))


def test_conversion_of_twelve_blocks_is_fast() -> None:
    """Not a timing: the number of runs of the model does not grow with its depth."""
    runs = {2: 0, 12: 0}
    for depth in runs:
        model = build("bert", "BertForSequenceClassification", num_hidden_layers=depth)

        def count(*_: Any, depth: int = depth) -> None:
            runs[depth] += 1

        model.register_forward_hook(count)
        al.plan(model, texts(4, 7), balance="parameters")
    assert runs[12] == runs[2]
