"""Where the functions and layers stand that torch has in torch.nn.functional and torch.nn, and minitrain elsewhere."""

from __future__ import annotations

import importlib
from typing import Any

from minitrain.torchlike.not_offered import module_getattr

FILES = {
    "activation": "celu elu gelu glu hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish prelu relu6 selu silu "
    "softmin softplus softsign tanhshrink threshold",
    "more_losses": "binary_cross_entropy binary_cross_entropy_with_logits gaussian_nll_loss huber_loss kl_div l1_loss "
    "poisson_nll_loss smooth_l1_loss",
    "margin_losses": "cosine_embedding_loss hinge_embedding_loss margin_ranking_loss multi_margin_loss "
    "multilabel_soft_margin_loss soft_margin_loss triplet_margin_loss",
    "convolution": "adaptive_avg_pool2d adaptive_max_pool2d avg_pool2d conv1d conv2d max_pool1d max_pool2d",
    "normalization": "batch_norm layer_norm",
    "embedding": "embedding one_hot",
    "shapes": "cosine_similarity dropout1d dropout2d normalize pad pairwise_distance",
    "upsampling": "conv_transpose2d interpolate",
    "group_normalization": "group_norm instance_norm",
    "pooling_1d": "adaptive_avg_pool1d adaptive_max_pool1d avg_pool1d",
}


# And torch.nn's layers and losses that few programs use: imported with the first use, so that minitrain is soon there.
LAYERS = {
    "margin_losses": "CosineEmbeddingLoss HingeEmbeddingLoss MarginRankingLoss MultiLabelSoftMarginLoss "
    "MultiMarginLoss SoftMarginLoss TripletMarginLoss",
    "more_losses": "GaussianNLLLoss PoissonNLLLoss",
    "shapes": "ConstantPad1d ConstantPad2d PairwiseDistance ReflectionPad1d ReflectionPad2d ReplicationPad1d "
    "ReplicationPad2d ZeroPad1d",
    "upsampling": "ConvTranspose2d Upsample",
    "group_normalization": "GroupNorm InstanceNorm1d InstanceNorm2d",
    "pooling_1d": "AdaptiveAvgPool1d AdaptiveMaxPool1d AvgPool1d",
}


def names() -> list[str]:
    """The names of all these functions."""
    return " ".join(FILES.values()).split()


def layers() -> list[str]:
    """The names of all these layers."""
    return " ".join(LAYERS.values()).split()


def function(module: str, name: str) -> Any:
    """The function of this name. Raises AttributeError, as the module that was asked, if it is not offered."""
    return _found(FILES, module, name)


def layer(module: str, name: str) -> Any:
    """The layer of this name. Raises AttributeError, as the module that was asked, if it is not offered."""
    return _found(LAYERS, module, name)


def _found(files: dict[str, str], module: str, name: str) -> Any:
    for file, found in files.items():
        if name in found.split():
            return getattr(importlib.import_module(f"minitrain.nn.{file}"), name)
    return module_getattr(module, depth=4)(name)
