"""Schedulers: rules that change the learning rate as the training proceeds. As torch.optim.lr_scheduler's, bit for bit.

`optimizer.step(); scheduler.step()`, once for each epoch or each batch, as the scheduler's arguments count them.
A scheduler computes each rate from the one before where it can, so that several can act on one optimizer, and a rate
that the program itself sets is kept. The docstrings give the closed form, which is the same up to rounding.
"""

from minitrain.optim.lr_scheduler.combined import ChainedScheduler, SequentialLR
from minitrain.optim.lr_scheduler.cosine import CosineAnnealingLR, CosineAnnealingWarmRestarts
from minitrain.optim.lr_scheduler.cycles import CyclicLR, OneCycleLR
from minitrain.optim.lr_scheduler.decay import (
    ConstantLR,
    ExponentialLR,
    LinearLR,
    MultiStepLR,
    PolynomialLR,
    StepLR,
)
from minitrain.optim.lr_scheduler.functions import LambdaLR, MultiplicativeLR
from minitrain.optim.lr_scheduler.plateau import ReduceLROnPlateau
from minitrain.optim.lr_scheduler.scheduler import LRScheduler
from minitrain.torchlike.not_offered import torch_names

__getattr__, __dir__ = torch_names(__name__)
_LRScheduler = LRScheduler  # its older name, which many programs still inherit from

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]
