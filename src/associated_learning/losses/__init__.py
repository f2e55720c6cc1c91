"""What one layer learns by: Equation 3, and what may stand in its place; one noun a file."""

from associated_learning.losses.contrast import contrastive_loss
from associated_learning.losses.cross_entropy import linear_cross_entropy
from associated_learning.losses.equation3 import associated_loss, autoencoder_loss
from associated_learning.losses.scpl import scpl_loss, supervised_contrast
from associated_learning.losses.similarity import predsim_loss, similarity_loss
from associated_learning.losses.table import LOCAL_LOSSES, LocalLoss, PairLoss

__all__ = [
    "LOCAL_LOSSES",
    "LocalLoss",
    "PairLoss",
    "associated_loss",
    "autoencoder_loss",
    "contrastive_loss",
    "linear_cross_entropy",
    "predsim_loss",
    "scpl_loss",
    "similarity_loss",
    "supervised_contrast",
]
