"""What is packed arrives: the same structure, values, types and strides."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import associated_learning as al
from associated_learning.errors import InputError, NonFiniteLossError, PipelineError
from associated_learning.pipeline.processes.serialization import Parcel, pack, reserve, unpack
from associated_learning.tensors.nested import tensors_in

DTYPES = [
    *(torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64),
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
]


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclass(frozen=True)
class Boxed:
    inside: Any
    name: str = "box"


class FragileError(RuntimeError):
    """Cannot be made again from its arguments."""

    def __init__(self, code: int, place: str) -> None:
        super().__init__(f"{code} at {place}")


def carried(structure: Any, **options: Any) -> Any:
    """Send a structure through memory that held something else before."""
    parcel = pack(structure, **options)
    room = reserve(parcel.meta)
    for piece, place in zip(parcel.pieces, room.pieces, strict=True):
        place.fill_(0xAB).copy_(piece)
    return unpack(room)


def bits(tensor: Tensor) -> list[int]:
    plain = torch.empty(tensor.numel(), dtype=tensor.dtype).copy_(tensor.reshape(-1))
    return plain.view(torch.uint8).tolist()


def same_bits(one: Tensor, two: Tensor) -> bool:
    """Compare also what is not a number, and the sign of zeros."""
    if one.dtype is not two.dtype or one.shape != two.shape:
        return False
    return bits(one) == bits(two)


def random_bits(shape: list[int], dtype: torch.dtype) -> Tensor:
    size = math.prod(shape) * dtype.itemsize
    limit = 2 if dtype is torch.bool else 256
    return torch.randint(limit, (size,), dtype=torch.uint8).view(dtype).view(shape)


VIEWS: list[Callable[[Tensor], Tensor]] = [
    lambda x: x,
    lambda x: x.permute(list(reversed(range(x.dim())))),
    lambda x: x.movedim(0, -1) if x.dim() else x,
    lambda x: x[..., ::2] if x.dim() else x,
    lambda x: x[1:] if x.dim() else x,
    lambda x: x[:, 0] if x.dim() > 1 and x.shape[1] else x,
    lambda x: x.unsqueeze(0).expand(3, *x.shape),
    lambda x: x.unsqueeze(-1).expand(*x.shape, 2),
    lambda x: x.transpose(0, -1).unsqueeze(1) if x.dim() else x,
]

tensors = st.builds(
    lambda shape, dtype, view: view(random_bits(shape, dtype)),
    st.lists(st.integers(0, 5), max_size=4),
    st.sampled_from(DTYPES),
    st.sampled_from(VIEWS),
)
plain = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(DTYPES)
structures = st.recursive(
    tensors | plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.builds(Pair, inner, inner)
        | st.builds(Boxed, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


def check_same(sent: Any, arrived: Any) -> None:
    assert type(sent) is type(arrived)
    if isinstance(sent, Tensor):
        assert same_bits(sent, arrived)
        assert sent.stride() == arrived.stride()
    elif isinstance(sent, (tuple, list)):
        assert len(sent) == len(arrived)
        for one, two in zip(sent, arrived, strict=True):
            check_same(one, two)
    elif isinstance(sent, dict):
        assert list(sent) == list(arrived)
        for key in sent:
            check_same(sent[key], arrived[key])
    elif isinstance(sent, Boxed):
        check_same(sent.inside, arrived.inside)
    else:
        assert sent == arrived


@settings(max_examples=150, deadline=None)
@given(structures)
def test_any_structure_arrives(structure: Any) -> None:
    check_same(structure, carried(structure))


@settings(max_examples=60, deadline=None)
@given(structures)
def test_bf16_rounds_float32_and_nothing_else(structure: Any) -> None:
    def rounded(tensor: Tensor) -> Tensor:
        return tensor.bfloat16().float() if tensor.dtype is torch.float32 else tensor

    sent, arrived = tensors_in(structure), tensors_in(carried(structure, bf16=True))
    for one, two in zip(map(rounded, sent), arrived, strict=True):
        nan = one != one  # which of its NaNs torch makes depends on the kernel
        assert torch.equal(nan, two != two)
        assert same_bits(one[~nan], two[~nan])
    assert [one.stride() for one in sent] == [two.stride() for two in arrived]


def test_bf16_halves_the_bytes() -> None:
    batch = torch.randn(32, 60, 256)
    whole, half = (sum(map(len, pack(batch, bf16=b).pieces)) for b in (False, True))
    assert half * 2 == whole == batch.nbytes


def test_large_tensors_travel_and_arrive_without_a_copy() -> None:
    large = torch.randn(3, 50, 700).permute(2, 0, 1)
    parcel = pack([large])
    assert [piece.data_ptr() for piece in parcel.pieces] == [large.data_ptr()]
    assert unpack(parcel)[0].data_ptr() == large.data_ptr()


def test_small_tensors_share_a_piece_and_lie_as_torch_would_put_them() -> None:
    small = [torch.randn(n) for n in (1, 3, 100)] + [torch.ones(2, dtype=torch.bool)]
    parcel = pack({"small": small, "large": torch.randn(200, 200)})
    assert len(parcel.pieces) == 2
    assert all(t.data_ptr() % 64 == 0 for t in unpack(parcel)["small"])


def test_windows_that_share_memory_arrive_as_plain_tensors() -> None:
    windows = torch.arange(10.0).unfold(0, 4, 1)
    arrived = carried(windows)
    assert torch.equal(arrived, windows)
    assert arrived.is_contiguous()


def test_one_tensor_at_two_places_travels_once() -> None:
    weight = torch.randn(300, 300)
    parcel = pack([weight, {"tied": weight}])
    assert len(parcel.pieces) == 1
    first, second = unpack(parcel)
    assert first is second["tied"]


def test_parameters_arrive_as_tensors_without_gradient() -> None:
    linear = torch.nn.Linear(3, 2)
    arrived = carried(dict(linear.named_parameters()))
    assert {key: (type(v), v.requires_grad) for key, v in arrived.items()} == {
        "weight": (Tensor, False),
        "bias": (Tensor, False),
    }


def test_conjugated_and_negated_views_arrive() -> None:
    z = torch.randn(3, dtype=torch.complex64)
    for view in (z.conj(), z.conj().imag):
        assert torch.equal(carried(view), view.resolve_conj().resolve_neg())


def test_the_result_of_a_kernel_is_the_same_on_what_arrives() -> None:
    """A dense layer takes another way through torch where its input is not contiguous."""
    layer, padded = torch.nn.Linear(31, 17), torch.randn(8, 20, 31)
    for batch in (padded, padded[:, :13], padded.transpose(0, 1), padded[:, ::2]):
        assert torch.equal(layer(batch), layer(carried(batch)))


@pytest.mark.parametrize(
    "error",
    [
        NonFiniteLossError("layer 2 at batch 7"),
        InputError("labels out of range"),
        KeyboardInterrupt(),
        KeyError("lr"),
    ],
)
def test_errors_arrive(error: BaseException) -> None:
    arrived = carried({"failure": error})["failure"]
    assert type(arrived) is type(error)
    assert arrived.args == error.args


def test_errors_that_cannot_be_made_again_arrive_as_text() -> None:
    local = type("LocalError", (Exception,), {})("why")
    faults = al.ConversionError([al.errors.Fault("layer1", "has no end", "cut it")])
    for error in (FragileError(3, "home"), local, faults):
        arrived = carried((error,))[0]
        assert type(arrived) is PipelineError
        assert str(arrived) == f"{type(error).__name__}: {error}"


def test_the_state_of_swalr_arrives_and_one_with_a_function_is_refused() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    state = torch.optim.swa_utils.SWALR(optimizer, swa_lr=0.05).state_dict()
    assert carried(state) == state
    with pytest.raises(InputError, match=r"of type function came; between processes travel"):
        pack({**state, "anneal": lambda step: step})


def test_tensors_without_plain_memory_are_refused() -> None:
    with pytest.raises(InputError, match=r"layout torch.sparse_coo.*to_dense"):
        pack((1, torch.eye(3).to_sparse()))


def test_meta_is_small() -> None:
    """It travels in the first message with every batch."""
    job = (
        7,
        al.PaddedSequence(torch.randn(32, 60, 256), torch.full((32,), 60)),
        torch.randn(32, 128),
    )
    assert len(pack(job).meta) < 1000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("gpu", [True, False])
def test_cuda_tensors_travel_either_way(gpu: bool) -> None:
    sent = [torch.randn(300, 70, device="cuda").T, torch.arange(3, device="cuda"), torch.ones(2)]
    parcel: Parcel = pack(sent, gpu=gpu)
    room = reserve(parcel.meta)
    for piece, place in zip(parcel.pieces, room.pieces, strict=True):
        place.copy_(piece)
    for one, two in zip(sent, unpack(room), strict=True):
        assert two.is_cuda == (gpu and one.is_cuda)
        assert torch.equal(one.cpu(), two.cpu())
        assert one.stride() == two.stride()


def test_nothing_that_comes_is_unpickled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle is refused by its first bytes, and no message needs one."""
    for name in ("loads", "load", "Unpickler", "dumps", "dump", "Pickler"):
        monkeypatch.setattr(pickle, name, None)
    assert carried(Pair({1: [True, None, 2**70]}, (float("nan"), b"x")))[0] == {
        1: [True, None, 2**70]
    }
    with pytest.raises(PipelineError, match="no header of this version"):
        reserve(b"\x80\x05cos\nsystem\n")


