"""The rules that turn gradients into updates, a file each. In order of complexity: SGD, RMSprop, Adam with AdamW.

A rule is one method, `update`, on plain arrays; the docstring of its class is the formula, in the code's own names. All
of them write into the parameter's own memory, and keep its memory order in what they remember, since a pass over two
arrays in different orders takes several times as long.
"""

from minitrain.optim import lr_scheduler
from minitrain.optim.adadelta import Adadelta
from minitrain.optim.adagrad import Adagrad
from minitrain.optim.adam import Adam, AdamW
from minitrain.optim.adamax import Adamax
from minitrain.optim.nadam import NAdam
from minitrain.optim.optimizer import Optimizer
from minitrain.optim.radam import RAdam
from minitrain.optim.rmsprop import RMSprop
from minitrain.optim.sgd import SGD
from minitrain.torchlike.not_offered import module_getattr

__getattr__ = module_getattr(__name__)

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "lr_scheduler",
]
