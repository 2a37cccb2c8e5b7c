"""torch's CPU random stream, in NumPy: the same seed gives the same numbers.

Everything here takes and returns plain arrays. A draw comes in two steps: `Generator` yields the words of the
Mersenne Twister MT19937, and a function below turns words into values. Arithmetic and the number of words taken
are torch's, so after any sequence of calls both libraries stand at the same place in the stream.

Compared with torch 2.13 on CPU (x86-64 with AVX2 or newer; torch's code for older CPUs rounds differently):

    bit for bit   uniform, randint, randperm, bernoulli, random_int64, Generator's states,
                  normal in float64, normal in float32 below 16 values
    nearly        normal in float32 from 16 values on: torch has log, sin and cos of its own there. 83 to 86 % of
                  the values are equal (it depends on NumPy's), and before std and mean come in, none is further
                  away than 8 units in its last place (5 is the most seen in 20 million)

On Intel CPUs torch itself leaves this stream in one place: for bernoulli_(p) with a number p, and so for Dropout,
it only seeds a generator of Intel's MKL from it. `bernoulli` is what torch gives on other CPUs, and on all of them
for a p in a float64 tensor. (This is from reading torch's source; the comparison was made on an AMD CPU.)
"""

from __future__ import annotations

import functools
import math
import operator
import os
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
Shape = tuple[int, ...]

# A state's bytes: those of torch.Generator().get_state(). `next` is the place in `key` of the next word.
_STATE = np.dtype(
    [
        ("initial_seed", "<u8"),
        ("left", "<i4"),  # 625 - next, or 1 when just seeded
        ("seeded", "<i4"),  # always 1
        ("next", "<u8"),  # 0 to 624
        ("key", "<u8", 624),  # the twister's 32-bit words, each in 64 bits
        ("unused_x", "<f8"),
        ("spare_normal", "<f8"),
        ("unused_rho", "<f8"),
        ("has_spare_normal", "<i4"),
        ("unused", "V12"),  # torch: a float32 spare, which no draw on CPU leaves
    ]
)


class Generator:
    """A stream of random numbers, as torch.Generator on CPU.

    Source: M. Matsumoto, T. Nishimura, "Mersenne Twister", ACM TOMACS 8 (1998); NumPy's legacy RandomState holds
    the same twister. https://docs.pytorch.org/docs/2.13/generated/torch.Generator.html
    """

    def __init__(self, device: object = "cpu") -> None:
        """Start at torch's default seed, 67280421310721. Raises RuntimeError for any device but "cpu"."""
        if str(device) != "cpu":
            raise RuntimeError(f"Generator lives on device 'cpu' only, got {device!r}; leave device out")
        self.manual_seed(67280421310721)

    def manual_seed(self, seed: int) -> Generator:
        """Restart the stream at seed, an int from -2**63 to 2**64 - 1, and return the generator.

        Only the low 32 bits choose the stream; a negative seed stands for 2**64 + seed. Raises TypeError for
        what is no integer and ValueError outside the range.
        """
        seed = operator.index(seed)
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"manual_seed expects a seed from -2**63 to 2**64 - 1, got {seed}")
        self._initial_seed = seed % 2**64
        self.__dict__.pop("_twister", None)
        self._just_seeded = True  # no word drawn yet: torch writes this state differently
        self._spare_normal: float | None = None  # Box-Muller makes two values at a time, see normal
        return self

    @functools.cached_property
    def _twister(self) -> np.random.RandomState:
        """NumPy's twister, made when it is first asked for: importing numpy.random takes its time."""
        return np.random.RandomState(self._initial_seed % 2**32)

    def initial_seed(self) -> int:
        """The seed the stream was started with, from 0 to 2**64 - 1."""
        return self._initial_seed

    def seed(self) -> int:
        """Restart the stream at 64 bits from the operating system, and return them."""
        self.manual_seed(int.from_bytes(os.urandom(8), "little"))
        return self._initial_seed

    def get_state(self) -> Any:
        """The whole state as torch writes it: a uint8 array, shape (5056,), for set_state here or in torch."""
        return self.state()

    def state(self) -> NDArray[np.uint8]:
        """get_state's array; minitrain.Generator's get_state returns a Tensor."""
        twister: dict[str, Any] = self._twister.get_state(legacy=False)["state"]
        position = 0 if self._just_seeded else twister["pos"]
        state = np.zeros(1, _STATE)
        state["initial_seed"] = self._initial_seed
        state["left"] = 1 if self._just_seeded else 625 - position
        state["seeded"] = 1
        state["next"] = position
        state["key"] = twister["key"]
        if self._spare_normal is not None:
            state["spare_normal"] = self._spare_normal
            state["has_spare_normal"] = 1
        return state.view(np.uint8)

    def set_state(self, state: object) -> None:
        """Go on from a state of get_state, of minitrain's or torch's, in any form np.asarray accepts.

        Raises TypeError when its dtype is not uint8, RuntimeError when it is no state of 5056 bytes.
        """
        given = np.asarray(state)
        if given.dtype != np.uint8:
            raise TypeError(f"RNG state must be an array of uint8, got {given.dtype}; pass what get_state returned")
        if given.size != _STATE.itemsize:
            raise RuntimeError(
                f"Expected an RNG state of size {_STATE.itemsize} but found the input RNG state size to be "
                f"{given.size}; pass what get_state returned"
            )
        fields = given.ravel().view(_STATE)[0]
        left, position = int(fields["left"]), int(fields["next"])
        just_seeded = (left, position) == (1, 0)
        if fields["seeded"] != 1 or not (just_seeded or 1 <= position == 625 - left <= 624):
            raise RuntimeError("Invalid mt19937 state; pass what get_state returned")
        key = fields["key"].astype(np.uint32)
        self._twister.set_state(("MT19937", key, 624 if just_seeded else position, 0, 0.0))
        self._initial_seed = int(fields["initial_seed"])
        self._just_seeded = just_seeded
        self._spare_normal = float(fields["spare_normal"]) if fields["has_spare_normal"] else None

    def _words32(self, count: int) -> NDArray[np.uint32]:
        """The stream's next words, shape (count,)."""
        self._just_seeded &= count == 0
        return np.frombuffer(self._twister.bytes(4 * count) if count else b"", "<u4")  # bytes(0) would take a word

    def _words64(self, count: int) -> NDArray[np.uint64]:
        """Pairs of words as one, the first in the high half, shape (count,)."""
        return self._words32(2 * count).reshape(count, 2)[:, ::-1].copy().view("<u8").reshape(count)


