"""The in-place forms of Tensor's methods on each element: x.sqrt_() is x[...] = x.sqrt(), recorded as torch does."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from minitrain.torchlike.in_place_methods import InPlaceMethods
from minitrain.torchlike.names import named

METHODS = """
abs absolute acos acosh addcdiv addcmul arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan atan2 atanh
bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor ceil clamp_max clamp_min clip
copysign cos cosh deg2rad digamma div divide eq erf erfc exp exp2 expm1 fix float_power floor floor_divide fmod frac gcd
ge greater greater_equal gt heaviside hypot lcm le lerp less less_equal lgamma log log10 log1p log2 logical_and
logical_not logical_or logical_xor lt multiply nan_to_num ne neg negative not_equal pow rad2deg reciprocal remainder
round rsqrt sgn sigmoid sign sin sinc sinh sqrt square subtract tan tanh true_divide trunc xlogy
"""


def _in_place(name: str) -> Callable[..., Any]:
    method = getattr(InPlaceMethods, name)

    @functools.wraps(method)
    def write(self: Any, *args: Any, **options: Any) -> Any:
        return self._write_result(lambda before: method(before, *args, **options), (*args, *options.values()))

    return named(write, f"{name}_", f"self[...] = self.{name}(...); see there.")


class InPlaceForms(InPlaceMethods):
    """Raises RuntimeError where the result has a dtype that self cannot hold, or another shape."""


for _name in METHODS.split():
    setattr(InPlaceForms, f"{_name}_", _in_place(_name))

for _operator, _name in {"pow": "pow", "mod": "remainder", "floordiv": "floor_divide"}.items():
    setattr(InPlaceForms, f"__i{_operator}__", _in_place(_name))
for _operator, _name in {"lshift": "left_shift", "rshift": "right_shift"}.items():
    setattr(InPlaceForms, f"__i{_operator}__", _in_place(f"bitwise_{_name}"))
for _operator in ("and", "or", "xor"):
    setattr(InPlaceForms, f"__i{_operator}__", _in_place(f"bitwise_{_operator}"))
