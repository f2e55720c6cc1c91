"""What fit takes: each form of the same data trains the same weights as a list of pairs does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from transformers import BertConfig, BertForSequenceClassification, DataCollatorWithPadding

import associated_learning as al
from associated_learning.errors import InputError
from associated_learning.tensors.batch_checks import as_pair

X = torch.randn(10, 6, generator=torch.Generator().manual_seed(3))
Y = torch.arange(10) % 2
PAIRS = [(X[:4], Y[:4]), (X[4:8], Y[4:8]), (X[8:], Y[8:])]


class Stream(IterableDataset[Any]):
    """Samples in their order, turned by the epoch."""

    def __init__(self) -> None:
        self.turn = 0

    def set_epoch(self, epoch: int) -> None:
        self.turn = epoch

    def __iter__(self) -> Iterator[Any]:
        yield from zip(X.roll(self.turn, 0), Y.roll(self.turn, 0), strict=True)


def trained(data: Any, *, epochs: int = 2, target: al.Classes | al.Regression | None = None) -> Any:
    torch.manual_seed(0)
    net = al.al_form([nn.Linear(6, 8), nn.Linear(8, 8)], X, target or al.Classes(2), latent=4)
    al.Trainer(epochs=epochs, lr=0.01).fit(net, data)
    return net.state_dict()


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)


def test_a_loader_and_a_list_are_taken_as_they_are() -> None:
    expected = trained(al.LoaderBatches(PAIRS))
    assert same(trained(PAIRS), expected)
    assert same(trained(DataLoader(TensorDataset(X, Y), batch_size=4)), expected)


def test_arrays_are_judged_as_their_batches_are() -> None:
    pandas = pytest.importorskip("pandas")
    net = al.al_form([nn.Linear(6, 8), nn.Linear(8, 8)], X, al.Classes(2), latent=4)
    expected = al.evaluate(net, PAIRS)
    for pair in ((X, Y), [X.double().numpy(), Y.numpy()]):
        assert al.evaluate(net, pair).scores == expected.scores
    frames = (pandas.DataFrame(X.numpy()), pandas.Series(Y.numpy()))
    assert al.evaluate(net, frames).losses == pytest.approx(expected.losses)
    assert same(trained(frames), trained((X, Y)))
    for call in (lambda: al.evaluate(net, X), lambda: al.Trainer(epochs=1).fit(net, X, Y)):
        with pytest.raises(InputError, match=r"came by itself; expected the pair \(x, y\)"):
            call()


def test_arrays_are_shuffled_batches_of_standard_type() -> None:
    assert same(trained((X, Y)), trained((X.double().numpy(), Y.numpy())))
    torch.manual_seed(0)
    whole = trained([(X, Y)], epochs=1)  # ten rows are one batch, whatever their order
    assert all(
        torch.allclose(whole[name], value) for name, value in trained((X, Y), epochs=1).items()
    )


def test_a_stream_of_unknown_length_is_counted_aloud_and_told_the_epoch() -> None:
    loader = DataLoader(Stream(), batch_size=4)
    turned = [(X.roll(1, 0)[i : i + 4], Y.roll(1, 0)[i : i + 4]) for i in (0, 4, 8)]
    with pytest.warns(UserWarning, match="DataLoader has no length, so its batches are counted"):
        assert len(al.LoaderBatches(loader)) == 3
    batches = al.LoaderBatches(loader, length=3)
    for (x, y), (expected, labels) in zip(batches.epoch(1), turned, strict=True):
        assert torch.equal(x, expected)
        assert torch.equal(y, labels)
    tail = [y.tolist() for _, y in batches.epoch(1, start=2)]
    assert tail == [turned[2][1].tolist()]
    with pytest.raises(al.InputError, match="ends before batch 3; expected 4 batches"):
        list(al.LoaderBatches(loader, length=4).epoch(0))


def test_what_cannot_resume_exactly_says_so_where_it_would_have_to(tmp_path: Path) -> None:
    data = TensorDataset(X, Y)
    loader = DataLoader(data, batch_size=4, num_workers=1, persistent_workers=True)
    net = al.al_form([nn.Linear(6, 8)], X, al.Classes(2), latent=4)
    trainer = al.Trainer(epochs=1)
    trainer.fit(net, loader)  # nothing resumes: nothing to say
    with pytest.warns(UserWarning, match="persistent_workers=True came: .* may end with other"):
        trainer.fit(net, loader, checkpoints=al.Checkpoints(tmp_path))


def test_batches_of_a_collator_of_transformers_train_and_are_scored() -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=16,
    )  # fmt: skip
    rows = [{"input_ids": [1 + i % 2, 5, 6][: 2 + i % 2], "label": i % 2} for i in range(8)]

    class Tokenizer:
        """As much of one as the collator uses."""

        def pad(self, features: list[dict[str, Any]], **_: Any) -> dict[str, torch.Tensor]:
            length = max(len(row["input_ids"]) for row in features)
            ids = [row["input_ids"] + [0] * (length - len(row["input_ids"])) for row in features]
            tensor = torch.tensor(ids)
            return {
                "input_ids": tensor,
                "attention_mask": (tensor > 0).long(),
                "label": torch.tensor([row["label"] for row in features]),
            }

    collate = DataCollatorWithPadding(Tokenizer())
    loader = DataLoader(rows, batch_size=4, collate_fn=collate)  # type: ignore[arg-type]
    example = {key: value for key, value in next(iter(loader)).items() if key != "labels"}
    model = BertForSequenceClassification(config)
    net = al.convert(model, example, target=al.Classes(2), at=2, latent=8)
    al.Trainer(epochs=15, lr=0.02).fit(net, loader)
    assert al.evaluate(net, loader).scores[-1] == 1.0


def test_one_value_a_sample_may_have_no_axis_of_its_own() -> None:
    y = X[:, 0]
    target = al.Regression(1)
    assert same(trained((X, y), target=target), trained((X, y[:, None]), target=target))
    output = torch.zeros(10, 1)
    assert torch.equal(target.score(output, y), -y.square())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (iter(PAIRS), "list_iterator came, which is not iterated anew for every epoch"),
        (7, "a int came"),
        ((X, Y[:9]), r"\[10, 6\] and y of shape \[9\] came; expected the same number of rows"),
        ((np.array([["a"]]), np.zeros(1)), "an array of type <U1 came; expected numbers"),
        ([{"input_ids": X}], "dictionary of input_ids; expected inputs and labels"),
        ([{"x": X, "label": Y, "labels": Y}], "dictionary of x, label, labels; expected"),
        (TensorDataset(X, Y), "TensorDataset came, which holds single samples; expected batches"),
        (list(zip(X, Y, strict=True)), r"targets of shape \[\] .* Of single samples a DataLoader"),
        ([{"input_ids": X.long(), "labels": X.long()}], "the labels are the input_ids themselves"),
    ],
)
def test_data_that_cannot_be_taken_are_named(data: Any, message: str) -> None:
    with pytest.raises(al.InputError, match=message):
        trained(data)


def test_tokens_that_a_masked_language_model_keeps_are_no_copy() -> None:
    ids = torch.arange(40).view(2, 20)
    kept = ids.masked_fill(torch.arange(20) % 10 != 0, -100)
    for labels in (kept, ids.roll(-1, 1)):
        x, y = as_pair({"input_ids": ids, "labels": labels}, 0)
        assert x["input_ids"] is ids
        assert y is labels


class Deadly(Dataset[tuple[Tensor, int]]):
    """Ends the process that asks for its sample 5, as a lack of memory does."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if index == 5:
            os._exit(9)
        return torch.zeros(2), index % 2


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_worker_that_dies_is_named() -> None:
    batches = al.LoaderBatches(DataLoader(Deadly(), batch_size=2, num_workers=1))
    with pytest.raises(al.InputError, match="a worker of the loader died"):
        list(batches.epoch(0))


class Torn:
    """Batches of a worker that is gone: its pipe is broken, and ending it tells so once more."""

    ended = False

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        raise ConnectionResetError("Connection reset by peer")

    def _shutdown_workers(self) -> None:
        self.ended = True
        raise RuntimeError("DataLoader worker (pid 7) exited unexpectedly with exit code 9.")


class TornLoader:
    """Its batches come from a worker that is gone."""

    def __init__(self) -> None:
        self.batches = Torn()

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


def test_a_death_that_is_told_twice_is_named_once() -> None:
    loader = TornLoader()
    with pytest.raises(al.InputError, match=r"a worker of the loader died \(Connection reset"):
        list(al.LoaderBatches(loader).epoch(0))
    assert loader.batches.ended


class Unreachable(Deadly):
    """Its storage cannot be reached: an error that a broken pipe to a worker has too."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        raise ConnectionResetError("no route to the storage")


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_what_the_code_of_a_data_set_raises_comes_as_it_is(workers: int) -> None:
    batches = al.LoaderBatches(DataLoader(Unreachable(), batch_size=2, num_workers=workers))
    with pytest.raises(ConnectionResetError, match="no route to the storage"):
        list(batches.epoch(0))
