"""Files: nothing is lost, nothing foreign is taken in."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

import associated_learning as al
from associated_learning.state.files import read_json, replaced_folder, write_json
from associated_learning.state.optimizers import make_optimizers
from associated_learning.state.snapshot import Snapshot
from associated_learning.state.training_state import Candidates, EpochRecord, TrainingState
from small_networks import batches_of, dense_network, full_disk, noisy_network, without_digests


def trained(folder: Path) -> al.ALNetwork:
    net = noisy_network(2)
    train = al.LoaderBatches(batches_of(3))
    al.Trainer(epochs=2).fit(net, train, train, checkpoints=al.Checkpoints(folder))
    return net


def test_every_layer_is_a_file_that_stands_alone(tmp_path: Path) -> None:
    net = trained(tmp_path)
    last = al.Checkpoints(tmp_path).path("last")
    for i, layer in enumerate(net.layers, start=1):
        found = load_file(last / f"layer-{i}.safetensors")
        assert found.keys() == layer.state_dict().keys()


def test_nothing_is_pickled(tmp_path: Path) -> None:
    trained(tmp_path)
    kinds = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert kinds == {".safetensors", ".json"}


@pytest.mark.parametrize("optimizer", ["Adam", "SGD", "RMSprop", "Adagrad", "AdamW", "NAdam"])
def test_any_optimizer_is_saved_with_its_state(optimizer: str, tmp_path: Path) -> None:
    net, kind = dense_network(2), getattr(torch.optim, optimizer)
    optimizers = make_optimizers(net.blocks(), kind, lr=0.01)
    ((x, y),) = batches_of(1)
    al.update_network(net.blocks(), optimizers, x, net.target.encode(y), step=0)
    checkpoints = al.Checkpoints(tmp_path)
    checkpoints.save_last(Snapshot.of(net.parts(), optimizers, [None, None]), {"step": 1})
    again = make_optimizers(net.blocks(), kind, lr=0.5)
    checkpoints.load_last(net, again, [None, None])
    for one, two in zip(optimizers, again, strict=True):
        assert one is not None
        assert two is not None
        torch.testing.assert_close(one.state_dict()["state"], two.state_dict()["state"])
        assert two.param_groups[0]["lr"] == 0.01


@settings(deadline=None)
@given(st.integers(1, 400))
def test_a_truncated_file_is_named_and_changes_nothing(cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        net = dense_network(2)
        al.save_weights(net, Path(folder))
        path = Path(folder) / "layer-2.safetensors"
        path.write_bytes(path.read_bytes()[:-cut])
        other = dense_network(2)
        before = {key: value.clone() for key, value in other.state_dict().items()}
        with pytest.raises(al.CheckpointError, match=r"layer-2.safetensors cannot be read"):
            al.load_weights(other, Path(folder))
        assert all(torch.equal(v, before[k]) for k, v in other.state_dict().items())


def test_weights_of_another_network_are_refused_whole(tmp_path: Path) -> None:
    trained(tmp_path)
    other = dense_network(2)
    before = {key: value.clone() for key, value in other.state_dict().items()}
    with pytest.raises(al.CheckpointError, match=r"is of another network: .* has shape"):
        al.load_weights(other, al.Checkpoints(tmp_path).path("last"))
    assert all(torch.equal(v, before[k]) for k, v in other.state_dict().items())


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    for i in (1, 2):
        (tmp_path / f"layer-{i}.safetensors").write_bytes(b"\x80\x04 a pickle, or anything")
    with pytest.raises(al.CheckpointError, match="truncated or no safetensors file"):
        al.load_weights(dense_network(2), tmp_path)


def test_a_folder_without_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(al.CheckpointError, match="holds no best checkpoint"):
        al.Checkpoints(tmp_path).load_best(dense_network(1))


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    net = trained(tmp_path)
    path = al.Checkpoints(tmp_path).path("last") / "state.json"
    write_json(path, {**read_json(path), "format": 99})
    without_digests(tmp_path)
    optimizers = make_optimizers(net.blocks())
    with pytest.raises(al.CheckpointError, match="another library version, or not from"):
        al.Checkpoints(tmp_path).load_last(net, optimizers, [None, None])


def test_a_full_disk_is_an_error_that_harms_no_earlier_file(tmp_path: Path) -> None:
    net = trained(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    optimizers = make_optimizers(net.blocks())
    with full_disk(64), pytest.raises(al.CheckpointError, match=r"could not be saved .* Free disk"):
        al.Checkpoints(tmp_path).save_last(
            Snapshot.of(net.parts(), optimizers, [None, None]), {"step": 99}
        )
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    al.Checkpoints(tmp_path).load_last(net, optimizers, [None, None])


def test_old_checkpoints_are_cleared_away(tmp_path: Path) -> None:
    trained(tmp_path)
    assert len(list(tmp_path.glob("last-*"))) == 1
    assert len(list(tmp_path.glob("best-*"))) == 1


def test_json_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"a": 2, "b": object()})
    assert read_json(path) == {"a": 1}
    path.write_text('{"a": ')
    with pytest.raises(al.CheckpointError, match=r"a.json cannot be read as JSON"):
        read_json(path)


def test_a_training_state_survives_json() -> None:
    record = EpochRecord(
        epoch=1,
        step=4,
        losses=[{"a": 0.1}],
        scores=[0.5],
        validation_losses=[1.5],
        lr=[0.1],
        seconds=1.0,
        validation_seconds=0.5,
    )
    state = TrainingState(step=3)
    assert TrainingState.from_json(json.loads(json.dumps(state.to_json()))) == state
    state.finish_epoch(record, Candidates(dict(enumerate(record.scores, start=1))))
    assert TrainingState.from_json(json.loads(json.dumps(state.to_json()))) == state


@pytest.mark.parametrize("which", ["last", "best"])
def test_a_flipped_bit_anywhere_is_noticed(which: str, tmp_path: Path) -> None:
    net = trained(tmp_path)
    checkpoints, optimizers = al.Checkpoints(tmp_path), make_optimizers(net.blocks())
    for path in checkpoints.path(which).iterdir():
        content = path.read_bytes()
        for place in {0, len(content) // 2, len(content) - 1}:
            changed = bytearray(content)
            changed[place] ^= 1
            path.write_bytes(changed)
            with pytest.raises(al.CheckpointError, match=f"{path.name} has changed since it was"):
                if which == "best":
                    checkpoints.load_best(net)
                else:
                    checkpoints.load_last(net, optimizers, [None, None])
        path.write_bytes(content)
    checkpoints.load_best(net)


def test_a_file_that_is_gone_is_noticed(tmp_path: Path) -> None:
    net = trained(tmp_path)
    (al.Checkpoints(tmp_path).path("best") / "layer-2.safetensors").unlink()
    with pytest.raises(al.CheckpointError, match=r"layer-2.safetensors cannot be read .* missing"):
        al.Checkpoints(tmp_path).load_best(net)


def test_checkpoints_that_are_older_than_digests_stay_readable(tmp_path: Path) -> None:
    net = trained(tmp_path)
    without_digests(tmp_path)
    checkpoints = al.Checkpoints(tmp_path)
    checkpoints.load_best(net)
    checkpoints.load_last(net, make_optimizers(net.blocks()), [None, None])


@pytest.mark.parametrize(
    "index",
    [
        {"best": "../elsewhere"},
        {"best": "/tmp"},
        {"best": "best-of-2023"},
        {"best": "last-000000001"},
        {"bets": "best-000000001"},
        {"best": {"folder": "best-000000001", "files": {"../x": "0"}}},
        {"best": {"folder": "best-000000001", "files": ["x"]}},
        {"best": {"folder": 3, "files": {}}},
        {"best": {"colour": "red"}},
        {"best": 7},
        ["best"],
    ],
)
def test_an_index_that_leads_elsewhere_is_refused(index: object, tmp_path: Path) -> None:
    write_json(tmp_path / "index.json", index)
    with pytest.raises(al.CheckpointError, match=r"index.json is not from this library, or was"):
        al.Checkpoints(tmp_path).path("best")


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    for name in ("best-of-2023", "last-000000001", "best-000000001", ".new-ideas", "last-words"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis").write_text("years of work")
    before = set(tmp_path.rglob("thesis"))
    trained(tmp_path)
    assert set(tmp_path.rglob("thesis")) == before


def test_what_was_saved_but_never_named_is_cleared_away(tmp_path: Path) -> None:
    """As a kill leaves it between the folder's new name and the index."""
    with replaced_folder(tmp_path / "last-000000777") as new:
        (new / "state.json").write_text("{}")
    trained(tmp_path)
    assert not (tmp_path / "last-000000777").exists()


