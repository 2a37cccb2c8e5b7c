"""torch's functions: torch.exp(x) is x.exp(). Tensor's methods become functions that take torch's input= and out=."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from minitrain.creation import tensor
from minitrain.tensor import Tensor
from minitrain.torchlike.grad_mode import is_grad_enabled

# The methods that are functions as well. The arithmetic ones take Python numbers for Tensors, as torch's do.
METHODS = """
abs all allclose amax amin any argmax argmin clamp clone equal exp flatten is_floating_point isfinite isnan log
log_softmax matmul max maximum mean min minimum mm neg numel permute pow relu reshape sigmoid softmax sqrt squeeze std
sum t tanh transpose unsqueeze var
"""
METHODS += """
aminmax argsort argwhere count_nonzero corrcoef cov cummax cummin cumprod cumsum diff histc histogram kthvalue logsumexp
median mode msort nanmean nanmedian nansum norm prod sort std_mean topk unique unique_consecutive var_mean
bincount gather index_add index_copy index_fill index_put index_select masked_fill masked_scatter masked_select nonzero
scatter scatter_add take take_along_dim
adjoint broadcast_to chunk dsplit flip fliplr flipud hsplit moveaxis movedim narrow ravel repeat_interleave roll rot90
select split swapaxes swapdims tensor_split tile unbind unflatten vsplit
addbmm addmm addmv addr baddbmm bmm cross det diag diag_embed diagonal dot ger inner inverse kron matrix_power mv outer
trace tril triu vdot
"""
ARITHMETIC = "add sub mul div"


def _function(name: str, *, numbers: bool = False) -> Callable[..., Any]:
    method = getattr(Tensor, name)

    @functools.wraps(method)
    def function(input: Any, *args: Any, out: Tensor | None = None, **options: Any) -> Any:
        if not isinstance(input, Tensor):
            if not numbers or not isinstance(input, int | float):
                raise TypeError(
                    f"{name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}; "
                    "wrap it in torch.tensor()."
                )
            input = tensor(input)
        result = method(input, *args, **options)
        return result if out is None else write_out(name, out, result)

    return function


def write_out(name: str, out: Tensor, result: Tensor) -> Tensor:
    """Write a function's result into the Tensor given as out=, which takes the result's shape; returns out.

    Raises RuntimeError if a gradient would be lost, or the dtype does not fit.
    """
    if is_grad_enabled() and (result.requires_grad or out.requires_grad):
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of the "
            "arguments requires grad. Write out = f(x) instead, or use no_grad()."
        )
    if out.shape != result.shape:
        out.data = tensor(result, dtype=out.dtype)
        return out
    return out.copy_(result)


FUNCTIONS: dict[str, Callable[..., Any]] = {name: _function(name) for name in METHODS.split()}
FUNCTIONS |= {name: _function(name, numbers=True) for name in ARITHMETIC.split()}
