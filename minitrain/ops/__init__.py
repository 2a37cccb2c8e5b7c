"""Every differentiable operation on plain NumPy arrays: forward and backward side by side, with the formula.

An operation is a class with two static methods. forward(ctx, *arrays, **options) computes the result and leaves
on ctx what the derivative needs; backward(ctx, grad_y) receives dL/dy, the loss's gradient with respect to the
result, and returns dL/d(input) for each input in order (None where none is asked for). The first line of each
docstring is the formula. Nothing here knows Tensors, the tape or torch.

Three rules hold throughout. backward never writes into grad_y. What it returns is fresh or a view of grad_y,
never a saved array. An operand of an arithmetic operation may be a Python number, which takes the other
operand's dtype; it gets no gradient.
"""

from typing import TYPE_CHECKING

from minitrain.first_use import on_first_use
from minitrain.ops.arrange import Diagonal, Flip, IndexAdd, Roll, Unfold
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
from minitrain.ops.function import Array, Context, Function, Gradients, Reduction, unbroadcast
from minitrain.ops.linear import Linear, Matmul
from minitrain.ops.loss import LogSoftmax, MSELoss, NLLLoss, Softmax
from minitrain.ops.reduce import Amax, Max, Mean, Sum, Var
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

if TYPE_CHECKING:
    from minitrain.ops.activation import ELU, Hardtanh, LeakyReLU, LogSigmoid, SiLU, Softplus
    from minitrain.ops.binary_loss import BCELoss, BCEWithLogitsLoss, SmoothL1Loss
    from minitrain.ops.choice import Fmax, Fmin, Lerp
    from minitrain.ops.convolution import AvgPool2d, Conv2d, MaxPool2d
    from minitrain.ops.division import DivRounded, Fmod, Remainder
    from minitrain.ops.erf import Erf, Erfc
    from minitrain.ops.exponential import Exp2, Expm1, Log1P, Log2, Log10, Logaddexp, Logaddexp2, Xlogy
    from minitrain.ops.gamma import Digamma, Lgamma
    from minitrain.ops.hyperbolic import Acosh, Asinh, Atanh, Cosh, Sinh
    from minitrain.ops.linalg import Det, Einsum, Inv, SingularValues, Solve
    from minitrain.ops.log_scan import LogCumsumExp
    from minitrain.ops.norm import LogSumExp, Median, Norm
    from minitrain.ops.normalization import Normalize
    from minitrain.ops.powers import Hypot, Reciprocal, Rsqrt
    from minitrain.ops.rounding import Ceil, Copysign, Floor, Frac, NanToNum, Round, Sign, Trunc
    from minitrain.ops.scan import Cumprod, Cumsum, Prod
    from minitrain.ops.trigonometry import Acos, Asin, Atan, Atan2, Cos, Sin, Sinc, Tan

__getattr__, __dir__ = on_first_use(
    __name__,
    {
        "minitrain.ops.activation": "ELU Hardtanh LeakyReLU LogSigmoid SiLU Softplus",
        "minitrain.ops.binary_loss": "BCELoss BCEWithLogitsLoss SmoothL1Loss",
        "minitrain.ops.choice": "Fmax Fmin Lerp",
        "minitrain.ops.convolution": "AvgPool2d Conv2d MaxPool2d",
        "minitrain.ops.division": "DivRounded Fmod Remainder",
        "minitrain.ops.erf": "Erf Erfc",
        "minitrain.ops.exponential": "Exp2 Expm1 Log1P Log2 Log10 Logaddexp Logaddexp2 Xlogy",
        "minitrain.ops.gamma": "Digamma Lgamma",
        "minitrain.ops.hyperbolic": "Acosh Asinh Atanh Cosh Sinh",
        "minitrain.ops.linalg": "Det Einsum Inv SingularValues Solve",
        "minitrain.ops.log_scan": "LogCumsumExp",
        "minitrain.ops.norm": "LogSumExp Median Norm",
        "minitrain.ops.normalization": "Normalize",
        "minitrain.ops.powers": "Hypot Reciprocal Rsqrt",
        "minitrain.ops.rounding": "Ceil Copysign Floor Frac NanToNum Round Sign Trunc",
        "minitrain.ops.scan": "Cumprod Cumsum Prod",
        "minitrain.ops.trigonometry": "Acos Asin Atan Atan2 Cos Sin Sinc Tan",
    },
)

__all__ = [
    "ELU",
    "Abs",
    "Acos",
    "Acosh",
    "Add",
    "Amax",
    "Array",
    "Asin",
    "Asinh",
    "Atan",
    "Atan2",
    "Atanh",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "Cat",
    "Ceil",
    "Clamp",
    "Clone",
    "Context",
    "Conv2d",
    "Copysign",
    "Cos",
    "Cosh",
    "Cumprod",
    "Cumsum",
    "Det",
    "Diagonal",
    "Digamma",
    "Div",
    "DivRounded",
    "Einsum",
    "Erf",
    "Erfc",
    "Exp",
    "Exp2",
    "Expand",
    "Expm1",
    "Flatten",
    "Flip",
    "Floor",
    "Fmax",
    "Fmin",
    "Fmod",
    "Frac",
    "Function",
    "Gradients",
    "Hardtanh",
    "Hypot",
    "Index",
    "IndexAdd",
    "IndexPut",
    "Inv",
    "LeakyReLU",
    "Lerp",
    "Lgamma",
    "Linear",
    "Log",
    "Log1P",
    "Log2",
    "Log10",
    "LogCumsumExp",
    "LogSigmoid",
    "LogSoftmax",
    "LogSumExp",
    "Logaddexp",
    "Logaddexp2",
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
    "NanToNum",
    "Neg",
    "Norm",
    "Normalize",
    "Permute",
    "Pow",
    "Prod",
    "ReLU",
    "Reciprocal",
    "Reduction",
    "Remainder",
    "Reshape",
    "Roll",
    "Round",
    "Rsqrt",
    "SiLU",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinc",
    "SingularValues",
    "Sinh",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Solve",
    "Sqrt",
    "Sub",
    "Sum",
    "Tan",
    "Tanh",
    "ToCopy",
    "Transpose",
    "Trunc",
    "Unfold",
    "Var",
    "ViewPut",
    "Where",
    "Xlogy",
    "unbroadcast",
]
