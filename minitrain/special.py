"""torch.special: further names for functions that minitrain offers under its own."""

from minitrain.functions import FUNCTIONS
from minitrain.torchlike.not_offered import module_getattr

erf, erfc, exp2, expm1 = FUNCTIONS["erf"], FUNCTIONS["erfc"], FUNCTIONS["exp2"], FUNCTIONS["expm1"]
expit, log1p, round, sinc = FUNCTIONS["sigmoid"], FUNCTIONS["log1p"], FUNCTIONS["round"], FUNCTIONS["sinc"]
log_softmax, softmax, xlogy = FUNCTIONS["log_softmax"], FUNCTIONS["softmax"], FUNCTIONS["xlogy"]

__all__ = ["erf", "erfc", "exp2", "expit", "expm1", "log1p", "log_softmax", "round", "sinc", "softmax", "xlogy"]

__getattr__ = module_getattr(__name__)
