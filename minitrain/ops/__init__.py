"""Every differentiable operation on plain NumPy arrays: forward and backward side by side, with the formula.

An operation is a class with two static methods. forward(ctx, *arrays, **options) computes the result and leaves
on ctx what the derivative needs; backward(ctx, grad_y) receives dL/dy, the loss's gradient with respect to the
result, and returns dL/d(input) for each input in order (None where none is asked for). The first line of each
docstring is the formula. Nothing here knows Tensors, the tape or torch.

Three rules hold throughout. backward never writes into grad_y. What it returns is fresh or a view of grad_y,
never a saved array. An operand of an arithmetic operation may be a Python number, which takes the other
operand's dtype; it gets no gradient.
"""

from minitrain.ops.activation import ELU, Hardtanh, LeakyReLU, LogSigmoid, SiLU, Softplus
from minitrain.ops.arrange import Diagonal, Flip, IndexAdd, Roll, Unfold
from minitrain.ops.binary_loss import BCELoss, BCEWithLogitsLoss, SmoothL1Loss
from minitrain.ops.convolution import AvgPool2d, Conv2d, MaxPool2d
from minitrain.ops.elementwise import (
    Abs,
    Add,
    Clamp,
    Div,
    Exp,
    Log,
    Maximum,
    Minimum,
    Mul,
    Neg,
    Pow,
    ReLU,
    Sigmoid,
    Sqrt,
    Sub,
    Tanh,
    Where,
)
from minitrain.ops.function import (
    Array,
    Context,
    Function,
    Gradients,
    Reduction,
    unbroadcast,
)
from minitrain.ops.linalg import Det, Einsum, Inv, SingularValues, Solve
from minitrain.ops.linear import (
    Linear,
    Matmul,
)
from minitrain.ops.loss import (
    LogSoftmax,
    MSELoss,
    NLLLoss,
    Softmax,
)
from minitrain.ops.norm import LogSumExp, Median, Norm
from minitrain.ops.normalization import Normalize
from minitrain.ops.reduce import (
    Amax,
    Max,
    Mean,
    Sum,
    Var,
)
from minitrain.ops.scan import Cumprod, Cumsum, Prod
from minitrain.ops.shape import (
    Cat,
    Clone,
    Expand,
    Flatten,
    Index,
    IndexPut,
    Permute,
    Reshape,
    ToCopy,
    Transpose,
    ViewPut,
)

__all__ = [
    "ELU",
    "Abs",
    "Add",
    "Amax",
    "Array",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "Cat",
    "Clamp",
    "Clone",
    "Context",
    "Conv2d",
    "Cumprod",
    "Cumsum",
    "Det",
    "Diagonal",
    "Div",
    "Einsum",
    "Exp",
    "Expand",
    "Flatten",
    "Flip",
    "Function",
    "Gradients",
    "Hardtanh",
    "Index",
    "IndexAdd",
    "IndexPut",
    "Inv",
    "LeakyReLU",
    "Linear",
    "Log",
    "LogSigmoid",
    "LogSoftmax",
    "LogSumExp",
    "MSELoss",
    "Matmul",
    "Max",
    "MaxPool2d",
    "Maximum",
    "Mean",
    "Median",
    "Minimum",
    "Mul",
    "NLLLoss",
    "Neg",
    "Norm",
    "Normalize",
    "Permute",
    "Pow",
    "Prod",
    "ReLU",
    "Reduction",
    "Reshape",
    "Roll",
    "SiLU",
    "Sigmoid",
    "SingularValues",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Solve",
    "Sqrt",
    "Sub",
    "Sum",
    "Tanh",
    "ToCopy",
    "Transpose",
    "Unfold",
    "Var",
    "ViewPut",
    "Where",
    "unbroadcast",
]