default_generator = Generator()
default_generator.seed()  # as torch's: without manual_seed, every process draws other numbers


def manual_seed(seed: int) -> Generator:
    """Restart the default generator at int(seed), as torch.manual_seed, and return it."""
    return default_generator.manual_seed(int(seed))


def initial_seed() -> int:
    """The seed the default generator was started with."""
    return default_generator.initial_seed()


def seed() -> int:
    """Restart the default generator at 64 bits from the operating system, and return them."""
    return default_generator.seed()


def uniform(
    shape: Shape,
    low: float = 0.0,
    high: float = 1.0,
    *,
    dtype: DTypeLike = np.float32,
    generator: Generator | None = None,
) -> Array:
    """Values from [low, high), as torch.rand and Tensor.uniform_: unit * (high - low) + low, rounded once.

    A float32 takes one word, a float64 two. Raises RuntimeError when low > high or a bound does not fit the
    dtype, NotImplementedError for other dtypes. float64 is bit-exact for high - low above 1e-280.
    """
    dtype, count = _float_dtype("uniform", dtype), _count(shape)
    largest = float(np.finfo(dtype).max)
    for name, bound in (("low", low), ("high", high)):
        if not -largest <= bound <= largest:
            raise RuntimeError(f"uniform: {name} is out of bounds for {dtype}, got {bound}")
    if not low <= high:
        raise RuntimeError(f"uniform expects to return a [low, high) range, but found low={low} > high={high}")
    if not high - low <= largest:
        raise RuntimeError(f"uniform expects high - low <= {largest} ({dtype}), got low={low}, high={high}")
    start, stop = dtype.type(low), dtype.type(high)
    values = multiply_add(_unit(count, dtype, generator), stop - start, start)
    values[values == stop] = start  # rounding can reach the end, which the range leaves out
    return values.reshape(shape)


