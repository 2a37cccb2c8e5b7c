"""The rules that turn gradients into updates, a file each. In order of complexity: SGD, RMSprop, Adam with AdamW.

A rule is one method, `update`, on plain arrays; the docstring of its class is the formula, in the code's own names. All
of them write into the parameter's own memory, and keep its memory order in what they remember, since a pass over two
arrays in different orders takes several times as long.
"""

from typing import TYPE_CHECKING

from minitrain.optim.adam import Adam, AdamW
from minitrain.optim.optimizer import Optimizer
from minitrain.optim.rmsprop import RMSprop
from minitrain.optim.sgd import SGD
from minitrain.torchlike.not_offered import torch_names

if TYPE_CHECKING:
    from minitrain.optim import lr_scheduler
    from minitrain.optim.adadelta import Adadelta
    from minitrain.optim.adagrad import Adagrad
    from minitrain.optim.adamax import Adamax
    from minitrain.optim.nadam import NAdam
    from minitrain.optim.radam import RAdam

__getattr__, __dir__ = torch_names(
    __name__,
    {
        "minitrain.optim": "lr_scheduler",
        "minitrain.optim.adadelta": "Adadelta",
        "minitrain.optim.adagrad": "Adagrad",
        "minitrain.optim.adamax": "Adamax",
        "minitrain.optim.nadam": "NAdam",
        "minitrain.optim.radam": "RAdam",
    },
)

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
