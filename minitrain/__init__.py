"""minitrain: the beginner's PyTorch training workflow, reimplemented in NumPy, spelled as torch spells it.

    import minitrain as torch
    from minitrain import nn

The way in is to read ops.py, tape.py, tensor.py, nn/, optim.py and training/loops.py, in that order.
"""

from math import inf, nan, pi

from minitrain import autograd, data, nn, optim
from minitrain.autograd import is_anomaly_enabled, print_tape
from minitrain.creation import (
    arange,
    as_tensor,
    cat,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    get_rng_state,
    linspace,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    set_rng_state,
    stack,
    tensor,
    where,
    zeros,
    zeros_like,
)
from minitrain.layout import keep_freed_memory
from minitrain.serialization import load, save
from minitrain.tensor import Tensor
from minitrain.torchlike.arguments import BOOL as bool
from minitrain.torchlike.arguments import DOUBLE as double
from minitrain.torchlike.arguments import DOUBLE as float64
from minitrain.torchlike.arguments import FLOAT as float
from minitrain.torchlike.arguments import FLOAT as float32
from minitrain.torchlike.arguments import INT as int
from minitrain.torchlike.arguments import INT as int32
from minitrain.torchlike.arguments import INT8 as int8
from minitrain.torchlike.arguments import INT16 as int16
from minitrain.torchlike.arguments import LONG as int64
from minitrain.torchlike.arguments import LONG as long
from minitrain.torchlike.arguments import UINT8 as uint8
from minitrain.torchlike.arguments import Size
from minitrain.torchlike.device import accelerator, backends, cuda, device
from minitrain.torchlike.grad_mode import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from minitrain.torchlike.random import Generator, default_generator, initial_seed, manual_seed, seed

__version__ = "0.1.0"

keep_freed_memory()


def __getattr__(name: str) -> object:
    raise AttributeError(f"module 'minitrain' has no attribute {name!r}: of torch, it offers what is in its __all__")


# torch's functions are Tensor's methods: torch.exp(x) is x.exp().
add, sub, mul, div, neg, pow = Tensor.add, Tensor.sub, Tensor.mul, Tensor.div, Tensor.neg, Tensor.pow
exp, log, sqrt, abs, tanh, sigmoid = Tensor.exp, Tensor.log, Tensor.sqrt, Tensor.abs, Tensor.tanh, Tensor.sigmoid
relu, clamp, maximum, minimum = Tensor.relu, Tensor.clamp, Tensor.maximum, Tensor.minimum
sum, mean, var, std, amax, amin = Tensor.sum, Tensor.mean, Tensor.var, Tensor.std, Tensor.amax, Tensor.amin
max, min, argmax, argmin, all, any = Tensor.max, Tensor.min, Tensor.argmax, Tensor.argmin, Tensor.all, Tensor.any
matmul, softmax, log_softmax = Tensor.matmul, Tensor.softmax, Tensor.log_softmax
reshape, flatten, squeeze, unsqueeze = Tensor.reshape, Tensor.flatten, Tensor.squeeze, Tensor.unsqueeze
transpose, permute, t, clone = Tensor.transpose, Tensor.permute, Tensor.t, Tensor.clone
isnan, isfinite, equal, allclose = Tensor.isnan, Tensor.isfinite, Tensor.equal, Tensor.allclose
is_floating_point, numel = Tensor.is_floating_point, Tensor.numel
mm = Tensor.matmul

__all__ = [
    "Generator",
    "Size",
    "Tensor",
    "abs",
    "accelerator",
    "add",
    "all",
    "allclose",
    "amax",
    "amin",
    "any",
    "arange",
    "argmax",
    "argmin",
    "as_tensor",
    "autograd",
    "backends",
    "bool",
    "cat",
    "clamp",
    "clone",
    "cuda",
    "data",
    "default_generator",
    "device",
    "div",
    "double",
    "empty",
    "empty_like",
    "enable_grad",
    "equal",
    "exp",
    "eye",
    "flatten",
    "float",
    "float32",
    "float64",
    "from_numpy",
    "full",
    "full_like",
    "get_rng_state",
    "inf",
    "inference_mode",
    "initial_seed",
    "int",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_anomaly_enabled",
    "is_floating_point",
    "is_grad_enabled",
    "isfinite",
    "isnan",
    "linspace",
    "load",
    "log",
    "log_softmax",
    "long",
    "manual_seed",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mm",
    "mul",
    "nan",
    "neg",
    "nn",
    "no_grad",
    "numel",
    "ones",
    "ones_like",
    "optim",
    "permute",
    "pi",
    "pow",
    "print_tape",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "relu",
    "reshape",
    "save",
    "seed",
    "set_grad_enabled",
    "set_rng_state",
    "sigmoid",
    "softmax",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "sub",
    "sum",
    "t",
    "tanh",
    "tensor",
    "transpose",
    "uint8",
    "unsqueeze",
    "var",
    "where",
    "zeros",
    "zeros_like",
]
