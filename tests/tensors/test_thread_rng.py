"""Randomness of one thread's own, against `seeded` in one thread as the oracle."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset, random_split

from associated_learning.errors import InputError
from associated_learning.tensors.randomness.keyed import seeded
from associated_learning.tensors.randomness.thread_rng import is_random, thread_seeded

Context = Callable[..., AbstractContextManager[None]]


def dropped_path(x: Tensor) -> Tensor:
    """Stochastic depth as `transformers` writes it."""
    shape = (x.shape[0],) + (1,) * (x.ndim - 1)
    kept = (0.7 + torch.rand(shape, dtype=x.dtype, device=x.device)).floor_()
    return x.div(0.7) * kept


def ragged(x: Tensor) -> Tensor:
    return torch.nested.as_nested_tensor([x[0], x[1, :2]], layout=torch.jagged)


def packed(lstm: nn.Module, x: Tensor) -> Tensor:
    """The other overload of ``aten::lstm``."""
    return lstm(pack_padded_sequence(x, torch.tensor([3, 3, 2, 1]), batch_first=True))[0].data


# every module takes [4, 3, 8] unless there is a function beside it that adapts it
MODULES: dict[str, tuple[Callable[[], nn.Module], Callable[[Any, Tensor], Tensor]]] = {
    "dropout": (nn.Dropout, lambda m, x: m(x)),
    "dropout_inplace": (lambda: nn.Dropout(inplace=True), lambda m, x: m(x * 1)),
    "dropout1d": (nn.Dropout1d, lambda m, x: m(x)),
    "dropout2d": (nn.Dropout2d, lambda m, x: m(x[None])),
    "dropout3d": (nn.Dropout3d, lambda m, x: m(x[None, None])),
    "alpha_dropout": (nn.AlphaDropout, lambda m, x: m(x)),
    "feature_alpha_dropout": (nn.FeatureAlphaDropout, lambda m, x: m(x)),
    "rrelu": (nn.RReLU, lambda m, x: m(x)),
    "attention": (
        lambda: nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True),
        lambda m, x: m(x, x, x)[0],
    ),
    "attention_without_weights": (
        lambda: nn.MultiheadAttention(8, 2, dropout=0.5, batch_first=True),
        lambda m, x: m(x, x, x, need_weights=False)[0],
    ),
    "encoder_layer": (
        lambda: nn.TransformerEncoderLayer(8, 2, 16, 0.5, batch_first=True),
        lambda m, x: m(x),
    ),
    "decoder_layer": (
        lambda: nn.TransformerDecoderLayer(8, 2, 16, 0.5, batch_first=True),
        lambda m, x: m(x, x),
    ),
    "lstm": (lambda: nn.LSTM(8, 5, 3, dropout=0.5), lambda m, x: m(x)[0]),
    "lstm_packed": (lambda: nn.LSTM(8, 5, 3, dropout=0.5, batch_first=True), packed),
    "gru": (lambda: nn.GRU(8, 5, 2, dropout=0.5, bidirectional=True), lambda m, x: m(x)[0]),
    "rnn": (lambda: nn.RNN(8, 5, 2, dropout=0.5), lambda m, x: m(x)[0]),
    "fractional_pool": (
        lambda: nn.FractionalMaxPool2d(2, output_ratio=0.5),
        lambda m, x: m(x[None]),
    ),
}
CUDNN = ("lstm", "lstm_packed", "gru", "rnn")  # their dropout there has a state of its own

CALLS: dict[str, Callable[[Tensor], Tensor]] = {
    "F.dropout": F.dropout,
    "torch.dropout": lambda x: torch.dropout(x, 0.5, True),
    "torch.dropout_": lambda x: torch.dropout_(x * 1, 0.5, True),
    "native_dropout": lambda x: torch.native_dropout(x, 0.5, True)[0],
    "drop_path": dropped_path,
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x, dropout_p=0.5),
    "attention_4d": lambda x: F.scaled_dot_product_attention(x[None], x[None], x[None], None, 0.5),
    "gumbel_softmax": F.gumbel_softmax,
    "gumbel_hard": lambda x: F.gumbel_softmax(x, hard=True),
    "rand": lambda x: x * torch.rand(3, 8, device=x.device),
    "rand_default_generator": lambda x: x + torch.rand(8, generator=torch.default_generator).to(x),
    "randn": lambda x: x + torch.randn(8, device=x.device),
    "rand_like": lambda x: x * torch.rand_like(x),
    "randn_like": lambda x: x + torch.randn_like(x),
    "randint": lambda x: x * torch.randint(1, 9, (8,), device=x.device),
    "randint_like": lambda x: x * torch.randint_like(x, 9),
    "randperm": lambda x: x[..., torch.randperm(8, device=x.device)],
    "bernoulli": lambda x: x * torch.bernoulli(x.detach().sigmoid()),
    "multinomial": lambda x: x[..., torch.multinomial(x.detach()[0].exp(), 4)[0]],
    "multinomial_replaced": lambda x: x[..., torch.multinomial(x.detach()[0].exp(), 4, True)[0]],
    "normal": lambda x: x + torch.normal(x.detach(), 0.5),
    "normal_sized": lambda x: x + torch.normal(0.0, 1.0, (8,), device=x.device),
    "poisson": lambda x: x * torch.poisson(x.detach().exp()),
    "bernoulli_": lambda x: x * torch.empty_like(x).bernoulli_(0.3),
    "bernoulli_tensor_": lambda x: x * torch.empty_like(x).bernoulli_(x.detach().sigmoid()),
    "uniform_": lambda x: x * torch.empty_like(x).uniform_(1, 2),
    "normal_": lambda x: x * torch.empty_like(x).normal_(),
    "exponential_": lambda x: x * torch.empty_like(x).exponential_(),
    "geometric_": lambda x: x * torch.empty_like(x).geometric_(0.3),
    "cauchy_": lambda x: x * torch.empty_like(x).cauchy_(),
    "log_normal_": lambda x: x * torch.empty_like(x).log_normal_(),
    "random_": lambda x: x * torch.empty_like(x).random_(1, 9),
    "gamma": lambda x: torch.distributions.Gamma(x.exp(), 1.0).rsample(),
    "dirichlet": lambda x: torch.distributions.Dirichlet(x.exp()).rsample(),
    "init": lambda x: x @ nn.init.trunc_normal_(x.new_empty(8, 8)),
    "vmap": lambda x: torch.vmap(F.dropout, randomness="different")(x),
    "vmap_same": lambda x: torch.vmap(
        lambda row: row * torch.rand(8, device=x.device), randomness="same"
    )(x),
    "random_split": lambda x: x[..., list(random_split(range(8), [3, 5])[0])],
    "nested": lambda x: F.dropout(ragged(x)).values(),
    "nested_rand_like": lambda x: x * torch.rand_like(ragged(x)).values()[0],
}

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return torch.device(request.param)


def weights_and_inputs(name: str, device: torch.device) -> tuple[Any, Tensor]:
    torch.manual_seed(1)
    made = MODULES[name][0]().to(device).train() if name in MODULES else nn.Module()
    return made, torch.randn(4, 3, 8).to(device).requires_grad_()


def with_gradients(context: Context, name: str, device: torch.device, *key: int) -> list[Tensor]:
    """Run a case inside a block, and backward after it."""
    made, x = weights_and_inputs(name, device)
    with context("case", *key, device=device):
        y = MODULES[name][1](made, x) if name in MODULES else CALLS[name](x)
        second = torch.rand(3, device=device)  # what comes after must not be shifted either
    (y.float() * torch.linspace(1, 2, y.numel(), device=device).view_as(y)).sum().backward()
    gradients = [p.grad for p in (x, *made.parameters()) if p.grad is not None]
    return [y.detach(), second, *gradients]


def equal(found: list[Tensor], expected: list[Tensor]) -> bool:
    return len(found) == len(expected) and all(map(torch.equal, found, expected))


CASES = [*MODULES, *CALLS]


@pytest.mark.parametrize("name", CASES)
def test_a_block_gives_the_bits_of_seeded(name: str, device: torch.device) -> None:
    if device.type == "cuda" and name in CUDNN:
        pytest.skip("cuDNN's recurrent dropout cannot be keyed at all")
    try:
        expected = with_gradients(seeded, name, device, 5)
    except NotImplementedError as error:  # older versions of torch lack this and that
        pytest.skip(f"torch itself cannot do it: {error}")
    other = with_gradients(seeded, name, device, 6)
    assert not equal(other, expected), "the case must depend on the key"
    shared = shared_states(device)
    assert equal(with_gradients(thread_seeded, name, device, 5), expected)
    assert equal(shared_states(device), shared), "the shared generators must not notice"


def shared_states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return states if device.type == "cpu" else [*states, torch.cuda.get_rng_state(device)]


@pytest.mark.parametrize("name", ["F.dropout", "encoder_layer", "rand", "native_dropout"])
def test_threads_that_take_turns_draw_as_if_alone(name: str, device: torch.device) -> None:
    rounds = 6
    alone = [[with_gradients(seeded, name, device, t, n) for n in range(rounds)] for t in (0, 1)]
    models = [weights_and_inputs(name, device) for _ in (0, 1)]
    barrier = threading.Barrier(2, timeout=60)

    def work(thread: int) -> list[list[Tensor]]:
        made, x = models[thread]
        call = MODULES[name][1] if name in MODULES else lambda _, x: CALLS[name](x)
        found = []
        for n in range(rounds):
            made.zero_grad()
            x.grad = None
            with thread_seeded("case", thread, n, device=device):
                barrier.wait()  # both blocks are open
                y = call(made, x)
                barrier.wait()  # both have drawn
                second = torch.rand(3, device=device)
            weight = torch.linspace(1, 2, y.numel(), device=device).view_as(y)
            (y.float() * weight).sum().backward()
            grads = [p.grad.clone() for p in (x, *made.parameters()) if p.grad is not None]
            found.append([y.detach(), second, *grads])
        return found

    with ThreadPoolExecutor(2) as pool:
        for mine, expected in zip(pool.map(work, (0, 1)), alone, strict=True):
            assert all(equal(a, b) for a, b in zip(mine, expected, strict=True))


@pytest.mark.parametrize("name", ["F.dropout", "encoder_layer", "attention", "lstm", "rand"])
def test_a_thread_waits_for_nobody_on_the_cpu(name: str) -> None:
    """Another thread may stay in `seeded` for long, as a slow loader does."""
    cpu = torch.device("cpu")
    expected = with_gradients(seeded, name, cpu, 1)
    with ThreadPoolExecutor(1) as pool, seeded("loader"):
        found = pool.submit(with_gradients, thread_seeded, name, cpu, 1).result(timeout=20)
    assert equal(found, expected)


def test_blocks_nest_and_the_innermost_counts() -> None:
    def nested(outer: Context, inner: Context) -> list[Tensor]:
        with outer("outer"):
            found = [torch.rand(2)]
            with inner("inner"):
                found.append(torch.rand(2))
            found.append(torch.rand(2))
        return found

    expected = nested(seeded, seeded)
    for outer, inner in [
        (thread_seeded, thread_seeded),
        (thread_seeded, seeded),
        (seeded, thread_seeded),
    ]:
        shared = torch.get_rng_state()
        assert equal(nested(outer, inner), expected)
        assert torch.equal(torch.get_rng_state(), shared)


def test_after_an_error_the_thread_draws_from_the_shared_generators_again() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with pytest.raises(KeyError, match="mine"), thread_seeded("outer"):
        torch.rand(2)
        raise KeyError("mine")
    assert torch.equal(torch.rand(2), expected)


def test_a_generator_that_is_given_is_the_one_that_is_used() -> None:
    expected = torch.rand(2, generator=torch.Generator().manual_seed(4))
    with thread_seeded("block"):
        found = torch.rand(2, generator=torch.Generator().manual_seed(4))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_goes_on_as_ever(dtype: torch.dtype, device: torch.device) -> None:
    def run(context: Context) -> list[Tensor]:
        made, x = weights_and_inputs("encoder_layer", device)
        with context("key", device=device), torch.autocast(device.type, dtype):
            y = made(x)
        y.float().square().sum().backward()
        return [y.detach(), *(p.grad for p in made.parameters())]

    assert equal(run(thread_seeded), run(seeded))


class NoisyIdentity(torch.autograd.Function):
    """Adds noise to its input and to its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad + torch.rand_like(grad)


