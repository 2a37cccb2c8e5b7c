"""torch.linalg: norms, inverses, determinants, equations; and decompositions, which have no gradient here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minitrain import ops
from minitrain.tensor import Tensor, apply, wrap
from minitrain.torchlike.arguments import LONG, as_axes
from minitrain.torchlike.grad_mode import is_grad_enabled
from minitrain.torchlike.matrix_methods import LinAlgError
from minitrain.torchlike.names import numpy_names
from minitrain.torchlike.not_offered import torch_names
from minitrain.torchlike.out_argument import takes_out
from minitrain.torchlike.return_types import TYPES

__all__ = [
    "LinAlgError",
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "vecdot",
    "vector_norm",
]

__getattr__, __dir__ = torch_names(__name__)

inv, det, matrix_power, matmul = Tensor.inverse, Tensor.det, Tensor.matrix_power, Tensor.matmul

# --- norms ------------------------------------------------------------------------------------------------------------


@takes_out
@numpy_names
def vector_norm(
    x: Tensor,
    ord: float = 2,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: npt.DTypeLike | None = None,
) -> Tensor:
    """(Σ |x|^ord)^(1/ord) over dim, of all elements without it."""
    return x.norm(ord, dim, keepdim, dtype)


@takes_out
@numpy_names
def matrix_norm(
    A: Tensor,
    ord: float | str = "fro",
    dim: Sequence[int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: npt.DTypeLike | None = None,
) -> Tensor:
    """A norm of matrices: "fro" Σ A² under the root, "nuc" the sum and 2 the largest of the singular values (-2 the
    smallest), inf the largest sum of a row's |A| (-inf the smallest), 1 and -1 the same of columns."""
    x = A if dtype is None else A.to(dtype)
    rows, columns = as_axes(tuple(dim), x.ndim)
    if ord == "fro":
        return x.norm(2, (rows, columns), keepdim)
    if ord in ("nuc", 2, -2):
        s = svdvals(x.movedim((rows, columns), (-2, -1)))
        y = s.sum(-1) if ord == "nuc" else s.amax(-1) if ord == 2 else s.amin(-1)
    elif ord in (1, -1, math.inf, -math.inf):
        first, second = (columns, rows) if math.isinf(ord) else (rows, columns)
        sums = x.norm(1, first, keepdim=True)
        y = (sums.amax if ord > 0 else sums.amin)((first, second))
    else:
        raise RuntimeError(f"linalg.matrix_norm: Order {ord} not supported.")
    shape = [1 if axis in (rows, columns) else size for axis, size in enumerate(x.shape)]
    return y.reshape(shape) if keepdim else y


@takes_out
@numpy_names
def norm(
    A: Tensor,
    ord: float | str | None = None,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: npt.DTypeLike | None = None,
) -> Tensor:
    """vector_norm for one axis, matrix_norm for two; without ord the root of the sum of squares."""
    axes = (dim,) if isinstance(dim, int) else dim
    if ord is None:
        return A.norm(2, dim, keepdim, dtype)
    count = A.ndim if axes is None else len(axes)
    if count > 2 or (count == 1 and isinstance(ord, str)):
        raise RuntimeError("linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D")
    if count == 1:
        return A.norm(ord, dim, keepdim, dtype)
    return matrix_norm(A, ord, (-2, -1) if axes is None else axes, keepdim, dtype=dtype)


@takes_out
def svdvals(A: Tensor) -> Tensor:
    """The singular values, the largest first."""
    return apply(ops.SingularValues, A)


# --- equations and products -------------------------------------------------------------------------------------------


@takes_out
def solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:
    """X with A @ X = B, or X @ A = B if not left; B may hold vectors. Raises LinAlgError for a singular A."""
    A._require_square("solve")
    if not left:
        return solve(A.mT, B.mT).mT
    vectors = B.ndim == 1 or (B.ndim == A.ndim - 1 and B.shape == A.shape[:-1])
    right = B.unsqueeze(-1) if vectors else B
    if right.shape[-2] != A.shape[-1]:
        raise RuntimeError(f"linalg.solve: Incompatible shapes of A {list(A.shape)} and B {list(B.shape)}")
    result = A._solved("solve", ops.Solve, right)
    return result.squeeze(-1) if vectors else result


