"""Law 8: what is exported equals the network it was made of, at every depth, size and length."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
import transformers
from torch import Tensor, nn

import associated_learning as al
from associated_learning import models
from associated_learning.errors import InputError
from associated_learning.inference.export.exported_program import export_program
from associated_learning.inference.export.onnx import export_onnx
from associated_learning.models import lstm_operator
from associated_learning.tensors.padded_sequence import PaddedSequence
from onnx_operators import operators_listed_once  # noqa: F401

torch.set_num_threads(1)


def texts(samples: int, length: int) -> PaddedSequence:
    lengths = torch.arange(samples) % length + 1
    return PaddedSequence(torch.randint(1, 30, (samples, length)), lengths)


def network(family: str) -> tuple[al.ALNetwork, list[Any]]:
    """Return a network with weights and statistics of its own, and batches of several sizes."""
    torch.manual_seed(0)
    words: dict[str, Any] = {"vocabulary_size": 30, "embedding_dim": 8, "out_features": 3}
    model: Any = {
        "mlp": lambda: models.MLP(in_features=6, hidden=8, num_layers=2, out_features=3),
        "cnn": lambda: models.CNN(in_channels=3, image_size=16, out_features=3),
        "bilstm": lambda: models.BiLSTM(hidden=5, num_layers=2, **words),
        "transformer": lambda: models.Transformer(
            heads=2, feedforward=12, num_layers=1, positions=True, **words
        ),
    }[family]()
    batches: list[Any]
    if family == "mlp":
        batches = [torch.randn(n, 6) for n in (2, 1, 9)]
    elif family == "cnn":
        batches = [torch.randn(n, 3, 16, 16) for n in (2, 1, 9)]
    else:
        batches = [texts(*size) for size in ((2, 4), (1, 1), (1, 9), (6, 1), (7, 13))]
    net = al.al_form(model.layers, batches[0], al.Classes(3), latent=5)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return net, batches


def tensors(x: Any) -> dict[str, Tensor]:
    return {"values": x.values, "lengths": x.lengths} if isinstance(x, PaddedSequence) else {"x": x}


FAMILIES = ["mlp", "cnn", "bilstm", "transformer"]


@pytest.mark.parametrize("family", FAMILIES)
def test_onnx_at_every_depth(family: str, tmp_path: Path) -> None:
    net, batches = network(family)
    before = copy.deepcopy(net.state_dict())
    depths = range(1, min(net.num_layers, 3) + 1)
    for depth in depths:
        file = export_onnx(net, batches[0], tmp_path / f"{depth}.onnx", depth)
        assert file.largest_error < 1e-5
        session = onnxruntime.InferenceSession(str(file.path))
        names = {one.name for one in session.get_inputs()}
        for x in batches:
            feed = {name: t.numpy() for name, t in tensors(x).items() if name in names}
            (found,) = session.run(["output"], feed)
            with torch.no_grad():
                expected = copy.deepcopy(net).eval()(x, depth)
            torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-5, rtol=1e-5)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("family", FAMILIES)
def test_program_on_other_sizes_and_lengths(family: str, tmp_path: Path) -> None:
    net, batches = network(family)
    torch.export.save(export_program(net, batches[0], 2), tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    for x in batches:
        with torch.no_grad():
            expected = copy.deepcopy(net).eval()(x, 2)
        torch.testing.assert_close(program(*tensors(x).values()), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "backend"),
    [
        pytest.param("mlp", "inductor", marks=pytest.mark.long),  # it compiles C++
        *((family, "aot_eager") for family in FAMILIES),
    ],
)
def test_a_compiled_prefix_answers_as_the_network(family: str, backend: str) -> None:
    torch._dynamo.reset()
    net, batches = network(family)
    net.eval()
    compiled = torch.compile(net.prefix(2), backend=backend)
    for x in batches[:2]:
        with torch.no_grad():
            torch.testing.assert_close(compiled(x), net(x, 2), atol=1e-5, rtol=1e-5)
    torch._dynamo.reset()


def test_a_prefix_holds_what_it_needs_and_no_more() -> None:
    net, batches = network("mlp")
    for depth in (1, 2):
        program = export_program(net, batches[0], depth)
        held = sum(value.numel() for value in program.state_dict.values())
        assert held == al.count_parameters(net).inference[depth - 1]


class Named(nn.Module):
    """Takes inputs named as what torch calls the first operations on them, of limited length."""

    def __init__(self) -> None:
        super().__init__()
        self.word, self.place = nn.Embedding(30, 8), nn.Embedding(6, 8)
        self.a, self.b, self.out = nn.Linear(16, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, embedding: Tensor, cat: Tensor) -> Tensor:
        places = self.place(torch.arange(embedding.shape[1]))
        h = torch.cat([self.word(embedding) + places, self.word(cat) + places], 2)
        scores: Tensor = self.out(self.b(self.a(h).relu()).relu().mean(1))
        return scores


def test_names_of_inputs_may_be_those_of_operations(tmp_path: Path) -> None:
    x = {name: torch.randint(1, 30, (4, 6)) for name in ("embedding", "cat")}
    net = al.convert(Named(), x, target=al.Classes(3), at=["b"]).eval()
    path = tmp_path / "named.onnx"
    assert export_onnx(net, x, path).inputs == ("embedding", "cat")
    session = onnxruntime.InferenceSession(str(path))
    few = {name: value[:3, :4] for name, value in x.items()}
    (found,) = session.run(None, {name: value.numpy() for name, value in few.items()})
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(found), net(few), atol=1e-5, rtol=1e-5)


def test_what_onnx_has_no_form_for_is_refused(tmp_path: Path) -> None:
    x = torch.randn(4, 6)
    turned = nn.utils.parametrizations.orthogonal(nn.Linear(8, 8))
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), turned, nn.ReLU(), nn.Linear(8, 3))
    net = al.convert(model, x, target=al.Classes(3), at=["2"]).eval()
    export_onnx(net, x, tmp_path / "one.onnx", 1)
    with pytest.raises(InputError, match=r"ONNX has no form for .*matrix_exp"):
        export_onnx(net, x, tmp_path / "two.onnx", 2)
    assert not (tmp_path / "two.onnx").exists()


def test_a_converted_bert_of_limited_length(tmp_path: Path) -> None:
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=40,
    )
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(config)
    ids, mask = torch.randint(1, 30, (3, 9)), torch.ones(3, 9, dtype=torch.int64)
    mask[1, 4:] = 0
    x = {"input_ids": ids[:2, :6], "attention_mask": mask[:2, :6]}
    net = al.convert(model, x, target=al.Classes(3), at=2, balance="flops").eval()
    file = export_onnx(net, x, tmp_path / "bert.onnx", 1)  # at full depth a run does it
    session = onnxruntime.InferenceSession(str(file.path))
    (found,) = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
    with torch.no_grad():
        expected = net({"input_ids": ids, "attention_mask": mask}, 1)
    torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("form", [dict, tuple])
def test_inputs_of_several_tensors(form: type, tmp_path: Path) -> None:
    class Sum(nn.Module):
        def forward(self, x: Any) -> Tensor:
            a, b = x.values() if isinstance(x, dict) else x
            return torch.cat([a, b], dim=1)

    a, b = torch.randn(2, 3), torch.randn(2, 4)
    x: Any = {"a": a, "b": b} if form is dict else (a, b)
    layer = al.ALLayer(f=Sum(), b=nn.Linear(7, 5), g=nn.Linear(3, 5), h=nn.Linear(5, 3))
    net = al.ALNetwork([layer], target=al.Classes(3)).eval()
    file = export_onnx(net, x, tmp_path / "two.onnx")
    assert file.inputs == (("a", "b") if form is dict else ("x0", "x1"))
    session = onnxruntime.InferenceSession(str(file.path))
    feed = dict(zip(file.inputs, (a.numpy(), b.numpy()), strict=True))
    torch.testing.assert_close(torch.from_numpy(session.run(None, feed)[0]), net(x).detach())


def test_lstm_operator_is_torchs_lstm() -> None:
    lstm, values = nn.LSTM(3, 4, batch_first=True), torch.randn(2, 5, 3)
    weights = [getattr(lstm, f"{n}_l0") for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    with torch.no_grad():
        out, (_, c) = lstm(values)
        found, cells = lstm_operator.lstm(values, *weights)
        torch.testing.assert_close((found, cells), (out, c))
        arguments = (values, *(weight.detach() for weight in weights))
        torch.library.opcheck(
            lstm_operator.lstm, arguments, test_utils=["test_schema", "test_faketensor"]
        )


class _Branching(nn.Module):
    def forward(self, s: Tensor) -> Tensor:
        return s if bool(s.sum() > 0) else -s


class _Fixed(nn.Module):
    """Averages over positions that it takes for four."""

    def forward(self, s: Tensor) -> Tensor:
        return s.float().reshape(-1, 4)


def one_layer(f: nn.Module) -> al.ALNetwork:
    layer = al.ALLayer(f=f, b=nn.Linear(4, 5), g=nn.Linear(3, 5), h=nn.Linear(5, 3))
    return al.ALNetwork([layer], target=al.Classes(3))


def test_what_cannot_be_exported_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, path = torch.randn(2, 4), tmp_path / "model.onnx"
    with pytest.raises(InputError, match="must not branch on values"):
        export_program(one_layer(_Branching()), x)
    ids = torch.ones(2, 4, dtype=torch.int64)
    with pytest.warns(UserWarning, match="take sequences of one length alone"):
        program = export_program(one_layer(_Fixed()), ids)
    assert program.module()(ids.repeat(3, 1)).shape == (6, 3)
    assert export_onnx(one_layer(_Fixed()), ids, path, any_length=False).largest_error < 1e-5
    path.unlink()
    with pytest.raises(InputError, match="depth 2 came for a network that answers at 1 depth"):
        export_onnx(one_layer(nn.Identity()), x, path, depth=2)
    with pytest.raises(InputError, match="inputs of type list came"):
        export_onnx(one_layer(nn.Identity()), [x], path)
    with pytest.raises(InputError, match="differs from the network"):
        export_onnx(one_layer(nn.Identity()), x, path, tolerance=-1.0)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(InputError, match=r"pip install 'associated_learning\[export\]'"):
        export_onnx(one_layer(nn.Identity()), x, path)
    assert list(tmp_path.iterdir()) == []


class _Two(nn.Module):
    """Two texts of a length each."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.a = nn.Embedding(50, 16), nn.Linear(32, 16)
        self.b, self.out = nn.Linear(16, 16), nn.Linear(16, 3)

    def forward(self, src: Tensor, tgt: Tensor) -> Tensor:
        h = torch.cat([self.embed(src).mean(1), self.embed(tgt).mean(1)], 1)
        return self.out(self.b(self.a(h).relu()).relu())


