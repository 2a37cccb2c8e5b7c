"""Where torch.nn.functional's functions stand that are not in functional.py: beside the layers that apply them."""

from __future__ import annotations

import importlib
from typing import Any

from minitrain.torchlike.not_offered import module_getattr

FILES = {
    "activation": "celu elu gelu glu hardsigmoid hardswish hardtanh leaky_relu logsigmoid mish prelu relu6 selu silu "
    "softmin softplus softsign tanhshrink threshold",
    "more_losses": "binary_cross_entropy binary_cross_entropy_with_logits hinge_embedding_loss huber_loss kl_div "
    "l1_loss margin_ranking_loss poisson_nll_loss smooth_l1_loss",
    "convolution": "adaptive_avg_pool2d adaptive_max_pool2d avg_pool2d conv1d conv2d max_pool1d max_pool2d",
    "normalization": "batch_norm layer_norm",
    "embedding": "embedding one_hot",
    "shapes": "cosine_similarity dropout1d dropout2d normalize pad",
}


def names() -> list[str]:
    """All their names."""
    return " ".join(FILES.values()).split()


def function(module: str, name: str) -> Any:
    """The function of this name. Raises AttributeError, as the module that was asked, if it is not offered."""
    for file, functions in FILES.items():
        if name in functions.split():
            return getattr(importlib.import_module(f"minitrain.nn.{file}"), name)
    return module_getattr(module, depth=3)(name)
