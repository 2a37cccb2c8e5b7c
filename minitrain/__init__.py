"""minitrain: the beginner's PyTorch training workflow, reimplemented in NumPy, spelled as torch spells it.

    import minitrain as torch
    from minitrain import nn

The way in is to read ops/, tape.py, tensor.py, nn/, optim/ and loops.py; README.md has a table of the files in order.
"""

from minitrain import command_start  # noqa: F401, before anything that takes time

# isort: split
import builtins
import sys
from math import inf, nan, pi
from typing import TYPE_CHECKING

from numpy import dtype

from minitrain import data, functions, new_methods, nn, optim  # noqa: F401
from minitrain.creation import (
    TYPED,
    arange,
    as_tensor,
    asarray,
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
    scalar_tensor,
    set_rng_state,
    stack,
    tensor,
    where,
    zeros,
    zeros_like,
)
from minitrain.layout import keep_freed_memory
from minitrain.tensor import Tensor
from minitrain.torchlike.arguments import BOOL as bool
from minitrain.torchlike.arguments import DOUBLE as double
from minitrain.torchlike.arguments import DOUBLE as float64
from minitrain.torchlike.arguments import FLOAT as float
from minitrain.torchlike.arguments import FLOAT as float32
from minitrain.torchlike.arguments import HALF as float16
from minitrain.torchlike.arguments import HALF as half
from minitrain.torchlike.arguments import INT as int
from minitrain.torchlike.arguments import INT as int32
from minitrain.torchlike.arguments import INT8 as int8
from minitrain.torchlike.arguments import INT16 as int16
from minitrain.torchlike.arguments import INT16 as short
from minitrain.torchlike.arguments import LONG as int64
from minitrain.torchlike.arguments import LONG as long
from minitrain.torchlike.arguments import UINT8 as uint8
from minitrain.torchlike.arguments import Size, get_default_dtype, set_default_dtype
from minitrain.torchlike.device import (
    accelerator,
    backends,
    cuda,
    device,
    get_default_device,
    mps,
    set_default_device,
    xpu,
)
from minitrain.torchlike.grad_mode import (
    enable_grad,
    inference_mode,
    is_anomaly_enabled,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from minitrain.torchlike.not_offered import MissingFinder, torch_names
from minitrain.torchlike.printing import set_printoptions
from minitrain.torchlike.random import default_generator, initial_seed, manual_seed, seed

if TYPE_CHECKING:
    from minitrain import autograd, linalg, random, special, utils
    from minitrain.autograd import draw_tape, print_tape
    from minitrain.joining import (
        atleast_1d,
        atleast_2d,
        atleast_3d,
        block_diag,
        broadcast_shapes,
        broadcast_tensors,
        bucketize,
        cartesian_prod,
        cdist,
        column_stack,
        combinations,
        dstack,
        einsum,
        hstack,
        isin,
        meshgrid,
        row_stack,
        searchsorted,
        split,
        tensordot,
        trapezoid,
        trapz,
        tril_indices,
        triu_indices,
        vstack,
    )
    from minitrain.linalg import cholesky, slogdet
    from minitrain.linalg import old_qr as qr
    from minitrain.linalg import old_svd as svd
    from minitrain.linalg import pinv as pinverse
    from minitrain.sampling import Generator, bernoulli, logspace, multinomial, normal, poisson, randint_like, range
    from minitrain.serialization import load, save
    from minitrain.torchlike.settings import (
        are_deterministic_algorithms_enabled,
        can_cast,
        finfo,
        get_float32_matmul_precision,
        get_num_threads,
        iinfo,
        promote_types,
        result_type,
        set_default_tensor_type,
        set_float32_matmul_precision,
        set_num_threads,
        use_deterministic_algorithms,
    )
    from minitrain.torchlike.version import version

__version__ = "0.1.0"

keep_freed_memory()

__getattr__, __dir__ = torch_names(
    __name__,
    {
        "minitrain": "autograd linalg random special utils",
        "minitrain.autograd": "draw_tape print_tape",
        "minitrain.joining": (
            "atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors bucketize cartesian_prod "
            "cdist column_stack combinations dstack einsum hstack isin meshgrid row_stack searchsorted split "
            "tensordot trapezoid trapz tril_indices triu_indices vstack"
        ),
        "minitrain.linalg": "cholesky pinverse=pinv qr=old_qr slogdet svd=old_svd",
        "minitrain.sampling": "Generator bernoulli logspace multinomial normal poisson randint_like range",
        "minitrain.serialization": "load save",
        "minitrain.torchlike.version": "version",
        "minitrain.torchlike.settings": (
            "are_deterministic_algorithms_enabled can_cast finfo get_float32_matmul_precision get_num_threads iinfo "
            "promote_types result_type set_default_tensor_type set_float32_matmul_precision set_num_threads "
            "use_deterministic_algorithms"
        ),
        "minitrain.functions": " ".join(functions.FUNCTIONS),
    },
)
sys.meta_path.append(MissingFinder())

globals().update(TYPED)
concat = concatenate = cat


def is_tensor(obj: object) -> builtins.bool:
    """Whether it is a Tensor."""
    return isinstance(obj, Tensor)


__all__ = [
    "Generator",
    "Size",
    "Tensor",
    "accelerator",
    "arange",
    "as_tensor",
    "autograd",
    "backends",
    "bool",
    "cat",
    "cuda",
    "data",
    "default_generator",
    "device",
    "double",
    "empty",
    "empty_like",
    "enable_grad",
    "eye",
    "float",
    "float16",
    "float32",
    "float64",
    "from_numpy",
    "full",
    "half",
    "short",
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
    "is_grad_enabled",
    "is_tensor",
    "get_default_device",
    "get_default_dtype",
    "set_default_device",
    "mps",
    "xpu",
    "set_default_dtype",
    "dtype",
    "linspace",
    "load",
    "long",
    "manual_seed",
    "nan",
    "nn",
    "no_grad",
    "ones",
    "ones_like",
    "optim",
    "pi",
    "draw_tape",
    "print_tape",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "save",
    "seed",
    "set_grad_enabled",
    "set_printoptions",
    "set_rng_state",
    "special",
    "version",
    "stack",
    "tensor",
    "uint8",
    "utils",
    "where",
    "zeros",
    "zeros_like",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block_diag",
    "broadcast_shapes",
    "broadcast_tensors",
    "bucketize",
    "cartesian_prod",
    "cdist",
    "column_stack",
    "combinations",
    "dstack",
    "einsum",
    "hstack",
    "isin",
    "meshgrid",
    "row_stack",
    "searchsorted",
    "split",
    "tensordot",
    "tril_indices",
    "triu_indices",
    "vstack",
    "qr",
    "svd",
    "pinverse",
    "bernoulli",
    "logspace",
    "multinomial",
    "normal",
    "poisson",
    "randint_like",
    "range",
    "linalg",
    "random",
    "concat",
    "concatenate",
    "asarray",
    "scalar_tensor",
    "trapezoid",
    "trapz",
    "are_deterministic_algorithms_enabled",
    "can_cast",
    "finfo",
    "get_float32_matmul_precision",
    "get_num_threads",
    "iinfo",
    "promote_types",
    "result_type",
    "set_default_tensor_type",
    "set_float32_matmul_precision",
    "set_num_threads",
    "use_deterministic_algorithms",
    "cholesky",
    "slogdet",
    *functions.FUNCTIONS,
    *TYPED,
]
