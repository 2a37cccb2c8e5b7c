"""torch.special: further names for functions that minitrain offers under its own."""

from minitrain.functions import erf, erfc, exp2, expm1, log1p, log_softmax, round, sigmoid, sinc, softmax, xlogy
from minitrain.torchlike.not_offered import torch_names

expit = sigmoid

__all__ = ["erf", "erfc", "exp2", "expit", "expm1", "log1p", "log_softmax", "round", "sinc", "softmax", "xlogy"]

__getattr__, __dir__ = torch_names(__name__)
