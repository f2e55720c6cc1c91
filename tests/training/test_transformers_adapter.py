"""ALTrainer trains the same weights as our own loop, by the settings of TrainingArguments."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification, TrainingArguments

import associated_learning as al
from associated_learning.training.adapters.transformers import ALTrainer

X = torch.randn(16, 6, generator=torch.Generator().manual_seed(3))
Y = (X[:, 0] > 0).long()
ROWS = [{"x": x, "label": int(y)} for x, y in zip(X, Y, strict=True)]


def network(dropout: float = 0.0) -> al.ALNetwork:
    torch.manual_seed(0)
    lower = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(dropout))
    encoders = [lower, nn.Linear(8, 8)]
    # contrast compares the samples of a batch, which halves do not have
    return al.al_form(encoders, X, al.Classes(2), latent=4, association=None)


def arguments(folder: Path, **settings: Any) -> TrainingArguments:
    usual = {
        "per_device_train_batch_size": 4, "num_train_epochs": 2, "learning_rate": 0.01,
        "lr_scheduler_type": "constant", "report_to": [], "disable_tqdm": True, "use_cpu": True,
        "save_strategy": "no", "logging_strategy": "no",
    }  # fmt: skip
    return TrainingArguments(output_dir=str(folder), **{**usual, **settings})


def order_of(trainer: ALTrainer, net: al.ALNetwork) -> list[Any]:
    """Train, and return the batches that came."""
    came: list[Any] = []
    net.layers[0].register_forward_pre_hook(lambda _, inputs: came.append(inputs))
    trainer.train()
    return came


@pytest.mark.parametrize("clip", [0.0, 0.05])
def test_one_step_for_all_is_a_step_of_each_layer_alone(tmp_path: Path, clip: float) -> None:
    net, own = network(), network()
    trainer = ALTrainer(net, arguments(tmp_path, max_grad_norm=clip), train_dataset=ROWS)
    batches = order_of(trainer, net)
    assert len(batches) == 8
    optimizers = [torch.optim.AdamW(b.parameters(), lr=0.01, weight_decay=0) for b in own.blocks()]
    rule = al.UpdateRule(clip=clip or None)
    for step, (x, t0) in enumerate(batches):
        al.update_network(own.blocks(), optimizers, x, t0, step=step, rule=rule)
    for mine, theirs in zip(own.parameters(), net.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-6)


def test_accumulated_batches_are_one_update_of_their_mean(tmp_path: Path) -> None:
    whole, halves = network(), network()
    for net, size, steps in ((whole, 16, 1), (halves, 8, 2)):
        settings = {"per_device_train_batch_size": size, "gradient_accumulation_steps": steps}
        args = arguments(tmp_path, num_train_epochs=3, optim="sgd", **settings)
        ALTrainer(net, args, train_dataset=ROWS).train()
    for a, b in zip(whole.parameters(), halves.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    through, stopped = network(0.5), network(0.5)
    settings = {"save_strategy": "steps", "save_steps": 5, "lr_scheduler_type": "linear"}
    ALTrainer(through, arguments(tmp_path / "a", **settings), train_dataset=ROWS).train()
    again = ALTrainer(stopped, arguments(tmp_path / "b", **settings), train_dataset=ROWS)
    again.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-5"))
    for a, b in zip(through.parameters(), stopped.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_converted_model_reads_its_columns_learns_and_is_scored(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=16,
    )  # fmt: skip
    ids = [[1 + i % 2, 5, 6] for i in range(16)]
    masks, labels = [[1, 1, 1]] * 16, [i % 2 for i in range(16)]
    columns = {"input_ids": ids, "attention_mask": masks, "label": labels, "text": ["a"] * 16}
    data = datasets.Dataset.from_dict(columns)
    example = {name: torch.tensor(columns[name][:2]) for name in ("input_ids", "attention_mask")}
    model = BertForSequenceClassification(config)
    net = al.convert(model, example, target=al.Classes(2), at=2, latent=8)

    def accuracy(result: Any) -> dict[str, float]:
        return {"accuracy": float((result.predictions.argmax(1) == result.label_ids).mean())}

    args = arguments(tmp_path, num_train_epochs=12)
    trainer = ALTrainer(net, args, train_dataset=data, eval_dataset=data, compute_metrics=accuracy)
    trainer.train()
    found = trainer.evaluate()
    assert found["eval_accuracy"] == 1.0
    batch = ({**example}, torch.tensor(labels[:2]))
    assert math.isclose(found["eval_loss"], al.evaluate(net, [batch]).losses[-1], rel_tol=1e-3)
    unlabelled = trainer.predict(data.remove_columns("label"))
    assert unlabelled.predictions.argmax(1).tolist() == labels


def test_a_frozen_layer_stays(tmp_path: Path) -> None:
    net = network()
    net.layers[0].requires_grad_(False)
    before = [p.clone() for p in net.parameters()]
    ALTrainer(net, arguments(tmp_path), train_dataset=ROWS).train()
    same = [torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True)]
    lower = len(list(net.layers[0].parameters()))
    assert all(same[:lower])
    assert not any(same[lower:])


def test_what_layers_alone_cannot_follow_is_refused(tmp_path: Path) -> None:
    with pytest.raises(al.InputError, match=r"label_smoothing_factor=0\.1 came for ALTrainer"):
        ALTrainer(network(), arguments(tmp_path, label_smoothing_factor=0.1))
    encoders = [nn.Linear(6, 8), nn.Linear(8, 8)]
    net = al.al_form(encoders, X, al.Classes(2), bridge="block", bridge_momentum=0.5)
    with pytest.raises(al.InputError, match="a network with bridge_momentum or overlap came"):
        ALTrainer(net, arguments(tmp_path))