def normal(
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    *,
    dtype: DTypeLike = np.float32,
    generator: Generator | None = None,
    blocks: bool = True,
) -> Array:
    """Normally distributed values, as torch.randn and Tensor.normal_, by the Box-Muller transform.

    Of two uniform u, v in [0, 1): r = sqrt(-2 log(1 - v)) gives r cos(2 pi u) and r sin(2 pi u), each a standard
    normal, independent of the other. Below 16 values they come one by one in float64, and the second of an odd
    pair waits in the generator for the next call. From 16 on they come in blocks of 16 in the dtype: the first
    8 uniforms are v, the next 8 u, then 8 cosines, 8 sines; an incomplete last block is drawn again.
    Without blocks all come one by one: so torch fills what does not lie in memory in the order of its indices.

    Bit-exact in float64 and below 16 values; float32 from 16 on is within std * 8 units in the last place of the
    standard normal, plus one of the result. Raises RuntimeError unless mean and std are finite in the dtype and
    std >= 0, NotImplementedError for dtypes other than float32 and float64.
    Source: G. Box, M. Muller, Annals of Mathematical Statistics 29 (1958).
    """
    dtype, count = _float_dtype("normal", dtype), _count(shape)
    largest = float(np.finfo(dtype).max)
    if not (0 <= std <= largest and -largest <= mean <= largest):
        raise RuntimeError(f"normal expects finite mean and std >= 0.0, but found mean {mean}, std {std} ({dtype})")
    if count < 16 or not blocks:
        standard = _box_muller_one_by_one(count, generator or default_generator)
        return multiply_add(standard, np.float64(std), np.float64(mean)).astype(dtype).reshape(shape)
    units = _unit(count, dtype, generator)
    standard = np.empty(count, dtype)
    whole = count - count % 16
    standard[:whole] = _box_muller_blocks(units[:whole])
    if whole < count:
        standard[-16:] = _box_muller_blocks(_unit(16, dtype, generator))
    return multiply_add(standard, dtype.type(std), dtype.type(mean)).reshape(shape)


def randint(
    low: int,
    high: int,
    shape: Shape,
    *,
    dtype: DTypeLike = np.int64,
    generator: Generator | None = None,
) -> Array:
    """Integers from low to high - 1, as torch.randint: low + word % (high - low).

    A range below 2**28 takes one word a value, a larger one two. Raises RuntimeError when low >= high or when the
    dtype cannot hold the values (a float dtype: hold each of them exactly), NotImplementedError for dtypes that
    are neither boolean, integer nor float.
    """
    dtype, count = np.dtype(dtype), _count(shape)
    low, high = operator.index(low), operator.index(high)
    if low >= high:
        raise RuntimeError(f"randint expects low to be less than high, but got low={low} >= high={high}")
    smallest, largest = _integer_bounds(dtype)
    for name, bound in (("low", low), ("high - 1", high - 1)):
        if not smallest <= bound <= largest:
            raise RuntimeError(
                f"randint: {name} is out of bounds for {dtype}, got {bound}, expected {smallest} to {largest}"
            )
    source, span = generator or default_generator, high - low
    words: Array = source._words32(count) if span < 2**28 else source._words64(count)
    # A span above 2**63 wraps around in int64, and adding low brings the sum back into range.
    values: Array = (words % words.dtype.type(span)).astype(np.int64) + low
    return values.astype(dtype).reshape(shape)


def randperm(n: int, *, generator: Generator | None = None) -> NDArray[np.int64]:
    """The integers 0 to n - 1 in random order, shape (n,), as torch.randperm.

    Fisher and Yates's shuffle from the front: place i is swapped with one of i to n - 1. Takes n - 1 words.
    Raises RuntimeError for a negative n, and from 2**32 // 20 on, where torch's algorithm is another one.
    """
    n = operator.index(n)
    if not 0 <= n < 2**32 // 20:
        raise RuntimeError(f"randperm expects n from 0 to {2**32 // 20 - 1}, got {n}")
    places = np.arange(max(n - 1, 0))
    words = (generator or default_generator)._words32(places.size)
    partners = places + words % (n - places)
    permutation = list(range(n))
    for i, j in enumerate(partners.tolist()):
        permutation[i], permutation[j] = permutation[j], permutation[i]
    return np.array(permutation, np.int64)


def bernoulli(shape: Shape, p: float, *, generator: Generator | None = None) -> NDArray[np.bool_]:
    """True with probability p, as torch's bernoulli_(p): where a float64 uniform in [0, 1) is below p.

    Two words a value. Raises RuntimeError when p is not in [0, 1].
    """
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli expects p to be in [0, 1], but got p={p}")
    below: NDArray[np.bool_] = _unit(_count(shape), np.dtype(np.float64), generator) < p
    return below.reshape(shape)


def bernoulli_each(p: Array, *, generator: Generator | None = None) -> NDArray[np.bool_]:
    """True with the probability at its place in p, as torch.bernoulli(p): where a uniform of p's dtype is below it.

    Raises RuntimeError when a probability is not in [0, 1].
    """
    if not ((p >= 0) & (p <= 1)).all():
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    return np.asarray(_unit(p.size, _float_dtype("bernoulli", p.dtype), generator).reshape(p.shape) < p)


