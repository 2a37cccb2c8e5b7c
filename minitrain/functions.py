"""torch's functions: torch.exp(x) is x.exp(). Tensor's methods become functions that take torch's input= and out=."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from minitrain.creation import tensor
from minitrain.tensor import Tensor
from minitrain.torchlike.names import numpy_names
from minitrain.torchlike.not_offered import explain_keyword
from minitrain.torchlike.out_argument import write_out

# The methods that are functions as well. The arithmetic ones take Python numbers for Tensors, as torch's do.
METHODS = """
abs all allclose amax amin any argmax argmin clamp clone equal exp flatten is_floating_point isfinite isnan log
log_softmax matmul max maximum mean min minimum mm neg numel permute relu reshape sigmoid softmax sqrt squeeze std
sum t tanh transpose unsqueeze var
"""
ARITHMETIC = """
add bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor div divide float_power floor_divide mul
multiply pow remainder sub subtract true_divide xlogy
"""
METHODS += """
absolute acos acosh addcdiv addcmul arccos arccosh arcsin arcsinh arctan arctan2 arctanh asin asinh atan atan2 atanh
bitwise_not ceil clamp_max clamp_min clip copysign cos cosh deg2rad detach digamma eq erf erfc exp2 expm1 fix floor fmax
fmin fmod frac gcd ge greater greater_equal gt heaviside hypot is_complex is_nonzero is_same_size is_signed isclose
isinf isneginf isposinf isreal lcm le lerp less less_equal lgamma log10 log1p log2 logaddexp logaddexp2 logical_and
logical_not logical_or logical_xor lt nan_to_num ne negative not_equal positive rad2deg reciprocal round rsqrt sgn sign
signbit sin sinc sinh square tan trunc
abs_ acos_ acosh_ arccos_ arccosh_ arcsin_ arcsinh_ arctan_ arctanh_ asin_ asinh_ atan_ atanh_ ceil_ clamp_ clamp_max_
clamp_min_ clip_ cos_ cosh_ deg2rad_ detach_ gcd_ lcm_ erf_ erfc_ exp2_ exp_ expm1_ fill_ fix_ floor_
frac_ log10_ log1p_ log2_ log_ nan_to_num_ neg_ negative_ rad2deg_ reciprocal_ relu_ round_ rsqrt_ sigmoid_ sin_ sinc_
sinh_ sqrt_ square_ tan_ tanh_ trunc_ xlogy_ zero_
"""
METHODS += """
aminmax argsort argwhere count_nonzero corrcoef cov cummax cummin cumprod cumsum diff histc histogram kthvalue
logcumsumexp logsumexp median mode msort quantile nanmean nanmedian nansum norm prod sort topk unique unique_consecutive
bincount gather index_add index_copy index_fill index_put index_select masked_fill masked_scatter masked_select nonzero
scatter scatter_add take take_along_dim dist logit adjoint broadcast_to chunk dsplit flip fliplr flipud hsplit moveaxis
movedim narrow ravel repeat_interleave roll rot90 select swapaxes swapdims tensor_split tile unbind unflatten
vsplit addbmm addmm addmv addr baddbmm bmm cross det diag diag_embed diagonal dot ger inner inverse kron matrix_power mv
outer trace tril triu vdot
"""


# Those that have no out= in torch, as no in-place function has it.
WITHOUT_OUT = """
adjoint allclose argsort argwhere bincount broadcast_to chunk clone corrcoef count_nonzero cov det detach diag_embed
diagonal dist dsplit equal flatten flip fliplr flipud hsplit index_fill index_put is_complex is_floating_point
is_nonzero is_same_size is_signed isclose isfinite isinf isnan isreal masked_fill masked_scatter moveaxis movedim narrow
numel permute positive ravel relu repeat_interleave reshape roll rot90 select squeeze swapaxes swapdims t
tensor_split tile trace transpose unbind unflatten unique unique_consecutive unsqueeze vsplit
"""


@functools.cache
def _function(name: str) -> Callable[..., Any]:
    method, numbers = getattr(Tensor, name), name in ARITHMETIC.split()

    @functools.wraps(method)
    def function(input: Any, *args: Any, out: Tensor | None = None, **options: Any) -> Any:
        if not isinstance(input, Tensor):
            if not numbers or not isinstance(input, int | float):
                raise TypeError(
                    f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}; "
                    "wrap it in torch.tensor()."
                )
            input = tensor(input)
        if out is not None and (name.endswith("_") or name in WITHOUT_OUT.split()):
            raise TypeError(f"{name}() got an unexpected keyword argument 'out'; write out = {name}(x) instead.")
        try:
            result = method(input, *args, **options)
        except TypeError as error:
            explain_keyword(error, method)
            raise
        return result if out is None else write_out(name, out, result)

    return function


@functools.cache
def _with_mean(name: str) -> Callable[..., Any]:
    @numpy_names
    def function(
        input: Tensor, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: int | None = None
    ) -> Any:
        if not isinstance(unbiased, bool):
            raise TypeError(f"{name}_mean(): argument 'unbiased' must be bool, not {type(unbiased).__name__}")
        spread = getattr(input, name)(dim, unbiased, keepdim, correction=correction)
        return spread, input.mean(None if isinstance(dim, bool) else dim, keepdim)

    function.__name__, function.__doc__ = f"{name}_mean", f"({name}, mean); the arguments are those of {name}."
    return function


# Those that torch also has with the ending _copy, which copy what the method gives a view of.
COPIES = "detach diagonal expand narrow permute select squeeze t transpose unsqueeze view"


@functools.cache
def _copying(name: str) -> Callable[..., Any]:
    @functools.wraps(getattr(Tensor, name))
    def function(input: Any, *args: Any, **options: Any) -> Any:
        return _function(name)(input, *args, **options).clone(order="C")

    function.__name__ = f"{name}_copy"
    return function


FUNCTIONS = [
    *METHODS.split(),
    *ARITHMETIC.split(),
    "std_mean",
    "var_mean",
    *(f"{name}_copy" for name in COPIES.split()),
]


def __getattr__(name: str) -> Any:
    """torch's function of this name. It is made when it is first asked for: few programs use many of them."""
    if name not in FUNCTIONS:
        raise AttributeError(f"there is no function {name!r}")
    if name.endswith("_copy") and name.removesuffix("_copy") in COPIES.split():
        return _copying(name.removesuffix("_copy"))
    return _with_mean(name.removesuffix("_mean")) if name.endswith("_mean") else _function(name)
