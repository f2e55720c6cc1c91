"""What came out of a run, and the epochs it went through, as its folder keeps them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from associated_learning.conversion.html_table import html_table
from associated_learning.data import BlockSamples, DataSet, MaskedSamples, TagSamples, Vectors
from associated_learning.errors import CheckpointError
from associated_learning.runs.folder.provenance import Provenance
from associated_learning.runs.ledger.answers import pack_answers
from associated_learning.runs.tasks.regression import explained_variances
from associated_learning.state.files import read_json, write_json
from associated_learning.state.lines import read_lines
from associated_learning.state.sealed import unsealed
from associated_learning.state.training_state import EpochRecord, TrainingState

__all__ = [
    "RunResult",
    "TestScores",
    "make_result",
    "read_history",
    "read_result",
    "told_scores",
    "write_result",
]


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What came out of a finished run.

    Attributes:
        test_scores: Test accuracy at depth 1, 2, ..., L, of the best epoch on validation; of a
            regression R², as all scores. Where the run has a metric of its own, that, with its
            sign turned where less is better.
        validation_scores: Validation accuracy at every depth that was kept, in that epoch.
        best_epoch: That epoch, from 1.
        epochs: Number of epochs trained.
        seconds: Time of all training, without validation.
        vector_coverage: Share of the vocabulary that the word vectors know; None without.
        commit: Commit of the code it was trained by (see `Provenance`).
        torch: Version of torch.
        hardware: Processor and number of threads, or GPU.
        train_samples: Number of training samples.
        train_pool: Number of those that they were chosen from (see `DataSet`).
        test_samples: Number of test samples.
        vector_dim: Width of the word vectors; None without.
        parameters: Number of trained parameters.
        associated: Mean associated loss of each layer in the best epoch (Tables 9 and 10); empty
            for bp.
        validation_curve: Validation accuracy at every depth, epoch by epoch (Figures 3 and 6).
        training_curve: Training accuracy after every epoch, where ``watch_training`` is set.
        answers: Which test samples full depth got right (`unpack_answers`).
        best_depth: Depth of the best validation score in the best epoch.
        test_losses: Where y has positions: the test loss at every depth. Scores are then means over
            all positions; those of a language model on validation are losses with the sign turned.
        validation_losses: Likewise on the validation data, in the best epoch.
        best_by_loss: Whether an earlier epoch had the best score too, and the loss chose.
        largest_class: Share of the validation samples that are of the most frequent class; of
            several labels a sample, of the answers that are right if each is always the usual one.
    """

    test_scores: list[float]
    validation_scores: list[float]
    best_epoch: int
    epochs: int
    seconds: float
    # runs that were finished before these were kept do not tell them
    commit: str = "unknown"
    torch: str = "unknown"
    hardware: str = "unknown"
    train_samples: int | None = None
    train_pool: int | None = None
    test_samples: int | None = None
    vector_dim: int | None = None
    vector_coverage: float | None = None
    parameters: int | None = None
    associated: list[float] = field(default_factory=list)
    validation_curve: list[list[float]] = field(default_factory=list)
    training_curve: list[float] = field(default_factory=list)
    answers: str | None = None
    best_depth: int | None = None
    best_by_loss: bool = False
    largest_class: float | None = None
    test_losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)

    def _repr_html_(self) -> str:
        pairs = enumerate(zip(self.validation_scores, self.test_scores, strict=True), start=1)
        rows = [(str(i), f"{seen:.4f}", f"{test:.4f}") for i, (seen, test) in pairs]
        title = f"best epoch {self.best_epoch} of {self.epochs}, {self.seconds:.1f} s of training"
        return html_table(title, ("depth", "validation", "test"), rows)

    def rounded(self) -> RunResult:
        """Return it with as many digits as a line of the ledger keeps."""
        return replace(
            self,
            test_scores=[round(score, 6) for score in self.test_scores],
            validation_scores=[round(score, 6) for score in self.validation_scores],
            seconds=round(self.seconds, 1),
            associated=[float(f"{loss:.4g}") for loss in self.associated],
            validation_curve=[[round(s, 4) for s in scores] for scores in self.validation_curve],
            training_curve=[round(score, 4) for score in self.training_curve],
            largest_class=None if self.largest_class is None else round(self.largest_class, 6),
        )


