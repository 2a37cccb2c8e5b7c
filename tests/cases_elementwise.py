"""The cases of test_ops.py for trigonometry, hyperbolic functions, exponentials, rounding, division and choices."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from minitrain import ops
from minitrain.ops import Function
from tests import strategies as own
from tests.cases import Call, Case, one, two, with_options
from tests.comparing import Outcome, magnitude_of_units


def functions(names: str) -> dict[type[Function], Callable[..., torch.Tensor]]:
    """torch's functions of these operations, which have the operations' names in lower case."""
    return {getattr(ops, name): getattr(torch, name.lower()) for name in names.split()}


# Where numbers around 1 are subtracted the error is measured by 1, and by dL/dy.
UNITS = functions("Sin Cos Sinc Erf Erfc Tan Logaddexp Logaddexp2 Expm1")
TERMS = functions(
    "Asin Acos Atan Sinh Cosh Asinh Acosh Atanh Exp2 Log2 Log10 Log1P Reciprocal Rsqrt Ceil Floor Trunc Frac Sign"
)
PAIRS = functions("Atan2 Hypot Copysign Fmax Fmin Remainder Fmod Xlogy")
FLAT = {ops.Ceil, ops.Floor, ops.Round, ops.Trunc, ops.Sign, ops.DivRounded}  # their gradient is 0
of_two = {ops.Logaddexp, ops.Logaddexp2}

# Near their poles at 0, -1, -2, ... the slopes are those of a float32's rounding.
one_positive = own.arrays(values=st.floats(2**-10, 30, width=32)).map(lambda x: Call([x], {}))


def magnitude_of_trigamma(compute: Any, inputs: Any, asks: Any, grad_y: Any) -> Outcome:
    """torch computes digamma's slope with about nine digits."""
    value, gradients = magnitude_of_units(compute, inputs, asks, grad_y)
    digits = max(1.0, 1e-8 / np.finfo(inputs[0].dtype).eps)
    return Outcome(value, [None if grad is None else grad * digits for grad in gradients])


optional = st.none() | own.quarters
CASES: dict[type[Function], Case] = {
    **{op: Case(two if op in of_two else one, theirs, magnitude_of_units) for op, theirs in UNITS.items()},
    **{op: Case(one, theirs) for op, theirs in TERMS.items()},
    **{op: Case(two, theirs) for op, theirs in PAIRS.items()},
    ops.Lgamma: Case(one_positive, torch.lgamma, magnitude_of_units),
    ops.Digamma: Case(one_positive, torch.digamma, magnitude_of_trigamma),
    ops.Round: Case(with_options(one, decimals=st.integers(-2, 3)), torch.round),
    ops.NanToNum: Case(with_options(one, nan=own.quarters, posinf=optional, neginf=optional), torch.nan_to_num),
    ops.DivRounded: Case(with_options(two, rounding_mode=st.sampled_from(["floor", "trunc"])), torch.div),
    ops.Lerp: Case(own.operands(3).map(lambda inputs: Call(inputs, {})), torch.lerp, magnitude_of_units),
}