@takes_out
def cross(input: Tensor, other: Tensor, *, dim: int = -1) -> Tensor:
    """The vectors along dim, each perpendicular to input's and other's."""
    return input.cross(other, dim)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Tensor.diagonal, of the last two axes."""
    return A.diagonal(offset, dim1, dim2)


@takes_out
@numpy_names
def vecdot(x: Tensor, y: Tensor, *, dim: int = -1) -> Tensor:
    """The sums of products along dim."""
    return (x * y).sum(dim)


@takes_out
def multi_dot(tensors: Sequence[Tensor]) -> Tensor:
    """The product of several matrices."""
    product = tensors[0]
    for x in tensors[1:]:
        product = product @ x
    return product


# --- decompositions: no gradient --------------------------------------------------------------------------------------


def _of_arrays(name: str, function: Callable[..., Any], *tensors: Tensor, **options: Any) -> Any:
    """NumPy's function of the arrays. Raises NotImplementedError where a gradient would be lost."""
    if is_grad_enabled() and any(x.requires_grad for x in tensors):
        raise NotImplementedError(f"linalg.{name} has no gradient in minitrain; detach() its input first.")
    try:
        found = function(*(x.array for x in tensors), **options)
    except np.linalg.LinAlgError as error:
        raise LinAlgError(f"linalg.{name}: {error}") from None
    parts = found if isinstance(found, tuple) else (found,)
    made = [wrap(np.asarray(part)) for part in parts]
    return made if isinstance(found, tuple) else made[0]


def svd(A: Tensor, full_matrices: bool = True) -> Any:
    """(U, S, Vh) with A = U @ diag(S) @ Vh; the signs of U's columns may be others than torch's."""
    return TYPES["linalg_svd"](*_of_arrays("svd", np.linalg.svd, A, full_matrices=full_matrices))


def qr(A: Tensor, mode: str = "reduced") -> Any:
    """(Q, R) with A = Q @ R, Q's columns orthonormal, R 0 below the diagonal."""
    return TYPES["linalg_qr"](*_of_arrays("qr", np.linalg.qr, A, mode=mode))


def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """(eigenvalues, eigenvectors) of symmetric matrices, the smallest first; vectors in columns, up to their sign."""
    return TYPES["linalg_eigh"](*_of_arrays("eigh", np.linalg.eigh, A, UPLO=UPLO))


@takes_out
def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """The eigenvalues of symmetric matrices, the smallest first."""
    return _of_arrays("eigvalsh", np.linalg.eigvalsh, A, UPLO=UPLO)  # type: ignore[no-any-return]


@takes_out
def cholesky(A: Tensor, *, upper: bool = False) -> Tensor:
    """L with A = L @ L.T, 0 above the diagonal; its transpose if upper."""
    return _of_arrays("cholesky", np.linalg.cholesky, A, upper=upper)  # type: ignore[no-any-return]


def slogdet(A: Tensor) -> Any:
    """(sign, logabsdet): the determinant's sign, and the logarithm of its absolute value."""
    return TYPES["linalg_slogdet"](*_of_arrays("slogdet", np.linalg.slogdet, A))


@takes_out
def pinv(A: Tensor, *, rcond: float | None = None, hermitian: bool = False) -> Tensor:
    """The pseudoinverse; singular values below rcond times the largest count as 0."""
    least = max(A.shape[-2:]) * float(np.finfo(A.dtype).eps) if rcond is None else rcond
    return _of_arrays("pinv", np.linalg.pinv, A, rcond=least, hermitian=hermitian)  # type: ignore[no-any-return]


def matrix_rank(A: Tensor, *, tol: float | None = None, hermitian: bool = False) -> Tensor:
    """How many singular values are larger than their rounding error."""
    return wrap(np.asarray(np.linalg.matrix_rank(A.detach().array, tol, hermitian), LONG))


def lstsq(A: Tensor, B: Tensor) -> Any:
    """(X, the sums of squares left, the rank, the singular values) for the X that brings A @ X closest to B."""
    return _of_arrays("lstsq", lambda a, b: tuple(np.linalg.lstsq(a, b)), A, B)


# --- torch.svd and torch.qr, the older functions ----------------------------------------------------------------------


def old_svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> Any:
    """torch.svd: (U, S, V) with input = U @ diag(S) @ V.T."""
    if not compute_uv:
        zeros = [wrap(np.zeros((*input.shape[:-2], n, n), input.dtype)) for n in input.shape[-2:]]
        return TYPES["svd"](zeros[0], svdvals(input), zeros[1])
    u, s, vh = svd(input, full_matrices=not some)
    return TYPES["svd"](u, s, vh.mT)


def old_qr(input: Tensor, some: bool = True) -> Any:
    """torch.qr: (Q, R)."""
    return TYPES["qr"](*qr(input, "reduced" if some else "complete"))
