"""Models: Module and Parameter, layers, losses, their functions and their initialisation."""

from minitrain.nn import functional, init
from minitrain.nn.layers import (
    Dropout,
    Flatten,
    Linear,
    LogSoftmax,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
)
from minitrain.nn.loss import CrossEntropyLoss, MSELoss, NLLLoss
from minitrain.nn.module import Module
from minitrain.nn.parameter import Parameter
from minitrain.torchlike.not_offered import module_getattr

__getattr__ = module_getattr(__name__)

__all__ = [
    "CrossEntropyLoss",
    "Dropout",
    "Flatten",
    "Linear",
    "LogSoftmax",
    "MSELoss",
    "Module",
    "NLLLoss",
    "Parameter",
    "ReLU",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "functional",
    "init",
]