HOSTILE = [
    [["tensor", 0], [["float32", "float32", [2**40], [1], False]]],
    [["tensor", 0], [["float32", "float32", [2], [2**45], False]]],
    [["tensor", 0], [["float32", "float32", [-1], [1], False]]],
    [["tensor", 0], [["float32", "float32", [3, 3], [1, 1], False]]],
    [["tensor", 0], [["float32", "float32", [3], [1, 1], False]]],
    [["tensor", 0], [["float32", "int8", [3], [1], False]]],
    [["tensor", 0], [["quint8", "quint8", [3], [1], False]]],
    [["tensor", 0], [["float32", "float32", [2.5], [1], False]]],
    [["tensor", 0], [["float32", "float32", [1] * 65, [1] * 65, False]]],
    [["tensor", 7], []],
    [["named", "os:system", ["id"]], []],
    [["named", "builtins:tuple", [[]]], []],
    [["named", "subprocess:Popen", ["id"]], []],
    [["dataclass", "associated_learning.runs.settings.config:RunConfig", {"x": 1}], []],
    [["dataclass", "antigravity:x", {}], []],
    [["error", "SystemExit", [0]], []],
    [["error", "InputError", [["tensor", 0]]], []],
    [["mapping", "dict", [[["list", []], 1]]], []],
    [["mapping", "Counter", []], []],
    [["device", "x" * 10], []],
    [["dtype", "Tensor"], []],
    [["bytes", "!!"], []],
    [["float", "x"], []],
    [[[]], []],
    [{}, []],
    [[], []],
    [],
    3,
]


@pytest.mark.parametrize("frame", HOSTILE, ids=lambda frame: json.dumps(frame)[:50])
def test_hostile_frames_are_refused(frame: Any) -> None:
    with pytest.raises(PipelineError, match="a message from another process is malformed"):
        unpack(reserve(b"AL\0\1" + json.dumps(frame).encode()))


def test_a_name_must_be_that_of_a_class() -> None:
    """An instance of a dataclass has its fields too; a function could be anything's."""
    for name in ("associated_learning.update:DEFAULT_RULE", "os:getcwd"):
        with pytest.raises(PipelineError, match=f"{name} is no class"):
            unpack(reserve(b"AL\0\1" + json.dumps([["dataclass", name, {}], []]).encode()))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_fuzzed_frames_are_refused_or_harmless(data: st.DataObject) -> None:
    sent = Pair({"a": torch.ones(3, 2)}, [1, InputError("x"), (None, "y")])
    meta = bytearray(pack(sent).meta)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(meta) - 1))
        meta[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    try:
        room = reserve(bytes(meta))
        assert sum(map(len, room.pieces)) < 2**24
        unpack(room)
    except PipelineError:
        pass
