"""Runs with a class for every pixel: our own network and models of transformers, AL and BP."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import jaccard_score

from associated_learning.errors import InputError
from associated_learning.runs.folder.open_run import open_run
from associated_learning.runs.inputs import load_data, read_inputs
from associated_learning.runs.networks.families import build_network
from associated_learning.runs.run import train_run
from associated_learning.runs.settings.config import RunConfig
from associated_learning.runs.settings.resolved import resolved
from associated_learning.runs.tasks.deciding import decided
from commands import run_al
from faults import InterruptAt
from test_runs import same_weights

HEIGHT, WIDTH = 12, 24


def squares(folder: Path, count: int = 24, seed: int = 0) -> Path:
    """Write images in which a bright rectangle is class 7, the rest 0, and one row is ignored."""
    draw = np.random.default_rng(seed)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        image = draw.integers(0, 90, (HEIGHT, WIDTH)).astype(np.uint8)
        mask = np.zeros_like(image)
        top, left = draw.integers(0, 6, 2)
        place = slice(top, top + 6), slice(left, left + 9)
        image[place] += 120
        mask[place] = 7
        mask[-1] = 255
        Image.fromarray(image).save(folder / "images" / f"{i}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{i}.png")
    return folder


def small(folder: Path, **changes: Any) -> RunConfig:
    own = {"model": "cnn", "epochs": 2, "batch_size": 8, "threads": 1, **changes}
    return RunConfig(task="segmentation", data=str(folder / "data"), **own)


def arrays(files: list[Path]) -> NDArray[np.uint8]:
    return np.stack([np.asarray(opened(file)) for file in files])


def opened(file: Path) -> Image.Image:
    with Image.open(file) as image:
        return image.copy()


@pytest.mark.parametrize(
    ("model", "method", "metric"),
    [("cnn", "al", "accuracy"), ("cnn", "bp", "iou"), ("hf:vit", "al", "iou")],
)
def test_masks_that_are_written_have_the_scores_that_are_told(
    model: str, method: str, metric: str, tmp_path: Path
) -> None:
    """Accuracy and mean IoU at the first and the last depth, by numpy and scikit-learn."""
    squares(tmp_path / "data" / "train")
    test = squares(tmp_path / "data" / "test", count=5, seed=1)
    folder = tmp_path / "run"
    printed = run_al(
        "train", "--data", tmp_path / "data", "--model", model, "--method", method,
        "--epochs", 4, "--run-folder", folder, "--threads", 1, "--lr", "0.003", "--metric", metric,
    )  # fmt: skip
    assert "holds images and their masks, so this is a segmentation task." in printed
    assert "2 classes at every pixel" in run_al("info", folder)
    told = json.loads(run_al("evaluate", folder, "--json"))
    images = sorted((test / "images").iterdir())
    right = arrays([test / "masks" / image.name for image in images])
    kept = right != 255
    for depth in {*told["accuracy"]} & {"1", "4"}:
        to = tmp_path / f"masks {depth}"
        lines = run_al(
            "predict", folder, *images, "--output", to, "--depth", depth, "--json"
        ).splitlines()
        files = [to / image.name for image in images]
        assert [json.loads(line)["mask"] for line in lines] == list(map(str, files))
        assert sorted(to.iterdir()) == files  # and nothing else
        answers = arrays(files)
        assert set(np.unique(answers)) <= {0, 7}
        right_share = (answers == right)[kept].mean()
        assert told["accuracy"][depth] == pytest.approx(right_share, abs=1e-6)
        iou = jaccard_score(right[kept], answers[kept], average="macro")
        assert told["iou"][depth] == pytest.approx(iou, abs=1e-6)
    result = json.loads((folder / "result.json").read_text())
    assert result["test_scores"] == pytest.approx([*told[metric].values()])
    if (model, metric) == ("cnn", "accuracy"):
        assert max(told["accuracy"].values()) > result["largest_class"]
        assert len(told["accuracy"]) == (4 if method == "al" else 1)


def test_a_killed_run_ends_with_the_same_bits(tmp_path: Path) -> None:
    squares(tmp_path / "data")
    config = small(tmp_path, save_every=1)
    whole = train_run(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_run(config, tmp_path / "killed", callbacks=[InterruptAt(3)])
    resumed = train_run(config, tmp_path / "killed")
    assert resumed.test_losses == whole.test_losses
    same_weights(tmp_path / "whole", tmp_path / "killed")
    (tmp_path / "data" / "classes.txt").write_text("ground 0\nsquare 7\n")
    with pytest.raises(InputError, match="the data have changed since"):
        run_al("evaluate", tmp_path / "killed")


def test_a_pretrained_segmentation_model_brings_its_encoder(tmp_path: Path) -> None:
    """And every exit a linear head of its own; AL and BP begin with the same full depth."""
    config = transformers.SegformerConfig(
        depths=[1, 1], hidden_sizes=[8, 16], num_attention_heads=[1, 2], num_encoder_blocks=2,
        sr_ratios=[2, 1], patch_sizes=[7, 3], strides=[4, 2], mlp_ratios=[2, 2], num_channels=1,
        decoder_hidden_size=16,
    )  # fmt: skip
    torch.manual_seed(3)
    published = transformers.SegformerForSemanticSegmentation(config).eval()
    published.save_pretrained(tmp_path / "model")
    squares(tmp_path / "data")
    chosen = resolved(small(tmp_path, model=f"hf:{tmp_path / 'model'}"))
    inputs = read_inputs(chosen)
    x = inputs.data.train.take(torch.arange(3))
    nets = [
        build_network(one, inputs.spec, backbone=inputs.backbone, pretrained=True).eval()
        for one in (chosen, replace(chosen, method="bp"))
    ]
    assert torch.equal(nets[0](x), nets[1](x))
    assert nets[0](x).shape == (3, HEIGHT, WIDTH, 2)
    own = published.segformer(x).last_hidden_state.movedim(1, -1)
    linear = nets[0].al_layers()[-1].b[0]  # type: ignore[operator]
    small_answers = linear(own).movedim(-1, 1)
    expected = torch.nn.functional.interpolate(small_answers, (HEIGHT, WIDTH), mode="bilinear")
    torch.testing.assert_close(nets[0](x), expected.movedim(1, -1))


def test_images_of_other_sizes_are_resized_when_it_is_asked_for(tmp_path: Path) -> None:
    """A predicted mask has the size of its own image all the same."""
    squares(tmp_path / "data")
    for name in ("images", "masks"):
        file = tmp_path / "data" / name / "3.png"
        opened(file).resize((7, 5), Image.Resampling.NEAREST).save(file)
    with pytest.raises(InputError, match=r"the images have 2 different sizes .* give the"):
        load_data(resolved(small(tmp_path)))
    train_run(small(tmp_path, image_size=8, epochs=1), tmp_path / "run")
    image = tmp_path / "data" / "images" / "3.png"
    with pytest.warns(UserWarning, match="is resized to 8 x 8"):
        run_al("predict", tmp_path / "run", image, "--output", tmp_path / "out")
    assert opened(tmp_path / "out" / "3.png").size == (7, 5)
    assert open_run(tmp_path / "run").spec.shape == (1, 8, 8)


def test_a_killed_prediction_goes_on_by_the_same_command_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there is left alone, and a mask that was begun is never seen."""
    images = sorted((squares(tmp_path / "data", count=12) / "images").iterdir())
    train_run(small(tmp_path, epochs=1), tmp_path / "run")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_al("predict", tmp_path / "run", *images, "--output", whole)
    saved, save = [], Image.Image.save

    def dies_at_the_ninth(image: Image.Image, *args: Any, **kwargs: Any) -> None:
        save(image, *args, **kwargs)
        saved.append(image)
        if len(saved) == 9:
            raise RuntimeError("the power is gone")

    command = ["predict", tmp_path / "run", *images, "--output", killed]
    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", dies_at_the_ninth)
        with pytest.raises(RuntimeError, match="the power is gone"):
            run_al(*command)
    there = {path: path.stat().st_mtime_ns for path in killed.glob("*.png")}
    assert len(there) == 8
    with pytest.raises(InputError, match="no mask is overwritten"):
        run_al(*command, "--depth", 2)
    run_al(*command)
    assert all(path.stat().st_mtime_ns == before for path, before in there.items())
    assert [path.name for path in sorted(killed.iterdir())] == [path.name for path in images]
    for path in killed.iterdir():
        assert path.read_bytes() == (whole / path.name).read_bytes()


