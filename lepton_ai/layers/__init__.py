"""The building blocks of models, and every operation from array to array. They know no device."""

from lepton_ai.layers.activation_layers import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from lepton_ai.layers.activations import get_activation
from lepton_ai.layers.adaptive_pooling import (
    AdaptiveAveragePooling1D,
    AdaptiveAveragePooling2D,
    AdaptiveAveragePooling3D,
    AdaptiveMaxPooling1D,
    AdaptiveMaxPooling2D,
    AdaptiveMaxPooling3D,
)
from lepton_ai.layers.attention import AdditiveAttention, Attention
from lepton_ai.layers.audio import MFCC, Frames, MelSpectrogram, STFTSpectrogram
from lepton_ai.layers.augmentation_color import (
    RandomBrightness,
    RandomColorDegeneration,
    RandomColorJitter,
    RandomContrast,
    RandomGrayscale,
    RandomHue,
    RandomSaturation,
)
from lepton_ai.layers.augmentation_crops import RandomCrop, RandomResizedCrop
from lepton_ai.layers.augmentation_filters import RandomErasing, RandomGaussianBlur, RandomSharpness
from lepton_ai.layers.augmentation_geometry import (
    GeometricLayer,
    RandomFlip,
    RandomPerspective,
    RandomRotation,
    RandomShear,
    RandomTranslation,
    RandomZoom,
)
from lepton_ai.layers.augmentation_policies import RandAugment
from lepton_ai.layers.augmentation_tones import (
    AutoContrast,
    Equalization,
    RandomInvert,
    RandomPosterization,
    Solarization,
)
from lepton_ai.layers.borders import Cropping1D, Cropping2D, Cropping3D, ZeroPadding1D, ZeroPadding2D, ZeroPadding3D
from lepton_ai.layers.categories import CategoryEncoding, Discretization, IntegerLookup
from lepton_ai.layers.cells import RNN, GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from lepton_ai.layers.config import Configured, deserialize, serialize
from lepton_ai.layers.constraints import Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm, get_constraint
from lepton_ai.layers.conv import Conv1D, Conv2D, Conv3D
from lepton_ai.layers.conv_lstm import ConvLSTM1D, ConvLSTM2D, ConvLSTM3D
from lepton_ai.layers.conv_transpose import Conv1DTranspose, Conv2DTranspose, Conv3DTranspose
from lepton_ai.layers.dates import DateParts
from lepton_ai.layers.dense import Dense
from lepton_ai.layers.dropout import AlphaDropout, Dropout, SpatialDropout1D, SpatialDropout2D, SpatialDropout3D
from lepton_ai.layers.einsum_dense import EinsumDense
from lepton_ai.layers.embedding import Embedding, ReversibleEmbedding
from lepton_ai.layers.fitted import Fitted
from lepton_ai.layers.global_pooling import (
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
)
from lepton_ai.layers.hashing import HashedCrossing, Hashing
from lepton_ai.layers.heads import GroupQueryAttention, MultiHeadAttention
from lepton_ai.layers.identity import Identity
from lepton_ai.layers.images import CenterCrop, ColorMode, CropOrPad, ImageStandardization
from lepton_ai.layers.imputation import Imputation
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
from lepton_ai.layers.lookup import StringLookup
from lepton_ai.layers.low_rank import LowRank, add_adapter, remove_adapter, takes_adapter
from lepton_ai.layers.masking import Masking
from lepton_ai.layers.masks import carry, takes
from lepton_ai.layers.merging import Add, Average, Concatenate, Dot, Maximum, MergeLayer, Minimum, Multiply, Subtract
from lepton_ai.layers.noise import GaussianDropout, GaussianNoise
from lepton_ai.layers.normalization import (
    BatchNormalization,
    GroupNormalization,
    LayerNormalization,
    RMSNormalization,
    UnitNormalization,
)
from lepton_ai.layers.pooled_first import after_pooling, before_pooling, pools_first
from lepton_ai.layers.pooled_statistics import Pool, normalizes_batches, pooled
from lepton_ai.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from lepton_ai.layers.positions import (
    FirstStep,
    PositionEmbedding,
    RotaryEmbedding,
    SinePositionEncoding,
    TokenAndPositionEmbedding,
)
from lepton_ai.layers.power import LogScaling, PolynomialFeatures, PowerTransform
from lepton_ai.layers.random import Draws, RandomLayer, draws_for
from lepton_ai.layers.recurrent import GRU, LSTM, SimpleRNN
from lepton_ai.layers.regularizers import L1, L1L2, L2, Regularizer, get_regularizer
from lepton_ai.layers.reshaping import Flatten, Permute, RepeatVector, Reshape
from lepton_ai.layers.resizing import Resizing
from lepton_ai.layers.scaling import MinMaxScaling, Normalization, Rescaling, RobustScaling, Winsorization
from lepton_ai.layers.separable import DepthwiseConv1D, DepthwiseConv2D, SeparableConv1D, SeparableConv2D
from lepton_ai.layers.series import (
    RandomFrequencyMask,
    RandomGain,
    RandomNoise,
    RandomPermutation,
    RandomScaling,
    RandomSpeed,
    RandomTimeMask,
    RandomTimeShift,
    RandomTimeWarp,
)
from lepton_ai.layers.shapes import is_shape, leaves, map_leaves
from lepton_ai.layers.stage import GraphBuilder, Stage, Value
from lepton_ai.layers.symbolic import Input, Node, SymbolicTensor, is_symbolic
from lepton_ai.layers.text_vectorization import TextVectorization
from lepton_ai.layers.texts import as_texts
from lepton_ai.layers.time_parts import TimeParts
from lepton_ai.layers.tracking import within
from lepton_ai.layers.transformer import TransformerDecoder, TransformerEncoder
from lepton_ai.layers.upsampling import UpSampling1D, UpSampling2D, UpSampling3D
from lepton_ai.layers.wrappers import Bidirectional, TimeDistributed

