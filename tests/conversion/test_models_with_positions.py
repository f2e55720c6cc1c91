"""Models that answer at every position: converted, trained, and saved as what they were."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import associated_learning as al

transformers = pytest.importorskip("transformers")
WORDS, TAGS = 50, 5
SIZES = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "vocab_size": WORDS,
}
ROTARY = {**SIZES, "num_key_value_heads": 2, "max_position_embeddings": 32}
GPT2 = {"vocab_size": WORDS, "n_positions": 32, "n_embd": 16, "n_layer": 3, "n_head": 2}
OPT = {
    "vocab_size": WORDS,
    "hidden_size": 16,
    "word_embed_proj_dim": 16,
    "ffn_dim": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "max_position_embeddings": 32,
}
# class of the model, of its config, sizes, where the second and third layer begin
MODELS: dict[str, tuple[str, str, dict[str, Any], list[str]]] = {
    "gpt2, tied": (
        "GPT2LMHeadModel", "GPT2Config", {**GPT2, "bos_token_id": 1, "eos_token_id": 2},
        ["transformer.h.1", "transformer.h.2"],
    ),
    "llama": ("LlamaForCausalLM", "LlamaConfig", ROTARY, ["model.layers.1", "model.layers.2"]),
    "qwen2, tied": (
        "Qwen2ForCausalLM", "Qwen2Config", {**ROTARY, "tie_word_embeddings": True},
        ["model.layers.1", "model.layers.2"],
    ),
    "opt": ("OPTForCausalLM", "OPTConfig", OPT, ["model.decoder.layers.1"]),
    "bert, tags": (
        "BertForTokenClassification", "BertConfig", {**SIZES, "num_labels": TAGS},
        ["bert.encoder.layer.1"],
    ),
    "bert, masked": ("BertForMaskedLM", "BertConfig", SIZES, ["bert.encoder.layer.1"]),
}  # fmt: skip
every_model = pytest.mark.parametrize("name", MODELS)


def made(name: str) -> tuple[nn.Module, al.Classes, list[str]]:
    kind, config, sizes, at = MODELS[name]
    torch.manual_seed(0)
    model = getattr(transformers, kind)(getattr(transformers, config)(**sizes)).eval()
    return model, al.Classes(TAGS if "tags" in name else WORDS, positions=1), at


def batch() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(3, WORDS, (4, 9), generator=draw)
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def converted(name: str) -> tuple[al.ConvertedNetwork, nn.Module, dict[str, Tensor], Tensor]:
    model, target, at = made(name)
    x = batch()
    net = al.convert(model, x, target=target, at=at, copy_model=True).eval()
    y = (x["input_ids"] % target.k).masked_fill(x["attention_mask"] == 0, -100)
    return net, model, x, y


@every_model
def test_a_pretrained_model_answers_as_before(name: str) -> None:
    """Bit for bit through all layers, before the first update; `verify` holds."""
    net, model, x, y = converted(name)
    assert torch.equal(net(x), model(**x).logits)
    assert "its own changes" in str(al.verify(net, (x, y)))


@every_model
def test_a_trained_model_is_saved_as_what_it_was(name: str, tmp_path: Path) -> None:
    """At every depth ``from_pretrained`` gives a model of the same class and the same bits."""
    net, model, x, y = converted(name)
    al.Trainer(epochs=2, lr=1e-2).fit(net, [(x, y)])
    net.eval()
    for depth in range(1, net.num_layers + 1):
        net.to_model(x, depth, same_class=True).save_pretrained(tmp_path / str(depth))
        again = type(model).from_pretrained(tmp_path / str(depth)).eval()
        assert torch.equal(again(**x).logits, net(x, depth))
        assert not again.config.tie_word_embeddings
        assert again.config.num_hidden_layers == (3 if depth == net.num_layers else depth)
    assert not torch.equal(net(x), model(**x).logits)


def test_a_head_of_another_width_is_not_kept() -> None:
    model, _, at = made("llama")
    x, target = batch(), al.Classes(7, positions=1)
    net = al.convert(model, x, target=target, at=at)
    assert net(x).shape == (4, 9, 7)
    fresh = al.convert(made("llama")[0], x, target=al.Classes(WORDS, positions=1), keep_head=False)
    assert not torch.equal(fresh.eval()(x), made("llama")[0](**x).logits)


def test_tokens_of_patches_become_pixels() -> None:
    sizes = {**SIZES, "image_size": 32, "patch_size": 8}
    del sizes["vocab_size"]
    model = transformers.ViTModel(transformers.ViTConfig(**sizes), add_pooling_layer=False)
    x, target = torch.randn(4, 3, 32, 32), al.Classes(4, positions=2)
    net = al.convert(model.eval(), {"pixel_values": x}, target=target, at=["layers.1"]).eval()
    assert net({"pixel_values": x}).shape == (4, 32, 32, 4)
    assert "tokens as a grid of patches, without the first 1, resized to [32, 32]" in str(net.plan)
    tokens = model(x).last_hidden_state[:, 1:].unflatten(1, (4, 4))
    logits = net.layers[1].b[0](tokens).movedim(-1, 1)
    expected = nn.functional.interpolate(logits, scale_factor=8, mode="bilinear").movedim(1, -1)
    torch.testing.assert_close(net({"pixel_values": x}), expected)


def segformer() -> nn.Module:
    config = transformers.SegformerConfig(
        depths=[1, 1, 1, 1],
        hidden_sizes=[8, 8, 16, 16],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=16,
        num_labels=4,
    )
    model: nn.Module = transformers.SegformerForSemanticSegmentation(config)
    return model.eval()


def test_the_encoder_of_a_segmentation_model_is_cut() -> None:
    model, x = segformer(), {"pixel_values": torch.randn(4, 3, 64, 64)}
    target = al.Classes(4, positions=2)
    with pytest.raises(al.ConversionError, match="the head: it takes 4 activations"):
        al.convert(model, x, target=target)
    net = al.convert(model.get_submodule("segformer"), x, target=target, at=3)
    assert net(x).shape == (4, 64, 64, 4)
    al.verify(net, (x, torch.randint(4, (4, 64, 64))))


class UNet(nn.Module):
    """Its second half needs what the first one gives: a skip over every cut between them."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.middle = nn.Conv2d(4, 4, 3, padding=1)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.head = nn.Conv2d(8, 3, 1)
        self.first = nn.Conv2d(1, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        skipped = self.first(x).relu()
        deep = self.middle(self.down(x).relu()).relu()
        answer: Tensor = self.head(torch.cat([skipped, self.up(deep)], 1))
        return answer


def test_a_skip_over_a_cut_is_refused_with_its_place() -> None:
    x = torch.randn(4, 1, 16, 16)
    with pytest.raises(al.ConversionError, match="a connection jumps over this cut"):
        al.convert(UNet().eval(), x, target=al.Classes(3, positions=2), at=["middle"])


class Shifted(nn.Module):
    """Gives each position what stands before it, so that rows belong to other labels."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 8)
        self.map = nn.Linear(8, 8)
        self.head = nn.Linear(8, TAGS)

    def forward(self, ids: Tensor) -> Tensor:
        moved = self.words(ids).roll(2, dims=1)
        answer: Tensor = self.head(self.map(moved).tanh().roll(-2, dims=1))
        return answer


def test_shifted_positions_are_found() -> None:
    """The last layer is right again; a layer that ends between the shifts is not."""
    ids = torch.randint(WORDS, (4, 9))
    target = al.Classes(TAGS, positions=1)
    with pytest.raises(al.ConversionError, match="other positions of what the bridge reads"):
        al.convert(Shifted().eval(), ids, target=target, at=["map"])
    al.convert(Shifted().eval(), ids, target=target, at=["head"], head=None)


class SumsFromTheRight(nn.Module):
    """Causal as a whole, while its middle sums up what comes later; whole numbers are exact."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 8)
        self.middle = nn.Linear(8, 8, bias=False)
        self.head = nn.Linear(8, TAGS)
        with torch.no_grad():
            self.words.weight.copy_(torch.randint(-9, 9, (WORDS, 8)))
            self.middle.weight.copy_(torch.eye(8))

    def forward(self, ids: Tensor) -> Tensor:
        later = self.words(ids).flip(1).cumsum(1).flip(1)
        sums = self.middle(later)
        answer: Tensor = self.head(sums - nn.functional.pad(sums[:, 1:], (0, 0, 0, 1)))
        return answer


def test_a_layer_that_sees_what_comes_later_is_found_in_a_causal_model() -> None:
    ids, target = torch.randint(WORDS, (4, 9)), al.Classes(TAGS, positions=1)
    with pytest.raises(al.ConversionError, match="changes earlier ones"):
        al.convert(SumsFromTheRight().eval(), ids, target=target, at=["middle"])


def test_a_layer_without_positions_is_refused() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.map = nn.Embedding(WORDS, 8), nn.Linear(8, 8)

        def forward(self, ids: Tensor) -> Tensor:
            answer: Tensor = self.map(self.words(ids).mean(1))
            return answer

    ids = torch.randint(WORDS, (4, 9))
    with pytest.raises(al.InputError, match="expected one that keeps positions"):
        al.convert(Pooled(), ids, target=al.Classes(3, positions=1), at=["map"], head=None)


def test_a_plan_shows_what_readouts_keep() -> None:
    model, target, at = made("gpt2, tied")
    plan = al.plan(copy.deepcopy(model), batch(), target=target, at=at)
    assert [layer.reason for layer in plan.layers] == ["each position, features are axis 2"] * 3
    assert [layer.bridge_parameters for layer in plan.layers] == [17 * WORDS] * 3


class ConvolutionTagger(nn.Module):
    """Reads ``[B, C, T]`` and answers so."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(20, 8, 3, padding=1), nn.Conv1d(8, 8, 3, padding=1)
        self.head = nn.Conv1d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.second(self.first(x).relu()).relu())
        return answer


class RecurrentTagger(nn.Module):
    """Its last linear map gives a row of scores for each token, and is no base model's head."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 8)
        self.first = nn.LSTM(8, 8, batch_first=True)
        self.second = nn.LSTM(8, 8, batch_first=True)
        self.head = nn.Linear(8, TAGS)

    def forward(self, ids: Tensor) -> Tensor:
        answer: Tensor = self.head(self.second(self.first(self.words(ids))[0])[0])
        return answer


class PixelMap(nn.Module):
    """Reads ``[B, H, W, C]``."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.second(self.first(x).tanh()).tanh())
        return answer


@pytest.mark.parametrize("length", [10, 16, 20])  # 20 is the number of channels, too
def test_positions_are_those_that_the_network_keeps(length: int) -> None:
    x, target = torch.randn(4, 20, length), al.Classes(3, positions=1)
    model = ConvolutionTagger().eval()
    net = al.convert(model, x, target=target, at=["second"]).eval()
    assert net(x).shape == (4, length, 3)
    assert net.plan.dropped == ("head",)
    assert not any("resized" in layer.reason for layer in net.plan.layers)
    features = model.second(model.first(x).relu()).relu().movedim(1, -1)
    torch.testing.assert_close(net(x), net.layers[1].b(features))
    al.verify(net, (x, torch.randint(3, (4, length))))
    al.verify(net, (x[..., :7], torch.randint(3, (4, 7))))


def test_images_with_their_channels_last() -> None:
    x, target = torch.randn(4, 12, 7, 5), al.Classes(3, positions=2)
    net = al.convert(PixelMap().eval(), x, target=target, at=["second"]).eval()
    assert net(x).shape == (4, 12, 7, 3)
    al.verify(net, (x, torch.randint(3, (4, 12, 7))))


def test_a_last_map_of_every_token_is_the_head() -> None:
    ids, model = torch.randint(WORDS, (4, 9)), RecurrentTagger().eval()
    net = al.convert(model, ids, target=al.Classes(TAGS, positions=1), at=["second"]).eval()
    assert net.plan.head == "head"
    assert torch.equal(net(ids), model(ids))


def test_axes_that_cannot_be_told_are_asked_for() -> None:
    class Halved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv1d(20, 8, 3, stride=2, padding=1)
            self.second = nn.Conv1d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            answer: Tensor = self.second(self.first(x).relu())
            return answer

    x, target = torch.randn(4, 20, 10), al.Classes(3, positions=1)
    with pytest.raises(al.InputError, match="y could have"):
        al.convert(Halved(), x, target=target, at=["second"], head=None)
    net = al.convert(Halved(), torch.randn(4, 20, 14), target=target, at=["second"], head=None)
    assert net(torch.randn(2, 20, 14)).shape == (2, 14, 3)


@pytest.mark.parametrize(
    ("at", "why"),
    [
        (
            "decoder.block.1",
            r"what encoder\.dropout makes, .* is used by decoder\.block\.1.*EncDec",
        ),
        ("encoder.block.1", r"shared\.weight would belong to the layers on both sides"),
        ("decoder.block.0", "changes nothing of what the bridge reads"),
    ],
)
def test_an_encoder_decoder_is_refused_with_its_reason(at: str, why: str) -> None:
    """The decoder of T5 reads the encoder's end in every block, and their words are one table."""
    config = transformers.T5Config(
        d_model=16, d_ff=32, num_layers=2, num_heads=2, d_kv=8, vocab_size=30,
        decoder_start_token_id=0,
    )  # fmt: skip
    model = transformers.T5ForConditionalGeneration(config)
    x = {name: torch.randint(1, 30, (2, 5)) for name in ("input_ids", "decoder_input_ids")}
    with pytest.raises(al.ConversionError, match=why):
        al.convert(model, x, target=al.Classes(30, positions=1), at=[at])