def test_a_backward_pass_inside_of_the_block_draws_in_it_too() -> None:
    def run(context: Context) -> list[Tensor]:
        x = torch.ones(3, requires_grad=True)
        with context("key"):
            y = NoisyIdentity.apply(x)
            y.sum().backward()
        return [y.detach(), x.grad]

    assert equal(run(thread_seeded), run(seeded))


def test_a_backward_pass_after_the_block_draws_from_the_shared_generators() -> None:
    x = torch.ones(3, requires_grad=True)
    with thread_seeded("key"):
        y = NoisyIdentity.apply(x)
    torch.manual_seed(8)
    expected = 1 + torch.rand(3)
    torch.manual_seed(8)
    y.sum().backward()
    assert torch.equal(x.grad, expected)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoints_around_randomness_are_refused(reentrant: bool) -> None:
    x = torch.ones(3, requires_grad=True)
    said = r"aten\.bernoulli_\.float came under torch\.utils\.checkpoint.*executor='sequential'"
    q = torch.ones(1, 1, 4, 4, requires_grad=True)
    own = torch.Generator()
    with thread_seeded("key"):
        for quiet in (torch.sin, lambda x: x * torch.rand(3, generator=own)):
            checkpoint(quiet, x, use_reentrant=reentrant)
        checkpoint(F.scaled_dot_product_attention, q, q, q, use_reentrant=reentrant)
        with pytest.raises(InputError, match=said):
            checkpoint(F.dropout, x, use_reentrant=reentrant)
        with torch.no_grad():
            F.dropout(x)  # no checkpoint, though gradients are off


