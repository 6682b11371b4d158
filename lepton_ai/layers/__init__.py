"""The building blocks of models, and every operation from array to array. They know no device."""

from lepton_ai.layers.activation_layers import Activation, ReLU, Softmax
from lepton_ai.layers.activations import get_activation
from lepton_ai.layers.attention import MultiHeadAttention
from lepton_ai.layers.augmentation import RandomFlip, RandomTranslation
from lepton_ai.layers.config import Configured, deserialize, serialize
from lepton_ai.layers.conv import Conv1D, Conv2D, Conv3D
from lepton_ai.layers.conv_transpose import Conv1DTranspose, Conv2DTranspose, Conv3DTranspose
from lepton_ai.layers.dense import Dense
from lepton_ai.layers.dropout import Dropout
from lepton_ai.layers.embedding import Embedding
from lepton_ai.layers.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    Zeros,
    get_initializer,
)
from lepton_ai.layers.kernel import KernelLayer, KernelOptions
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.merging import Add, Average, Concatenate, Maximum, MergeLayer, Minimum, Multiply, Subtract
from lepton_ai.layers.normalization import BatchNormalization, LayerNormalization
from lepton_ai.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, GlobalMaxPooling2D, MaxPooling2D
from lepton_ai.layers.random import Draws, RandomLayer, draws_for
from lepton_ai.layers.recurrent import GRU, LSTM
from lepton_ai.layers.regularizers import L1, L1L2, L2, Regularizer, get_regularizer
from lepton_ai.layers.reshaping import Flatten, Reshape
from lepton_ai.layers.resizing import Resizing
from lepton_ai.layers.scaling import Normalization, Rescaling
from lepton_ai.layers.separable import DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D
from lepton_ai.layers.shapes import is_shape, leaves, map_leaves
from lepton_ai.layers.symbolic import Input, Node, SymbolicTensor, is_symbolic

__all__ = [
    "GRU",
    "L1",
    "L1L2",
    "L2",
    "LSTM",
    "Activation",
    "Add",
    "Average",
    "AveragePooling2D",
    "BatchNormalization",
    "Concatenate",
    "Configured",
    "Constant",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Draws",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAveragePooling2D",
    "GlobalMaxPooling2D",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "Input",
    "KernelLayer",
    "KernelOptions",
    "Layer",
    "LayerNormalization",
    "LayerOptions",
    "LecunNormal",
    "LecunUniform",
    "MaxPooling2D",
    "Maximum",
    "MergeLayer",
    "Minimum",
    "MultiHeadAttention",
    "Multiply",
    "Node",
    "Normalization",
    "Ones",
    "Orthogonal",
    "RandomFlip",
    "RandomLayer",
    "RandomNormal",
    "RandomTranslation",
    "RandomUniform",
    "ReLU",
    "Regularizer",
    "Rescaling",
    "Reshape",
    "Resizing",
    "SeparableConv1D",
    "SeparableConv2D",
    "Softmax",
    "Subtract",
    "SymbolicTensor",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "deserialize",
    "draws_for",
    "get_activation",
    "get_initializer",
    "get_regularizer",
    "is_shape",
    "is_symbolic",
    "leaves",
    "map_leaves",
    "serialize",
]
