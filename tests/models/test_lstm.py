"""The LSTM kernel against torch's own LSTM, numerical derivatives and itself."""

from __future__ import annotations

import runpy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from associated_learning.errors import InputError
from associated_learning.models import BiLSTM, BiLSTMLayer, lstm_kernel, lstm_steps
from associated_learning.models.lstm import bidirectional_lstm, run_reversed
from associated_learning.models.lstm_kernel import LSTMKernel
from associated_learning.tensors.padded_sequence import PaddedSequence

_LENGTHS = torch.tensor([4, 9, 1, 9, 6])


def _lstm(width: int = 6, hidden: int = 7) -> nn.LSTM:
    return nn.LSTM(width, hidden, batch_first=True, bidirectional=True)


def _inputs(width: int = 6, hidden: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    return torch.randn(5, 11, width), torch.randn(2, 5, hidden), torch.randn(2, 5, hidden)


def _packed(lstm: nn.LSTM, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    packed = pack_padded_sequence(x, _LENGTHS, batch_first=True, enforce_sorted=False)
    out, (h, c) = lstm(packed, (h, c))
    return pad_packed_sequence(out, batch_first=True, total_length=x.shape[1])[0], h, c


def _ours(lstm: nn.LSTM, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    out, (h, c) = bidirectional_lstm(lstm, x, _LENGTHS, (h, c))
    return out, h, c


def _gradients(
    results: tuple[Tensor, ...], lstm: nn.LSTM, inputs: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    weights = [torch.linspace(-1, 2, r.numel(), dtype=r.dtype).view(r.shape) for r in results]
    loss = sum((w * r).sum() for w, r in zip(weights, results, strict=True))
    return torch.autograd.grad(loss, [*inputs, *lstm.parameters()])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_and_gradients_are_those_of_packed_torch(dtype: torch.dtype) -> None:
    lstm = _lstm().to(dtype)
    inputs = tuple(part.to(dtype).requires_grad_() for part in _inputs())
    ours, packed = _ours(lstm, *inputs), _packed(lstm, *inputs)
    torch.testing.assert_close(ours, packed, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(
        _gradients(ours, lstm, inputs), _gradients(packed, lstm, inputs), atol=1e-5, rtol=1e-4
    )


def test_zero_states_are_the_default() -> None:
    lstm, (x, h, c) = _lstm(), _inputs()
    out, states = bidirectional_lstm(lstm, x, _LENGTHS)
    started = _ours(lstm, x, torch.zeros_like(h), torch.zeros_like(c))
    assert all(map(torch.equal, (out, *states), started))


def test_gradients_are_the_numerical_derivatives() -> None:
    lstm = _lstm(2, 2).double()
    x, h, c = (part.double().requires_grad_() for part in _inputs(2, 2))

    def run(*parts: Tensor) -> tuple[Tensor, ...]:
        return LSTMKernel.apply(parts[0], _LENGTHS, *parts[1:])

    assert torch.autograd.gradcheck(run, (x, h, c, *lstm.parameters()))


def test_only_final_states_used() -> None:
    lstm = _lstm()
    inputs = tuple(part.requires_grad_() for part in _inputs())
    torch.testing.assert_close(
        _gradients(_ours(lstm, *inputs)[1:2], lstm, inputs),
        _gradients(_packed(lstm, *inputs)[1:2], lstm, inputs),
    )


def test_same_bits_twice_and_in_threads() -> None:
    lstm, (x, h, c) = _lstm(32, 40), _inputs(32, 40)

    def step(_: int) -> list[Tensor]:
        torch.set_num_threads(1)
        results = _ours(lstm, x, h, c)
        return [*results, *_gradients(results, lstm, ())]

    first = step(0)
    with ThreadPoolExecutor(4) as pool:
        for again in pool.map(step, range(8)):
            assert all(map(torch.equal, first, again))


def test_steps_are_compiled_and_without_torchscript_give_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: object) -> None:
        raise RuntimeError("no TorchScript here")

    lstm, inputs = _lstm(32, 40), tuple(part.requires_grad_() for part in _inputs(32, 40))
    assert isinstance(lstm_kernel.step_forth, torch.jit.ScriptFunction)
    compiled = _ours(lstm, *inputs)
    expected = [*compiled, *_gradients(compiled, lstm, inputs)]
    monkeypatch.setattr(torch.jit, "script", refuse)
    plain = runpy.run_path(lstm_steps.__file__)
    for name in lstm_steps.__all__:
        monkeypatch.setattr(lstm_kernel, name, plain[name])
    results = _ours(lstm, *inputs)
    assert all(map(torch.equal, expected, [*results, *_gradients(results, lstm, inputs)]))


def test_graph_can_be_walked_twice() -> None:
    lstm = _lstm()
    loss = _ours(lstm, *_inputs())[0].square().sum()
    once = torch.autograd.grad(loss, list(lstm.parameters()), retain_graph=True)
    twice = torch.autograd.grad(loss, list(lstm.parameters()))
    assert all(map(torch.equal, once, twice))


def test_inputs_and_initial_states_are_left_alone() -> None:
    lstm, inputs = _lstm(), _inputs()
    before = [part.clone() for part in inputs]
    _ours(lstm, *inputs)[0].sum().backward()
    assert all(map(torch.equal, before, inputs))


def test_stays_in_float32_under_autocast() -> None:
    lstm, inputs = _lstm(), _inputs()
    plain = _ours(lstm, *inputs)
    expected = _gradients(plain, lstm, ())
    with torch.autocast("cpu", torch.bfloat16):
        results = _ours(lstm, *inputs)
        gradients = _gradients(results, lstm, ())
        rounded, *_ = _ours(lstm, inputs[0].bfloat16(), *inputs[1:])
    assert all(map(torch.equal, plain, results))
    assert all(map(torch.equal, expected, gradients))
    assert rounded.dtype == torch.float32


def test_half_precision_weights_run_packed() -> None:
    lstm, inputs = _lstm().bfloat16(), [part.bfloat16() for part in _inputs()]
    assert all(map(torch.equal, _ours(lstm, *inputs), _packed(lstm, *inputs)))


def test_names_of_parameters_are_those_of_torch() -> None:
    layer = BiLSTMLayer(6, 7)
    layer.load_state_dict({f"lstm.{name}": p for name, p in _lstm().state_dict().items()})


@pytest.mark.parametrize("lengths", [[5, 0, 1, 1, 1], [12, 1, 1, 1, 1]])
def test_lengths_that_cannot_be(lengths: list[int]) -> None:
    with pytest.raises(InputError, match=r"must lie in 1\.\.11, got"):
        bidirectional_lstm(_lstm(), _inputs()[0], torch.tensor(lengths))


def test_carried_states_of_another_width() -> None:
    below, layer = BiLSTMLayer(6, 5, carry_state=True), BiLSTMLayer(10, 7, carry_state=True)
    s = below(PaddedSequence(_inputs()[0], _LENGTHS))
    with pytest.raises(InputError, match=r"states of shape \[B, 4, 7\].*got \[5, 4, 5\]"):
        layer(s)


class _Classify(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        return self.model(PaddedSequence(ids, lengths))


@pytest.mark.slow
def test_exported_model_is_the_eager_one_on_other_lengths() -> None:
    model = BiLSTM(vocabulary_size=20, embedding_dim=6, hidden=5).eval()
    ids = torch.randint(1, 20, (5, 11))
    program = torch.export.export(_Classify(model), (ids, torch.full((5,), 11))).module()
    torch.testing.assert_close(program(ids, _LENGTHS), model(PaddedSequence(ids, _LENGTHS)))


@pytest.mark.slow
def test_export_refuses_carried_states() -> None:
    model = BiLSTM(vocabulary_size=20, embedding_dim=6, hidden=5, carry_state=True).eval()
    with pytest.raises(InputError, match="carry_state cannot be exported"):
        torch.export.export(_Classify(model), (torch.ones(5, 11).long(), _LENGTHS))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu() -> None:
    lstm, inputs = _lstm(), _inputs()
    expected = _ours(lstm, *inputs)
    on_device = _ours(lstm.to("cuda"), *(part.to("cuda") for part in inputs))
    torch.testing.assert_close(
        [part.cpu() for part in on_device], list(expected), atol=1e-3, rtol=1e-3
    )


def test_reversed_run_is_the_packed_one() -> None:
    lstm, (x, *_) = _lstm(), _inputs()
    zero = torch.zeros(2, 5, 7)
    out, (h, _) = run_reversed(lstm, x, _LENGTHS)
    torch.testing.assert_close((out, h), _packed(lstm, x, zero, zero)[:2])