def test_recurrent_dropout_of_cudnn_is_refused() -> None:
    """It goes on from one layer to the next, whatever is seeded (the kernel itself needs a GPU)."""
    lstm = nn.LSTM(2, 2, 2, dropout=0.5)
    sizes = (2, 2, 0, 2)  # mode 2 is the LSTM's; hidden size, projection, layers
    x, h = torch.ones(3, 1, 2), torch.zeros(2, 1, 2)

    def call(dropout: float, train: bool) -> None:
        weights = list(lstm.parameters())
        rest = (False, dropout, train, False, [], None)
        torch.ops.aten._cudnn_rnn(x, weights, 4, None, h, h, *sizes, *rest)

    with thread_seeded("key"):
        with pytest.raises(InputError, match=r"cuDNN.*nn\.Dropout between"):
            call(0.5, True)
        for dropout, train in [(0.0, True), (0.5, False)]:
            with pytest.raises(NotImplementedError, match="'CPU' backend"):  # let through
                call(dropout, train)


INDUCTOR = pytest.param("inductor", marks=pytest.mark.long)  # it compiles C++


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "aot_eager", INDUCTOR])
@pytest.mark.parametrize("first", [seeded, thread_seeded])
def test_compiled_modules_draw_from_the_threads_generator(backend: str, first: Context) -> None:
    """Whether they are compiled, and first run, inside of the block or outside."""
    torch._dynamo.reset()
    made = nn.Sequential(nn.Linear(4, 4), nn.Dropout())
    compiled = torch.compile(
        lambda x: made(x) + torch.rand(4) * torch.bernoulli(x), backend=backend
    )
    x = torch.full((3, 4), 0.5)

    def run(context: Context) -> list[Tensor]:
        made.zero_grad()
        with context("key"):
            y = compiled(x)
        y.sum().backward()
        return [y.detach(), made[0].weight.grad.clone()]

    contexts = [first, seeded, thread_seeded, seeded, thread_seeded]
    with ThreadPoolExecutor(1) as pool:
        found = [run(context) for context in contexts] + [pool.submit(run, thread_seeded).result()]
    assert all(equal(one, found[0]) for one in found)
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["aot_eager", INDUCTOR])
def test_compiled_checkpoints_are_right_or_refused(backend: str) -> None:
    """Which of both depends on whether the compiler saves seeds or states of generators."""

    def run(context: Context) -> list[Tensor]:
        torch._dynamo.reset()
        x = torch.ones(8, requires_grad=True)
        block = torch.compile(
            lambda x: checkpoint(lambda x: F.dropout(x.sin()).cos(), x, use_reentrant=False),
            backend=backend,
        )
        with context("key"):
            y = block(x)
        y.sum().backward()
        return [y.detach(), x.grad]

    refused = ""
    found = []
    try:
        found = run(thread_seeded)
    except InputError as error:
        refused = str(error)
    assert "came under torch.utils.checkpoint" in refused or equal(found, run(seeded))
    torch._dynamo.reset()