__all__ = [
    "ELU",
    "GRU",
    "L1",
    "L1L2",
    "L2",
    "LSTM",
    "MFCC",
    "RNN",
    "Activation",
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D",
    "Add",
    "AdditiveAttention",
    "AlphaDropout",
    "Attention",
    "AutoContrast",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AveragePooling3D",
    "BatchNormalization",
    "Bidirectional",
    "CategoryEncoding",
    "CenterCrop",
    "ColorMode",
    "Concatenate",
    "Configured",
    "Constant",
    "Constraint",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DTranspose",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
    "CropOrPad",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "DateParts",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Discretization",
    "Dot",
    "Draws",
    "Dropout",
    "EinsumDense",
    "Embedding",
    "Equalization",
    "FirstStep",
    "Fitted",
    "Flatten",
    "Frames",
    "GRUCell",
    "GaussianDropout",
    "GaussianNoise",
    "GeometricLayer",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAveragePooling3D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "GlorotNormal",
    "GlorotUniform",
    "GraphBuilder",
    "GroupNormalization",
    "GroupQueryAttention",
    "HashedCrossing",
    "Hashing",
    "HeNormal",
    "HeUniform",
    "Identity",
    "ImageStandardization",
    "Imputation",
    "Initializer",
    "Input",
    "IntegerLookup",
    "KernelLayer",
    "KernelOptions",
    "LSTMCell",
    "Layer",
    "LayerNormalization",
    "LayerOptions",
    "LeakyReLU",
    "LecunNormal",
    "LecunUniform",
    "LogScaling",
    "LowRank",
    "Masking",
    "MaxNorm",
    "MaxPooling1D",
    "MaxPooling2D",
    "MaxPooling3D",
    "Maximum",
    "MelSpectrogram",
    "MergeLayer",
    "MinMaxNorm",
    "MinMaxScaling",
    "Minimum",
    "MultiHeadAttention",
    "Multiply",
    "Node",
    "NonNeg",
    "Normalization",
    "Ones",
    "Orthogonal",
    "PReLU",
    "Permute",
    "PolynomialFeatures",
    "Pool",
    "PositionEmbedding",
    "PowerTransform",
    "RMSNormalization",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomCrop",
    "RandomErasing",
    "RandomFlip",
    "RandomFrequencyMask",
    "RandomGain",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHue",
    "RandomInvert",
    "RandomLayer",
    "RandomNoise",
    "RandomNormal",
    "RandomPermutation",
    "RandomPerspective",
    "RandomPosterization",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomSaturation",
    "RandomScaling",
    "RandomSharpness",
    "RandomShear",
    "RandomSpeed",
    "RandomTimeMask",
    "RandomTimeShift",
    "RandomTimeWarp",
    "RandomTranslation",
    "RandomUniform",
    "RandomZoom",
    "ReLU",
    "Regularizer",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Resizing",
    "ReversibleEmbedding",
    "RobustScaling",
    "RotaryEmbedding",
    "STFTSpectrogram",
    "SeparableConv1D",
    "SeparableConv2D",
    "SimpleRNN",
    "SimpleRNNCell",
    "SinePositionEncoding",
    "Softmax",
    "Solarization",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "StackedRNNCells",
    "Stage",
    "StringLookup",
    "Subtract",
    "SymbolicTensor",
    "TextVectorization",
    "TimeDistributed",
    "TimeParts",
    "TokenAndPositionEmbedding",
    "TransformerDecoder",
    "TransformerEncoder",
    "TruncatedNormal",
    "UnitNorm",
    "UnitNormalization",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "Value",
    "VarianceScaling",
    "Winsorization",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
    "Zeros",
    "add_adapter",
    "after_pooling",
    "as_texts",
    "before_pooling",
    "carry",
    "deserialize",
    "draws_for",
    "get_activation",
    "get_constraint",
    "get_initializer",
    "get_regularizer",
    "is_shape",
    "is_symbolic",
    "leaves",
    "map_leaves",
    "normalizes_batches",
    "pooled",
    "pools_first",
    "remove_adapter",
    "serialize",
    "takes",
    "takes_adapter",
    "within",
]