class _Padded(nn.Module):
    """A text, a mask of booleans, and a flag."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(50, 16), nn.Linear(16, 3)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True) for _ in range(2)
        )

    def forward(self, ids: Tensor, src_key_padding_mask: Tensor, flag: bool = True) -> Tensor:
        h = self.embed(ids)
        for block in self.blocks:
            h = block(h, src_key_padding_mask=src_key_padding_mask)
        return self.out(h.mean(1))


def _ids(samples: int, length: int) -> Tensor:
    return torch.randint(1, 50, (samples, length))


def _text(samples: int, length: int) -> dict[str, Any]:
    padding = torch.arange(length) >= torch.arange(samples)[:, None] % length + 1
    return {"ids": _ids(samples, length), "src_key_padding_mask": padding}


@pytest.mark.parametrize(
    ("model", "x", "other"),
    [
        (_Two, (_ids(4, 9), _ids(4, 5)), (_ids(6, 3), _ids(6, 12))),
        (_Two, {"src": _ids(4, 9), "tgt": _ids(4, 5)}, {"src": _ids(1, 6), "tgt": _ids(1, 6)}),
        (_Padded, _text(4, 9), _text(3, 11)),
        (_Padded, {**_text(4, 9), "flag": True}, _text(2, 4)),
    ],
    ids=["two lengths", "two lengths by name", "mask", "mask and flag"],
)
def test_lengths_of_several_inputs(model: type[nn.Module], x: Any, other: Any) -> None:
    net = al.convert(model(), x, target=al.Classes(3), at=2, balance="flops").eval()
    for depth in (1, 2):
        module = export_program(net, x, depth).module()
        for batch in (x, other):
            values = batch.values() if isinstance(batch, dict) else batch
            tensors = [value for value in values if isinstance(value, Tensor)]
            torch.testing.assert_close(module(*tensors), net(batch, depth), atol=1e-5, rtol=1e-5)