def exponential(
    shape: Shape, rate: float = 1.0, *, dtype: DTypeLike = np.float32, generator: Generator | None = None
) -> Array:
    """Exponentially distributed values, as Tensor.exponential_: -log(1 - u) / rate of a float64 uniform u.

    Bit for bit torch's, but on Intel CPUs, where torch only seeds MKL's generator from this stream. Two words a
    value. Raises RuntimeError unless rate is above 0.
    """
    if not rate > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={rate}")
    units = _unit(_count(shape), np.dtype(np.float64), generator)
    return np.asarray(-1.0 / rate * _each(math.log1p, -units)).astype(dtype).reshape(shape)


def poisson(rate: Array, *, generator: Generator | None = None) -> Array:
    """Numbers of events, each where rate are expected, in rate's dtype: torch.poisson's.

    Source: D. Knuth, The Art of Computer Programming 2, 3.4.1; from a rate of 10 on, W. Hoermann's PTRS, Insurance:
    Mathematics and Economics 12 (1993).
    """
    source = generator or default_generator
    if (rate < 0).any():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    values = [_poisson_one(value, source) for value in rate.astype(np.float64).ravel().tolist()]
    return np.array(values, rate.dtype).reshape(rate.shape)


def _poisson_one(rate: float, source: Generator) -> float:
    double = np.dtype(np.float64)
    if rate == 0:
        return 0
    if rate < 10:
        count, product, limit = 0, 1.0, math.exp(-rate)
        while True:
            product *= float(_unit(1, double, source)[0])
            if product <= limit:
                return count
            count += 1
    root, log_rate = math.sqrt(rate), math.log(rate)
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    inverse_alpha, v_r = 1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2)
    while True:
        u, v = (_unit(2, double, source) - (0.5, 0.0)).tolist()
        us = 0.5 - abs(u)
        k: int = math.floor((2 * a / us + b) * u + rate + 0.43)
        if us >= 0.07 and v <= v_r:
            return float(k)
        if k < 0 or (us < 0.013 and v > us):
            continue
        if math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b) <= (
            -rate + k * log_rate - math.lgamma(k + 1)
        ):
            return float(k)


def multinomial(
    weights: Array, count: int, replacement: bool, *, generator: Generator | None = None
) -> NDArray[np.int64]:
    """count places drawn from each row of weights, (..., count): torch.multinomial's.

    Without replacement: the places of the largest weight / q, q exponentially distributed (the one that arrives first,
    then the second, ...). With it: where uniforms in float64 lie among the running sums of the weights.
    """
    if count == 1 or not replacement:
        with np.errstate(divide="ignore", invalid="ignore"):
            first = weights / exponential(weights.shape, dtype=weights.dtype, generator=generator)
        return np.argsort(-first, axis=-1, kind="stable")[..., :count]
    ends = np.cumsum(weights, axis=-1, dtype=weights.dtype)
    ends /= ends[..., -1:]
    ends[..., -1] = 1
    places = np.empty((*weights.shape[:-1], count), np.int64)
    for row in np.ndindex(weights.shape[:-1]):
        places[row] = np.searchsorted(ends[row], _unit(count, np.dtype(np.float64), generator))
    return places


def random_int64(generator: Generator | None = None) -> int:
    """One integer from 0 to 2**63 - 1, of two words, as torch.empty((), dtype=torch.int64).random_().item()."""
    return int((generator or default_generator)._words64(1)[0]) % 2**63


def _count(shape: Shape) -> int:
    """How many values a shape holds; a RuntimeError when a dimension is negative."""
    if any(size < 0 for size in shape):
        raise RuntimeError(f"Trying to create an array with a negative dimension: {shape}")
    return math.prod(shape)


def _float_dtype(name: str, dtype: DTypeLike) -> np.dtype[Any]:
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise NotImplementedError(f"{name} draws float32 or float64, got {dtype}; convert its result")
    return dtype


def _integer_bounds(dtype: np.dtype[Any]) -> tuple[int, int]:
    """The smallest and the largest integer that randint draws in dtype: 64 bits with a sign at most."""
    if dtype == np.bool_:
        return 0, 1
    if dtype in (np.float16, np.float32, np.float64):
        exact = 2 ** (np.finfo(dtype).nmant + 1)
        return -exact, exact
    if dtype.kind not in "iu":
        raise NotImplementedError(f"randint draws booleans, integers or floats of up to 64 bits, got {dtype}")
    bounds = np.iinfo(dtype)
    return int(bounds.min), min(int(bounds.max), 2**63 - 1)