def test_who_may_read_is_up_to_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        trained(tmp_path)
    finally:
        os.umask(before)
    found = [path for path in tmp_path.rglob("*") if path.name != "owner.json"]
    assert {path.stat().st_mode & 0o777 for path in found if path.is_file()} == {0o640}
    assert {path.stat().st_mode & 0o777 for path in found if path.is_dir()} == {0o750}


@pytest.mark.parametrize("content", ["[" * 200 + "]" * 200, '{"a": ' * 100_000, '"'], ids=len)
def test_hostile_json_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(al.CheckpointError, match=r"config.json cannot be read as JSON"):
        read_json(path)


def test_brackets_in_texts_are_not_nested(tmp_path: Path) -> None:
    words = [["[" * 300, "\\", '"[{'] for _ in range(60)]
    write_json(tmp_path / "words.json", words)
    assert read_json(tmp_path / "words.json") == words


def test_a_pipe_is_no_file_and_nothing_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(al.CheckpointError, match=r"config.json is no regular file"):
        read_json(tmp_path / "config.json")
    os.mkfifo(tmp_path / "layer-1.safetensors")
    with pytest.raises(al.CheckpointError, match=r"layer-1.safetensors is no regular file"):
        al.load_weights(dense_network(1), tmp_path)


def test_json_that_was_changed_is_noticed_and_older_is_read(tmp_path: Path) -> None:
    path = tmp_path / "preprocessing.json"
    write_json(path, {"mean": [0.125], 3: "three"})
    assert read_json(path) == {"mean": [0.125], "3": "three"}
    path.write_text(path.read_text().replace("0.125", "0.135"))
    with pytest.raises(al.CheckpointError, match=r"preprocessing.json has changed since it was"):
        read_json(path)
    path.write_text('{"mean": [0.125]}')
    assert read_json(path) == {"mean": [0.125]}
