"""torch.functional: the functions that torch keeps in a module of this name; all are in minitrain itself, too."""

from minitrain.functions import norm, unique, unique_consecutive
from minitrain.joining import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    block_diag,
    broadcast_shapes,
    broadcast_tensors,
    cartesian_prod,
    cdist,
    einsum,
    meshgrid,
    split,
    tensordot,
)
from minitrain.torchlike.not_offered import torch_names

__getattr__, __dir__ = torch_names(__name__)

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block_diag",
    "broadcast_shapes",
    "broadcast_tensors",
    "cartesian_prod",
    "cdist",
    "einsum",
    "meshgrid",
    "norm",
    "split",
    "tensordot",
    "unique",
    "unique_consecutive",
]
