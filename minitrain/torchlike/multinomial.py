"""Drawing indices by weight, as torch.multinomial draws them."""

import math

import numpy as np
from numpy.typing import NDArray

from minitrain.torchlike import random
from minitrain.torchlike.random import Generator


def multinomial(
    weights: NDArray[np.float64], num_samples: int, replacement: bool, *, generator: Generator | None = None
) -> NDArray[np.int64]:
    """`num_samples` indices into the float64 weights (N,), each drawn with a probability proportional to its weight.

    With replacement: the first index whose cumulative weight reaches a uniform number. Without, or for one sample: the
    largest of weight / exponential number. torch's numbers bit for bit, with two exceptions without replacement: on
    Intel CPUs torch draws the exponential numbers with a generator of MKL's, and where indices of weight 0 must be
    drawn as well, they come in another order.

    Raises:
        RuntimeError: a weight is negative, infinite or nan, their sum is 0, or there are too few of them.
    """
    if num_samples <= 0:
        raise RuntimeError(f"cannot sample n_sample <= 0 samples: got {num_samples}")
    if not replacement and num_samples > weights.size:
        raise RuntimeError(
            f"cannot sample n_sample > prob_dist.size(-1) samples without replacement: got {num_samples} samples of "
            f"{weights.size} weights"
        )
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if not weights.sum() > 0:
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    if replacement and num_samples > 1:
        cumulative = np.cumsum(weights)
        cumulative /= cumulative[-1]
        cumulative[-1] = 1.0
        units = random.uniform((num_samples,), dtype=np.float64, generator=generator)
        return np.searchsorted(cumulative, units)
    units = random.uniform((weights.size,), dtype=np.float64, generator=generator)
    exponential = np.array([-math.log1p(-unit) for unit in units.tolist()])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = weights / exponential
    return np.argsort(-ratios, kind="stable")[:num_samples]
