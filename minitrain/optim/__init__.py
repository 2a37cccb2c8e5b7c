"""The rules that turn gradients into updates, in order of complexity: SGD, RMSprop, Adam, AdamW.

A rule is one method, `update`, on plain arrays; the docstring of its class is the formula, in the code's own names. All
of them write into the parameter's own memory, and keep its memory order in what they remember, since a pass over two
arrays in different orders takes several times as long.
"""

from minitrain.optim.adam import Adam, AdamW
from minitrain.optim.optimizer import Optimizer
from minitrain.optim.rmsprop import RMSprop
from minitrain.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "RMSprop"]
