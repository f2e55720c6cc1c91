"""`to_model`: the converted model with the head that was trained answers as the network does."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

import associated_learning as al
from associated_learning.conversion.trained_model import ExitModel
from associated_learning.errors import InputError


def bert_batch() -> dict[str, Tensor]:
    keep = (torch.arange(7) < torch.tensor([[7], [5], [3], [2]])).long()
    return {"input_ids": torch.randint(1, 30, (4, 7)), "attention_mask": keep}


def dense() -> nn.Module:
    norm = nn.BatchNorm1d(8)
    return nn.Sequential(nn.Linear(6, 8), norm, nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 3))


def cnn() -> nn.Module:
    parts = (nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 8, 3, padding=1), nn.ReLU())
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


def bert() -> nn.Module:
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "num_labels": 5}
    return BertForSequenceClassification(BertConfig(vocab_size=30, intermediate_size=32, **sizes))


def vit() -> nn.Module:
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    picture = {"image_size": 8, "patch_size": 4, "num_channels": 1}
    return ViTForImageClassification(ViTConfig(intermediate_size=32, **sizes, **picture))


def resnet() -> nn.Module:
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    return ResNetForImageClassification(ResNetConfig(num_channels=1, num_labels=3, **sizes))


MODELS: dict[str, tuple[Any, Any, Any]] = {
    "dense": (dense, lambda: torch.randn(4, 6), ["3"]),
    "cnn": (cnn, lambda: torch.randn(4, 1, 8, 8), ["2"]),
    "bert": (bert, bert_batch, ["bert.encoder.layer.1", "bert.encoder.layer.2"]),
    "vit": (vit, lambda: torch.randn(4, 1, 8, 8), ["vit.layers.1", "vit.layers.2"]),
    "resnet": (resnet, lambda: torch.randn(4, 1, 32, 32), ["resnet.encoder.stages.1"]),
}
Y = torch.tensor([0, 1, 2, 0])


def trained(name: str) -> tuple[al.ALNetwork, Any]:
    """Return a converted network after some training, which moved weights and statistics."""
    make, batch, at = MODELS[name]
    x = batch()
    net = al.convert(make(), x, target=al.Classes(3), at=at)
    al.Trainer(epochs=2, lr=1e-2, patience=None).fit(net, al.LoaderBatches([(x, Y)] * 3))
    return net.eval(), x


def asked(model: nn.Module, x: Any) -> Tensor:
    output = model(**x) if isinstance(x, dict) else model(x)
    return output if isinstance(output, Tensor) else output.logits


@pytest.mark.parametrize("name", MODELS)
def test_answers_as_the_network_at_every_depth(name: str) -> None:
    net, x = trained(name)
    own = net.backbone()
    for depth in range(1, net.num_layers + 1):
        model = net.to_model(x, depth)
        assert not model.training
        whole = depth == net.num_layers
        assert type(model) is (type(own) if whole else ExitModel), name
        for batch in (x, MODELS[name][1]()):  # also one that it was not made with
            with torch.no_grad():
                assert torch.equal(asked(model, batch), net(batch, depth))
        again = pickle.loads(pickle.dumps(model))
        assert torch.equal(asked(again, x), asked(model, x))
    with torch.no_grad():
        assert not torch.equal(asked(own.eval(), x)[:, :3], net(x))  # its head never learned


def test_where_the_classifier_scores_every_token_it_is_another_class() -> None:
    """The bridge reads the mean without padding, of which that classifier knows nothing."""
    config = GPT2Config(vocab_size=30, n_embd=16, n_layer=2, n_head=2, num_labels=3)
    config.pad_token_id = 0
    x = bert_batch()
    net = al.convert(GPT2ForSequenceClassification(config), x, target=al.Classes(3), at=2).eval()
    for batch in (x, {name: value[1:3, :5] for name, value in x.items()}):
        assert torch.equal(asked(net.to_model(x), batch), net(batch))
    with pytest.raises(InputError, match="does not run with its head in the place of score"):
        net.to_model(x, same_class=True)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_flow_and_leave_the_network_alone(name: str) -> None:
    net, x = trained(name)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    for depth in (1, None):
        model = net.to_model(x, depth).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        nn.functional.cross_entropy(asked(model, x), Y).backward()
        first = next(model.parameters())
        assert first.grad is not None
        assert bool(first.grad.abs().sum() > 0)  # end to end: also the lowest layer
        optimizer.step()
        asked(model, x)  # statistics of BatchNorm
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", ["bert", "vit"])
def test_saved_as_transformers_do(name: str, tmp_path: Path) -> None:
    net, x = trained(name)
    model: Any = net.to_model(x, same_class=True)
    assert model.config.num_labels == model.num_labels == 3
    inputs = x if isinstance(x, dict) else {"pixel_values": x}
    assert model(**inputs, labels=Y).loss.requires_grad
    model.save_pretrained(tmp_path, save_original_format=False)  # names as the module has them
    make, _, at = MODELS[name]
    fresh = al.convert(make(), x, target=al.Classes(3), at=at).to_model(x)
    assert not torch.equal(asked(fresh, x), asked(model, x))
    fresh.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(asked(fresh, x), asked(model, x))
    with pytest.raises(RuntimeError, match=r"size mismatch|mismatched"):  # not a fresh head
        type(model).from_pretrained(tmp_path)


def test_called_as_the_model_was() -> None:
    net, x = trained("bert")
    model = net.to_model(x, 1)
    ids, mask = x.values()
    expected = net(x, 1)
    assert torch.equal(model(ids, attention_mask=mask).logits, expected)
    assert torch.equal(model(x).logits, expected)
    assert type(model(x)) is type(net.backbone()(**x))
    with pytest.raises(InputError, match="inputs labels, input_ids came; expected input_ids"):
        model(labels=ids, input_ids=ids)


class Soft(nn.Module):
    """Its classifier's scores do not leave it as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.top, self.out = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.top(self.body(x).tanh())).softmax(1)


def test_what_cannot_be_of_the_models_class_is_another_or_is_refused() -> None:
    x = torch.randn(4, 6)
    net = al.convert(Soft(), x, target=al.Classes(3), at=["top"])
    with pytest.raises(InputError, match=r"place of out the model answers otherwise"):
        net.to_model(x, same_class=True)
    assert torch.equal(net.to_model(x)(x), net.eval()(x))
    whole = al.convert(dense(), x, target=al.Classes(3), at=["3"], head=None).eval()
    with pytest.raises(InputError, match=r"0 modules are in no layer \(none\)"):
        whole.to_model(x, same_class=True)
    assert torch.equal(whole.to_model(x)(x), whole(x))
    with pytest.raises(InputError, match="depth 1 came, the model was cut into 2 layers"):
        whole.to_model(x, 1, same_class=True)
    with pytest.raises(InputError, match="depth 3 came for a network that answers at 2"):
        whole.to_model(x, 3)


def test_grown_networks_answer_as_they_do() -> None:
    net, x = trained("dense")
    width = net.al_layers()[-1].b(torch.zeros(1, 8)).shape[1]

    class Top(nn.Linear):
        def forward(self, s: Any) -> Any:
            return s._replace(values=super().forward(s.values))

    top = al.ALLayer(
        f=Top(8, 8), b=nn.Linear(8, 5), g=nn.Linear(width, 5), h=nn.Linear(5, width),
        readout=net.al_layers()[-1].readout,
    )  # fmt: skip
    net.append(top, x)
    model = net.eval().to_model(x)
    assert torch.equal(model(x), net(x))
    net.truncate(1)
    assert torch.equal(net.to_model(x)(x), net(x))