class TestScores(NamedTuple):
    """What the test data say of a network.

    Attributes:
        scores: Mean score at depth 1, 2, ..., L.
        losses: Mean losses likewise, where y has positions.
        samples: Number of samples.
        answers: Which of them full depth got right, where y is one class a sample.
    """

    scores: list[float]
    losses: list[float]
    samples: int
    answers: str | None

    @classmethod
    def of(cls, scores: Tensor) -> TestScores:
        """Return those of one label a sample: the score of each at every depth ``[L, N]``."""
        answers = pack_answers(scores[-1].numpy() > 0)
        return cls(scores.mean(dim=1).tolist(), [], scores.shape[1], answers)

    @classmethod
    def of_numbers(cls, scores: Tensor, targets: Tensor) -> TestScores:
        """Return those of a regression: R² at every depth.

        Args:
            scores: Of each sample at every depth ``[L, N]``, squared errors with the sign turned.
            targets: ``[N]``.
        """
        explained = explained_variances(scores.double().mean(1).tolist(), targets)
        return cls(explained, [], scores.shape[1], None)


def make_result(
    state: TrainingState,
    *,
    test: TestScores,
    data: DataSet,
    by_accuracy: bool,
    parameters: int,
    vectors: Vectors | None,
    training_curve: list[float],
    origin: Provenance,
) -> RunResult:
    """Put together the result of a run.

    Args:
        state: Where training ended.
        test: Those of the weights of the best epoch.
        data: What it was trained on.
        by_accuracy: Whether scores are accuracies, which always the same answer has too.
        parameters: See `RunResult`.
        vectors: The word vectors, if there are any.
        training_curve: See `RunResult`.
        origin: By what code and on what machine it was trained.
    """
    best = state.records[state.best_epoch - 1]
    depths = len(test.scores)  # a network that grew may have tried more
    curve = [told_scores(record.scores, data) for record in state.records]
    associated = [losses["associated"] for losses in best.losses[:depths] if "associated" in losses]
    return RunResult(
        test_scores=test.scores,
        validation_scores=told_scores(best.scores[:depths], data),
        best_epoch=state.best_epoch,
        epochs=state.epoch,
        seconds=sum(record.seconds for record in state.records),
        vector_coverage=None if vectors is None else vectors.coverage,
        train_samples=len(data.train),
        train_pool=data.train_pool,
        test_samples=test.samples,
        vector_dim=None if vectors is None else vectors.weights.shape[1],
        parameters=parameters,
        associated=associated,
        validation_curve=curve,
        training_curve=training_curve,
        answers=test.answers,
        best_depth=best.best_depth(depths),
        best_by_loss=state.best_by_loss,
        largest_class=_largest_share(data) if by_accuracy else None,
        test_losses=test.losses,
        validation_losses=best.validation_losses[:depths] if test.losses else [],
        **origin._asdict(),
    )


def told_scores(scores: list[float], data: DataSet) -> list[float]:
    """Return validation scores as a result tells them: R² for squared errors of a regression."""
    if data.target_scale is None:
        return scores
    return explained_variances(scores, data.validation.labels)


def _largest_share(data: DataSet) -> float | None:
    samples = data.validation
    if isinstance(samples, BlockSamples):  # a token is no class that anyone would always answer
        return None
    if isinstance(samples, MaskedSamples):
        counts = samples.class_counts(data.num_classes)
        return float(counts.max()) / float(counts.sum())
    labels = samples.tags if isinstance(samples, TagSamples) else samples.labels
    if labels.dim() > 1:  # several a sample: the usual answer to each label
        shares = labels.double().mean(0)
        return float(torch.maximum(shares, 1 - shares).mean())
    counts = labels[labels >= 0].bincount()
    return float(counts.max()) / float(counts.sum())


def write_result(folder: Path, result: RunResult) -> None:
    """Write the result into the run's folder."""
    write_json(folder / "result.json", asdict(result))


def read_result(folder: Path) -> RunResult | None:
    """Read the result of a run; None if it is not finished.

    Raises:
        CheckpointError: The file is foreign.
    """
    path = folder / "result.json"
    if not path.exists():
        return None
    try:
        return RunResult(**read_json(path))
    except TypeError as error:
        raise CheckpointError(
            f"{path} is no result of a run of this library ({error}); name another folder."
        ) from error


def read_history(folder: Path) -> list[EpochRecord]:
    """Return the finished epochs of the run in a folder.

    Raises:
        CheckpointError: The metrics are missing or foreign; names the line. A last line that was
            cut off is left out.
    """
    path = folder / "metrics.jsonl"
    lines = read_lines(path).whole  # training that goes on writes a torn last line anew
    return [_record(f"{path}, line {number}", line) for number, line in enumerate(lines, start=1)]


def _record(where: str, line: str) -> EpochRecord:
    try:
        return EpochRecord(**unsealed(json.loads(line)))
    except (ValueError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{where} is no epoch of a run of this library ({error}); name another run."
        ) from error
