"""The building blocks of models, and every operation from array to array. They know no device."""

from lepton_ai.layers.activation_layers import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from lepton_ai.layers.activations import get_activation
from lepton_ai.layers.attention import MultiHeadAttention
from lepton_ai.layers.augmentation import RandomFlip, RandomTranslation
from lepton_ai.layers.borders import Cropping1D, Cropping2D, Cropping3D, ZeroPadding1D, ZeroPadding2D, ZeroPadding3D
from lepton_ai.layers.config import Configured, deserialize, serialize
from lepton_ai.layers.conv import Conv1D, Conv2D, Conv3D
from lepton_ai.layers.conv_transpose import Conv1DTranspose, Conv2DTranspose, Conv3DTranspose
from lepton_ai.layers.dense import Dense
from lepton_ai.layers.dropout import AlphaDropout, Dropout, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D
from lepton_ai.layers.embedding import Embedding
from lepton_ai.layers.global_pooling import (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
)
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
from lepton_ai.layers.merging import Add, Average, Concatenate, Dot, Maximum, MergeLayer, Minimum, Multiply, Subtract
from lepton_ai.layers.noise import GaussianDropout, GaussianNoise
from lepton_ai.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from lepton_ai.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from lepton_ai.layers.random import Draws, RandomLayer, draws_for
from lepton_ai.layers.recurrent import GRU, LSTM
from lepton_ai.layers.regularizers import L1, L1L2, L2, Regularizer, get_regularizer
from lepton_ai.layers.reshaping import Flatten, Permute, RepeatVector, Reshape
from lepton_ai.layers.resizing import Resizing
from lepton_ai.layers.scaling import Normalization, Rescaling
from lepton_ai.layers.separable import DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D
from lepton_ai.layers.shapes import is_shape, leaves, map_leaves
from lepton_ai.layers.symbolic import Input, Node, SymbolicTensor, is_symbolic
from lepton_ai.layers.tracking import within
from lepton_ai.layers.upsampling import UpSampling1D, UpSampling2D, UpSampling3D

__all__ = [
    "ELU",
    "GRU",
    "L1",
    "L1L2",
    "L2",
    "LSTM",
    "Activation",
    "Add",
    "AlphaDropout",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
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
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Dot",
    "Draws",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GlorotNormal",
    "GlorotUniform",
    "GroupNormalization",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "Input",
    "KernelLayer",
    "KernelOptions",
    "Layer",
    "LayerNormalization",
    "LayerOptions",
    "LeakyReLU",
    "LecunNormal",
    "LecunUniform",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Maximum",
    "MergeLayer",
    "Minimum",
    "MultiHeadAttention",
    "Multiply",
    "Node",
    "Normalization",
    "Ones",
    "Orthogonal",
    "PReLU",
    "Permute",
    "RMSNormalization",
    "RandomFlip",
    "RandomLayer",
    "RandomNormal",
    "RandomTranslation",
    "RandomUniform",
    "ReLU",
    "Regularizer",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Resizing",
    "SeparableConv1D",
    "SeparableConv2D",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "Subtract",
    "SymbolicTensor",
    "TruncatedNormal",
    "UnitNormalization",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "VarianceScaling",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
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
    "within",
]
