"""Tensor's methods of linear algebra: products, powers, traces, triangles and diagonals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from minitrain import ops
from minitrain.torchlike.arguments import Scalar, as_axis, by_x, dtype_name
from minitrain.torchlike.arrangement_methods import ArrangementMethods
from minitrain.torchlike.gathering_methods import GatheringMethods
from minitrain.torchlike.names import numpy_names
from minitrain.torchlike.tensor_base import TensorBase

if TYPE_CHECKING:
    from minitrain.tensor import Tensor


class MatrixMethods(GatheringMethods, ArrangementMethods):
    """A vector has one axis, a matrix two, a batch of matrices more in front."""

    def _require_ndim(self, name: str, expected: dict[str, tuple[Any, int]]) -> None:
        for argument, (x, ndim) in expected.items():
            if not isinstance(x, TensorBase):
                raise TypeError(f"{name}(): argument '{argument}' must be Tensor, not {type(x).__name__}")
            if x.ndim != ndim:
                raise RuntimeError(f"{name}: {argument} must be {ndim}-D, but it is {x.ndim}-D")

    def mv(self, vec: Tensor) -> Tensor:
        """A matrix by a vector: (N, K), (K,) -> (N,)."""
        self._require_ndim("mv", {"input": (self, 2), "vec": (vec, 1)})
        return self.matmul(vec)

    def dot(self, tensor: Tensor) -> Tensor:
        """The sum of the products of two vectors' elements."""
        if not isinstance(tensor, TensorBase):
            raise TypeError(f"dot(): argument 'tensor' must be Tensor, not {type(tensor).__name__}")
        if self.ndim != 1 or tensor.ndim != 1:
            raise RuntimeError(f"1D tensors expected, but got {self.ndim}D and {tensor.ndim}D tensors; use matmul.")
        if self.dtype != tensor.dtype:
            raise RuntimeError(
                "dot : expected both vectors to have same dtype, but found "
                f"{dtype_name(self.dtype)} and {dtype_name(tensor.dtype)}"
            )
        if self.shape != tensor.shape:
            raise RuntimeError(
                "inconsistent tensor size, expected tensor "
                f"{list(self.shape)} and src {list(tensor.shape)} to have the same number of elements"
            )
        return self.matmul(tensor)

    vdot = dot

    def inner(self, other: Tensor) -> Tensor:
        """The sums of products over both last axes: (..., K), (... , K) -> the axes of both without the last."""
        if self.ndim == 0 or other.ndim == 0:
            return self * other
        if self.shape[-1] != other.shape[-1]:
            raise RuntimeError(
                "inner() the last dimension must match on both input tensors but got shapes "
                f"{list(self.shape)} and {list(other.shape)}"
            )
        product = self.reshape(-1, self.shape[-1]) @ other.reshape(-1, other.shape[-1]).t()
        return product.reshape([*self.shape[:-1], *other.shape[:-1]])

    def outer(self, vec2: Tensor) -> Tensor:
        """The products of all pairs of two vectors' elements: (N,), (M,) -> (N, M)."""
        self._require_ndim("outer", {"self": (self, 1), "vec2": (vec2, 1)})
        return self.unsqueeze(1) * vec2

    ger = outer

    def bmm(self, mat2: Tensor) -> Tensor:
        """The products of two batches of matrices: (B, N, K), (B, K, M) -> (B, N, M)."""
        self._require_ndim("bmm", {"batch1": (self, 3), "batch2": (mat2, 3)})
        if self.shape[0] != mat2.shape[0] or self.shape[2] != mat2.shape[1]:
            raise RuntimeError(
                "Expected size for first two dimensions of batch2 tensor to be: "
                f"[{self.shape[0]}, {self.shape[2]}] but got: [{mat2.shape[0]}, {mat2.shape[1]}]."
            )
        return self.matmul(mat2)

    def _plus_product(self, product: Tensor, beta: Scalar, alpha: Scalar) -> Tensor:
        """beta · self + alpha · product; what beta = 0 leaves out may hold nan."""
        product = product if alpha == 1 else product * alpha
        if beta == 0:
            return product
        return (self._self() if beta == 1 else self * beta).expand(product.array.shape) + product

    def addmm(self, mat1: Tensor, mat2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
        """beta · self + alpha · mat1 @ mat2."""
        return self._plus_product(mat1.mm(mat2), beta, alpha)

    def addmv(self, mat: Tensor, vec: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
        """beta · self + alpha · mat @ vec."""
        return self._plus_product(mat.mv(vec), beta, alpha)

    def addr(self, vec1: Tensor, vec2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
        """beta · self + alpha · outer(vec1, vec2)."""
        return self._plus_product(vec1.outer(vec2), beta, alpha)

    def baddbmm(self, batch1: Tensor, batch2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
        """beta · self + alpha · batch1 @ batch2, of batches."""
        return self._plus_product(batch1.bmm(batch2), beta, alpha)

    def addbmm(self, batch1: Tensor, batch2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
        """beta · self + alpha · the sum over the batch of batch1 @ batch2."""
        return self._plus_product(batch1.bmm(batch2).sum(0), beta, alpha)

    def kron(self, other: Tensor) -> Tensor:
        """Each element of self times the whole of other, side by side along every axis."""
        ndim = max(self.ndim, other.ndim)
        a, b = ((*(1,) * (ndim - x.ndim), *x.shape) for x in (self, other))
        apart = self.reshape([n for size in a for n in (size, 1)]) * other.reshape([n for size in b for n in (1, size)])
        return apart.reshape([m * n for m, n in zip(a, b, strict=True)])

    @numpy_names
    def cross(self, other: Tensor, dim: int | None = None) -> Tensor:
        """The vectors along dim (the first axis of size 3), each perpendicular to self's and other's."""
        sizes = self.array.shape
        if dim is None and 3 not in sizes:
            raise RuntimeError("no dimension of size 3 in input")
        axis = sizes.index(3) if dim is None else as_axis(dim, self.ndim)
        if sizes[axis] != 3 or other.shape[axis - self.ndim] != 3:
            raise RuntimeError(
                f"linalg.cross: inputs dimension {axis} must have length 3. Got {sizes[axis]} and "
                f"{other.shape[axis - self.ndim]}"
            )
        (a1, b1), (a2, b2) = ([x.roll(-by, axis - self.ndim) for x in (self, other)] for by in (1, 2))
        return a1 * b2 - a2 * b1

    def matrix_power(self, n: int) -> Tensor:
        """The matrix multiplied by itself, n times in all; its inverse for a negative n."""
        self._require_square("matrix_power")
        x = self._apply(ops.Inv, self) if n < 0 else self._self()
        result = self._new(np.broadcast_to(np.eye(self.shape[-1], dtype=self.dtype), self.array.shape).copy())
        n = abs(n)
        first = True
        while n:  # by the bits of n
            if n & 1:
                result, first = (x if first else result @ x), False
            n >>= 1
            x = x @ x if n else x
        return result.clone() if result is self else result

    def _require_square(self, name: str) -> None:
        if self.ndim < 2:
            raise RuntimeError(
                f"linalg.{name}: The input tensor A must have at least 2 dimensions, but it has {self.ndim}"
            )
        if self.shape[-1] != self.shape[-2]:
            raise RuntimeError(
                f"linalg.{name}: A must be batches of square matrices, but they are {by_x(self.shape[-2:])} matrices"
            )
        if not self.is_floating_point():
            raise RuntimeError(
                f"linalg.{name}: Expected a floating point tensor as input. Got {self.dtype}; use .float()."
            )

    # Diagonals and triangles.

    @numpy_names
    def diagonal(self, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
        """The elements with index dim2 = index dim1 + offset, as the last axis; a view."""
        a, b = as_axis(dim1, self.ndim), as_axis(dim2, self.ndim)
        if a == b:
            raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
        return self._apply(ops.Diagonal, self, offset=offset, dim1=a, dim2=b)

    def diag_embed(self, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
        """Matrices, in the plane of dim1 and dim2, with the last axis on the diagonal offset, else 0."""
        a, b = as_axis(dim1, self.ndim + 1), as_axis(dim2, self.ndim + 1)
        if a == b:
            raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
        n = self.shape[-1] + abs(offset)
        places = np.arange(self.shape[-1])
        whole = self._new(np.zeros((*self.shape[:-1], n, n), self.dtype))
        index = (Ellipsis, places + max(-offset, 0), places + max(offset, 0))
        return self._apply(ops.IndexPut, whole, self, index=index).movedim((-2, -1), (a, b))

    def diag(self, diagonal: int = 0) -> Tensor:
        """A matrix's diagonal; of a vector, the matrix with it on the diagonal, else 0."""
        if self.ndim not in (1, 2):
            raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {self.ndim}D")
        return self.diag_embed(diagonal) if self.ndim == 1 else self.diagonal(diagonal).clone()

    def trace(self) -> Tensor:
        """The sum of a matrix's diagonal."""
        if self.ndim != 2:
            raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {self.ndim}")
        return self.diagonal().sum()

    def tril(self, diagonal: int = 0) -> Tensor:
        """The elements up to the diagonal, 0 above it."""
        return self._triangle("tril", diagonal, np.less_equal)

    def triu(self, diagonal: int = 0) -> Tensor:
        """The elements from the diagonal on, 0 below it."""
        return self._triangle("triu", diagonal, np.greater_equal)

    def tril_(self, diagonal: int = 0) -> Self:
        """Write 0 above the diagonal."""
        return self.copy_(self.tril(diagonal))

    def triu_(self, diagonal: int = 0) -> Self:
        """Write 0 below the diagonal."""
        return self.copy_(self.triu(diagonal))

    def _triangle(self, name: str, diagonal: int, keeps: np.ufunc) -> Tensor:
        if self.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        rows, columns = np.ogrid[: self.shape[-2], : self.shape[-1]]
        zero = self._new(np.zeros((), self.dtype))
        return self._where(self._new(keeps(columns - rows, diagonal)), self, zero)

    # Inverses.

    def inverse(self) -> Tensor:
        """The inverse of square matrices; linalg.inv."""
        self._require_square("inv")
        return self._solved("inv", ops.Inv)

    def det(self) -> Tensor:
        """The determinant of square matrices."""
        self._require_square("det")
        return self._apply(ops.Det, self)

    def _solved(self, name: str, operation: Any, *others: Any) -> Tensor:
        """Apply an operation of a square matrix. Raises LinAlgError if the matrix is singular."""
        try:
            return self._apply(operation, self, *others)
        except np.linalg.LinAlgError as error:
            raise LinAlgError(
                f"linalg.{name}: The inversion could not be completed because the input matrix is singular ({error})."
            ) from None


class LinAlgError(RuntimeError):
    """A matrix for which an operation of linear algebra has no result, as torch.linalg.LinAlgError."""


def as_dims(dims: Any, ndim: int) -> tuple[list[int], list[int]]:
    """tensordot's axes of both Tensors: the last of the first and the first of the second, or two lists."""
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        return list(range(ndim - dims, ndim)), list(range(dims))
    first, second = (list(np.atleast_1d(part).tolist()) for part in dims)
    return first, second