@pytest.mark.slow
def test_operators_that_take_functions_run_inside_of_a_block() -> None:
    """They are dispatched in Python, where no key falls through by itself."""

    def run(context: Context) -> list[Tensor]:
        torch._dynamo.reset()
        x = torch.full((4,), 0.5)
        with context("key"):
            return [torch.cond(x.sum() > 0, lambda x: x.sin(), lambda x: x.cos(), (x,))]

    assert equal(run(thread_seeded), run(seeded))
    torch._dynamo.reset()


class NoisyItems(Dataset[Tensor]):
    """Items that are drawn anew every time, as with random transforms."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Tensor:
        return index + torch.rand(2)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_draws_its_order_and_its_workers_their_items(workers: int) -> None:
    def run(context: Context) -> list[Tensor]:
        loader = DataLoader(NoisyItems(), batch_size=2, shuffle=True, num_workers=workers)
        with context("loader"):
            return list(loader)

    found = run(thread_seeded)
    assert equal(found, run(seeded))
    fractions = torch.cat(found).frac()
    assert len(fractions.unique()) == fractions.numel(), "workers must not draw the same"


def test_a_call_that_draws_is_told_from_one_that_does_not(device: torch.device) -> None:
    x = torch.randn(4, 8, device=device)
    norm = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU()).to(device)
    quiet = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True).to(device)
    noisy = nn.TransformerEncoderLayer(8, 2, 16, 0.1, batch_first=True).to(device)
    shared = shared_states(device)
    assert not is_random(norm, x)
    assert not is_random(nn.Sequential(norm, nn.Dropout()).eval(), x)
    assert is_random(nn.Sequential(norm, nn.Dropout()).train(), x)
    assert not is_random(quiet, x[None])
    assert is_random(noisy, x[None])
    assert is_random(lambda x: torch.rand(1), x)  # on the CPU, whatever the device is
    assert equal(shared_states(device), shared)


def test_a_hugging_face_model_in_training() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=20,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        hidden_dropout_prob=0.3,
        attention_probs_dropout_prob=0.3,
    )
    model = transformers.BertModel(config).train()
    ids = torch.randint(0, 20, (3, 7))

    def run(context: Context) -> list[Tensor]:
        model.zero_grad()
        with context("bert"):
            y = model(ids).last_hidden_state
        y.square().sum().backward()
        grads = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        return [y.detach(), *grads]

    assert equal(run(thread_seeded), run(seeded))


@pytest.mark.gpu
def test_threads_on_streams_of_a_gpu_draw_as_if_alone() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    gpu, names = torch.device("cuda"), ["encoder_layer", "attention_without_weights"]

    def work(name: str) -> list[list[Tensor]]:
        with torch.cuda.stream(torch.cuda.Stream()):
            found = [with_gradients_of_own(name, n) for n in range(20)]
            torch.cuda.current_stream().synchronize()
        return found

    def with_gradients_of_own(name: str, n: int) -> list[Tensor]:
        made, x = models[name]
        with thread_seeded("case", n, device=gpu):
            y = MODULES[name][1](made, x)
        return [y.detach(), *torch.autograd.grad(y.sum(), list(made.parameters()))]

    def expected(name: str, n: int) -> list[Tensor]:
        made, x = models[name]
        with seeded("case", n, device=gpu):
            y = MODULES[name][1](made, x)
        return [y.detach(), *torch.autograd.grad(y.sum(), list(made.parameters()))]

    models = {name: weights_and_inputs(name, gpu) for name in names}
    alone = {name: [expected(name, n) for n in range(20)] for name in names}
    torch.cuda.synchronize()
    with ThreadPoolExecutor(2) as pool:
        for name, found in zip(names, pool.map(work, names), strict=True):
            assert all(equal(a, b) for a, b in zip(found, alone[name], strict=True))


@pytest.mark.gpu
def test_attention_without_dropout_moves_no_generator_of_a_gpu() -> None:
    """So there it need not wait for the shared one."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    before = torch.cuda.get_rng_state()
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        x = torch.randn(2, 2, 16, 32).to("cuda", dtype).requires_grad_()
        F.scaled_dot_product_attention(x, x, x).sum().backward()
    assert torch.equal(torch.cuda.get_rng_state(), before)
