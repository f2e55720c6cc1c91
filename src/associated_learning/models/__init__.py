"""The paper's network families in backpropagation form: ordinary modules, split into layers.

Every model has `layers` (the encoders f_1..f_L), a `readout` and a `head`; the Associated
Learning form is made from `layers` alone.
"""

from associated_learning.models.bilstm import BiLSTM, BiLSTMLayer
from associated_learning.models.cnn import CNN
from associated_learning.models.embedding import TokenEmbedding
from associated_learning.models.layered import LayeredModel
from associated_learning.models.mlp import MLP
from associated_learning.models.readouts import (
    Flatten,
    GlobalAverage,
    KeptPositions,
    LastState,
    MaskedMean,
    MeanMax,
    PooledFlatten,
    StateConcat,
    StateSum,
)
from associated_learning.models.segmentation_cnn import SegmentationCNN
from associated_learning.models.transformer import Transformer, TransformerLayer
from associated_learning.models.vgg import VGG

__all__ = [
    "CNN",
    "MLP",
    "VGG",
    "BiLSTM",
    "BiLSTMLayer",
    "Flatten",
    "GlobalAverage",
    "KeptPositions",
    "LastState",
    "LayeredModel",
    "MaskedMean",
    "MeanMax",
    "PooledFlatten",
    "SegmentationCNN",
    "StateConcat",
    "StateSum",
    "TokenEmbedding",
    "Transformer",
    "TransformerLayer",
]