def test_balanced_weights_count_pixels(tmp_path: Path) -> None:
    squares(tmp_path / "data")
    chosen = resolved(small(tmp_path, class_weight="balanced"))
    inputs = read_inputs(chosen)
    y = inputs.data.train.targets(torch.arange(len(inputs.data.train)))
    counts = np.array([(y == 0).sum(), (y == 1).sum()])
    assert inputs.spec.class_weights == pytest.approx(counts.sum() / (2 * counts))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "mlp"}, "expected one that keeps the pixels of images: cnn"),
        ({"model": "vgg"}, "expected one that keeps the pixels"),
        ({"augment": True}, "it would move images, but not their masks"),
        ({"label_noise": 0.5}, "no classes of whole samples"),
        ({"readout": "average"}, "reads every pixel as it is"),
        ({"max_length": 5}, "reads a folder of images and masks"),
        ({"block_size": 8}, "has no blocks"),
        ({"target_warmup": 5}, "--association target has no autoencoders"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message):
        resolved(small(tmp_path, **changes))


def test_what_cannot_be_answered_is_refused(tmp_path: Path) -> None:
    squares(tmp_path / "data", count=8)
    folder = tmp_path / "run"
    train_run(small(tmp_path, epochs=1), folder)
    image = tmp_path / "data" / "images" / "0.png"
    masks = tmp_path / "data" / "masks"
    same = tmp_path / "0.jpg"
    opened(image).save(same)
    for words, message in (
        (["predict", folder, image], "no --output came; expected the folder"),
        (["predict", folder, image, "--output", masks], "0.png exists, and no mask is overwritten"),
        (["predict", folder, image, same, "--output", tmp_path / "o"], "would both be .*0.png"),
        (["predict", folder, image, "--output", same], "is a file; expected a folder"),
        (["predict", folder, folder / "config.json", "--output", tmp_path / "o"], "not an image"),
        (["predict", folder, image, "--exit", "auto"], "pixels of one image would leave at"),
        (["evaluate", folder, "--confusion"], "it is for one class a sample"),
        (["export", folder, tmp_path / "folder"], "whose masks no folder tells; export to .*onnx"),
    ):
        with pytest.raises(InputError, match=message):
            run_al(*words)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_in_which_no_pixel_counts_is_refused(split: str, tmp_path: Path) -> None:
    for name in ("train", "test"):
        squares(tmp_path / "data" / name, count=4)
    (tmp_path / "data" / "classes.txt").write_text("ground 0\nsquare 7\n")
    for file in (tmp_path / "data" / split / "masks").iterdir():
        Image.new("L", (WIDTH, HEIGHT), 255).save(file)
    with pytest.raises(InputError, match=f"no pixel of the {split} split counts: .* 255 alone"):
        load_data(resolved(small(tmp_path)))


def test_a_task_that_is_named_stays(tmp_path: Path) -> None:
    squares(tmp_path / "data", count=1)
    asked = RunConfig(data=str(tmp_path / "data"), task="classification")
    assert decided(asked) == (asked, None)
