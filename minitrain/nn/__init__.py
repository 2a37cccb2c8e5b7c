"""Models: Module and Parameter, layers, losses, their functions and their initialisation."""

from typing import TYPE_CHECKING

from minitrain.nn import functional, further, init
from minitrain.nn.containers import ModuleDict, ModuleList, ParameterList
from minitrain.nn.layers import Dropout, Flatten, Linear, LogSoftmax, ReLU, Sequential, Sigmoid, Softmax, Tanh
from minitrain.nn.loss import CrossEntropyLoss, MSELoss, NLLLoss
from minitrain.nn.module import Module
from minitrain.nn.parameter import Parameter
from minitrain.torchlike.not_offered import torch_names

if TYPE_CHECKING:
    from minitrain.nn import modules, utils
    from minitrain.nn.activation import (
        CELU,
        ELU,
        GELU,
        GLU,
        SELU,
        Hardsigmoid,
        Hardswish,
        Hardtanh,
        LeakyReLU,
        LogSigmoid,
        Mish,
        PReLU,
        ReLU6,
        SiLU,
        Softmin,
        Softplus,
        Softsign,
        Tanhshrink,
        Threshold,
    )
    from minitrain.nn.convolution import (
        AdaptiveAvgPool2d,
        AdaptiveMaxPool2d,
        AvgPool2d,
        Conv1d,
        Conv2d,
        MaxPool1d,
        MaxPool2d,
    )
    from minitrain.nn.data_parallel import DataParallel
    from minitrain.nn.embedding import Embedding
    from minitrain.nn.embedding_bag import EmbeddingBag
    from minitrain.nn.group_normalization import GroupNorm, InstanceNorm1d, InstanceNorm2d
    from minitrain.nn.lazy import LazyBatchNorm1d, LazyBatchNorm2d, LazyConv2d, LazyLinear
    from minitrain.nn.magnitude_normalization import LocalResponseNorm, RMSNorm
    from minitrain.nn.margin_losses import (
        CosineEmbeddingLoss,
        HingeEmbeddingLoss,
        MarginRankingLoss,
        MultiLabelSoftMarginLoss,
        MultiMarginLoss,
        SoftMarginLoss,
        TripletMarginLoss,
    )
    from minitrain.nn.more_losses import (
        BCELoss,
        BCEWithLogitsLoss,
        GaussianNLLLoss,
        HuberLoss,
        KLDivLoss,
        L1Loss,
        PoissonNLLLoss,
        SmoothL1Loss,
    )
    from minitrain.nn.normalization import BatchNorm1d, BatchNorm2d, LayerNorm
    from minitrain.nn.parameter_dict import ParameterDict
    from minitrain.nn.pixel_shuffle import PixelShuffle, PixelUnshuffle
    from minitrain.nn.pooling_1d import AdaptiveAvgPool1d, AdaptiveMaxPool1d, AvgPool1d
    from minitrain.nn.shapes import (
        ConstantPad1d,
        ConstantPad2d,
        CosineSimilarity,
        Dropout1d,
        Dropout2d,
        Identity,
        PairwiseDistance,
        ReflectionPad1d,
        ReflectionPad2d,
        ReplicationPad1d,
        ReplicationPad2d,
        Unflatten,
        ZeroPad1d,
        ZeroPad2d,
    )
    from minitrain.nn.shrinkage import Hardshrink, Softshrink
    from minitrain.nn.sliding_blocks import Fold, Unfold
    from minitrain.nn.upsampling import ConvTranspose2d, Upsample, UpsamplingBilinear2d, UpsamplingNearest2d

__getattr__, __dir__ = torch_names(__name__, further.MODULES)

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "ConstantPad1d",
    "ConstantPad2d",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "CosineEmbeddingLoss",
    "CosineSimilarity",
    "CrossEntropyLoss",
    "DataParallel",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Embedding",
    "EmbeddingBag",
    "Flatten",
    "Fold",
    "GaussianNLLLoss",
    "GroupNorm",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "Identity",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "KLDivLoss",
    "L1Loss",
    "LayerNorm",
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyConv2d",
    "LazyLinear",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LogSigmoid",
    "LogSoftmax",
    "MSELoss",
    "MarginRankingLoss",
    "MaxPool1d",
    "MaxPool2d",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "NLLLoss",
    "PReLU",
    "PairwiseDistance",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "PixelShuffle",
    "PixelUnshuffle",
    "PoissonNLLLoss",
    "RMSNorm",
    "ReLU",
    "ReLU6",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "Softmax",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
    "TripletMarginLoss",
    "Unflatten",
    "Unfold",
    "Upsample",
    "UpsamplingBilinear2d",
    "UpsamplingNearest2d",
    "ZeroPad1d",
    "ZeroPad2d",
    "functional",
    "init",
    "modules",
    "utils",
]