def _unit(count: int, dtype: np.dtype[Any], generator: Generator | None) -> Array:
    """Uniform values in [0, 1), shape (count,): as many low bits of a word as the dtype's significand has."""
    source = generator or default_generator
    if dtype == np.float32:
        return (source._words32(count) & (2**24 - 1)).astype(np.float32) * np.float32(2**-24)
    return (source._words64(count) & (2**53 - 1)).astype(np.float64) * 2.0**-53


def _box_muller_one_by_one(count: int, generator: Generator) -> NDArray[np.float64]:
    """Fewer than 16 standard normals, shape (count,); the spare one of an odd pair stays in the generator.

    log1p, sin and cos are the C library's, which torch calls as well; NumPy's differ in a last bit at times.
    """
    values: list[float] = []
    while len(values) < count:
        if generator._spare_normal is not None:
            values.append(generator._spare_normal)
            generator._spare_normal = None
        else:
            u, v = _unit(2, np.dtype(np.float64), generator).tolist()
            radius, angle = math.sqrt(-2.0 * math.log1p(-v)), 2.0 * math.pi * u
            values.append(radius * math.cos(angle))
            generator._spare_normal = radius * math.sin(angle)
    return np.array(values, np.float64)


def _box_muller_blocks(units: Array) -> Array:
    """Uniforms to standard normals of the same shape, (16 * blocks,), and dtype."""
    v, u = units.reshape(-1, 2, 8).swapaxes(0, 1)  # (blocks, 8) each
    angle = units.dtype.type(2 * math.pi) * u
    if units.dtype == np.float32:
        log, cos, sin = np.log(1 - v), np.cos(angle), np.sin(angle)
    else:
        log, cos, sin = _each(math.log, 1 - v), _each(math.cos, angle), _each(math.sin, angle)
    radius = np.sqrt(-2 * log)
    return np.stack([radius * cos, radius * sin], axis=1).reshape(units.shape)


def _each(function: Any, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The C library's function of each element: torch's bits, at about 50 ns a value."""
    return np.array(list(map(function, x.ravel().tolist()))).reshape(x.shape)


def multiply_add(x: Array, scale: Any, offset: Any) -> Array:
    """x * scale + offset with one rounding, as the processor's fused multiply-add that torch uses.

    x is float32 or float64, |x| < 2**500; scale and offset are NumPy scalars of its dtype. The errors of the
    steps are known exactly; they are put together so that only the last step rounds.
    Source: S. Boldo, G. Melquiond, "Emulation of a FMA and correctly rounded sums: proved algorithms using
    rounding to odd", IEEE Transactions on Computers 57 (2008).
    """
    if offset == 0:
        return np.asarray(x * scale + offset)  # the product is all there is to round
    if x.dtype == np.float32:  # 24 * 24 bits: the product is exact in float64, and so is the error of the sum
        total, error = _two_sum(x.astype(np.float64) * np.float64(scale), np.float64(offset))
        return _round_to_odd(total, error).astype(np.float32)
    product, product_error = _two_product(x, scale)
    low_sum, low_error = _two_sum(product_error, offset)
    total, error = _two_sum(product, low_sum)
    return np.asarray(total + _round_to_odd(*_two_sum(error, low_error)))


def _two_sum(a: Array, b: Any) -> tuple[Array, Array]:
    """a + b rounded, and the rest that rounding took, both float64 (D. Knuth's TwoSum)."""
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


def _two_product(x: Array, scale: Any) -> tuple[Array, Array]:
    """x * scale rounded, and the rest that rounding took, both float64 (T. Dekker's product).

    Each factor is split into two of at most 27 bits, whose products are exact.
    """
    x_high = ((x.view(np.int64) + (1 << 26)) & -(1 << 27)).view(np.float64)  # nearest: the low part has 26 bits
    scale_high = (scale.view(np.int64) & -(1 << 27)).view(np.float64)  # cut off: cannot overflow
    x_low, scale_low = x - x_high, scale - scale_high
    product = x * scale
    error = ((x_high * scale_high - product) + x_high * scale_low + x_low * scale_high) + x_low * scale_low
    return product, error


def _round_to_odd(nearest: Array, error: Array) -> Array:
    """The exact nearest + error, when no float64, to the one of its two neighbours whose last bit is set.

    Rounding that once more, to fewer bits, gives what rounding the exact value would have given.
    """
    bits = nearest.view(np.int64)
    step = np.where((error > 0) == (nearest > 0), 1, -1)
    return np.where((error != 0) & (bits % 2 == 0), bits + step, bits).view(np.float64)
