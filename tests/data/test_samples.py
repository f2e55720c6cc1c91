from __future__ import annotations

import torch

from associated_learning.data import ImageSamples, TableSamples, TextSamples


def text_samples() -> TextSamples:
    return TextSamples(
        tokens=torch.tensor([5, 6, 7, 8, 9, 10], dtype=torch.int32),
        offsets=torch.tensor([0, 3, 4, 6]),
        labels=torch.tensor([0, 1, 2]),
    )


def test_texts_are_padded_on_the_right_to_the_longest_of_the_batch() -> None:
    x = text_samples().take(torch.tensor([2, 1]))
    assert x.values.dtype == x.lengths.dtype == torch.int64
    assert x.values.tolist() == [[9, 10], [8, 0]]
    assert x.lengths.tolist() == [2, 1]


def test_a_subset_of_texts_holds_those_texts_in_that_order() -> None:
    subset = text_samples().subset(torch.tensor([2, 0]))
    assert len(subset) == 2
    assert subset.labels.tolist() == [2, 0]
    assert subset.take(torch.tensor([0, 1])).values.tolist() == [[9, 10, 0], [5, 6, 7]]
    assert len(subset.tokens) == 5


def test_images_are_normalised_per_channel() -> None:
    pixels = torch.tensor([0, 51, 102, 255], dtype=torch.uint8).view(1, 2, 1, 2)
    samples = ImageSamples(
        pixels=pixels,
        labels=torch.tensor([0]),
        mean=torch.tensor([0.1, 0.2]),
        std=torch.tensor([0.5, 2.0]),
    )
    x = samples.take(torch.tensor([0]))
    expected = [(0 - 0.1) / 0.5, (0.2 - 0.1) / 0.5, (0.4 - 0.2) / 2, (1 - 0.2) / 2]
    torch.testing.assert_close(x.flatten(), torch.tensor(expected))
    assert samples.pixels.flatten().tolist() == [0, 51, 102, 255]


def test_subsets_and_new_labels_leave_the_samples_as_they_are() -> None:
    samples = TableSamples(features=torch.arange(3.0).unsqueeze(1), labels=torch.arange(3))
    noisy = samples.relabelled(torch.tensor([2, 2, 2])).subset(torch.tensor([1]))
    assert (noisy.features.tolist(), noisy.labels.tolist()) == ([[1.0]], [2])
    assert samples.labels.tolist() == [0, 1, 2]
