"""minitrain.torchlike.random is torch's CPU stream: the same values, the same place afterwards, the same refusals.

Values are compared as bytes. The torch to compare with is 2.13, on a CPU with AVX2 or newer.
"""

import copy
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import minitrain
from minitrain.torchlike import random
from minitrain.torchlike.random import Generator

SEEDS = st.integers(-(2**63), 2**64 - 1)
SHAPES = st.one_of(st.tuples(st.integers(0, 70)), st.lists(st.integers(0, 5), max_size=3).map(tuple), st.just((1300,)))
SMALL = st.one_of(st.tuples(st.integers(0, 15)), st.lists(st.integers(0, 2), max_size=3).map(tuple))
FLOATS = st.sampled_from(["float32", "float64"])
INTEGERS = ["bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"]
DTYPES = st.sampled_from([*INTEGERS, "float16", "float32", "float64"])
NUMBERS = st.floats(-1e30, 1e30)


def wide_enough(bounds: list[float]) -> bool:
    return bounds[0] == bounds[1] or bounds[1] - bounds[0] > 1e-280


RANGES = st.lists(NUMBERS, min_size=2, max_size=2).map(sorted).filter(wide_enough)


@st.composite
def integer_ranges(draw: st.DrawFn) -> tuple[str, int, int]:
    """A dtype and a low < high that fit it: both ends anywhere, or a span close to 2**28 or to all there is."""
    dtype = draw(DTYPES)
    if dtype.startswith("float"):
        largest = {"float16": 2**11, "float32": 2**24, "float64": 2**53}[dtype]
        smallest = -largest
    else:
        smallest, largest = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    smallest, largest = int(smallest), min(int(largest), 2**63 - 2)
    low = draw(st.integers(smallest, largest))
    spans = st.one_of(st.integers(1, 20), st.integers(2**28 - 2, 2**28 + 2), st.integers(1, 2**64))
    return dtype, low, min(low + draw(spans), largest + 1)


# A call is a name and its arguments; these two make it, on minitrain's generator and on torch's.
CALLS = st.one_of(
    st.tuples(st.just("uniform"), SHAPES, RANGES, FLOATS),
    st.tuples(st.just("rand"), SHAPES, FLOATS),
    st.tuples(st.just("normal"), SMALL, st.floats(-100, 100), st.floats(0, 100), FLOATS),
    st.tuples(st.just("normal"), SHAPES, st.floats(-100, 100), st.floats(0, 100), st.just("float64")),
    st.tuples(st.just("position of float32 normal"), SHAPES),
    st.tuples(st.just("randint"), SHAPES, integer_ranges()),
    st.tuples(st.just("randperm"), st.integers(0, 40)),
    st.tuples(st.just("bernoulli"), SHAPES, st.floats(0, 1)),
    st.just(("random_int64",)),
)
PROGRAMS = st.lists(CALLS, max_size=6)


def ours(call: tuple[Any, ...], generator: Generator) -> Any:
    match call:
        case ("uniform", shape, (low, high), dtype):
            return random.uniform(shape, low, high, dtype=dtype, generator=generator)
        case ("rand", shape, dtype):
            return random.uniform(shape, dtype=dtype, generator=generator)
        case ("normal", shape, mean, std, dtype):
            return random.normal(shape, mean, std, dtype=dtype, generator=generator)
        case ("position of float32 normal", shape):
            return random.normal(shape, generator=generator).shape
        case ("randint", shape, (dtype, low, high)):
            return random.randint(low, high, shape, dtype=dtype, generator=generator)
        case ("randperm", n):
            return random.randperm(n, generator=generator)
        case ("bernoulli", shape, p):
            return random.bernoulli(shape, p, generator=generator)
        case ("random_int64",):
            return random.random_int64(generator)
    raise ValueError(call)


def theirs(call: tuple[Any, ...], generator: torch.Generator) -> Any:
    match call:
        case ("uniform", shape, (low, high), dtype):
            return empty(shape, dtype).uniform_(low, high, generator=generator).numpy()
        case ("rand", shape, dtype):
            return torch.rand(shape, dtype=getattr(torch, dtype), generator=generator).numpy()
        case ("normal", shape, mean, std, dtype):
            return empty(shape, dtype).normal_(mean, std, generator=generator).numpy()
        case ("position of float32 normal", shape):
            return tuple(torch.randn(shape, generator=generator).shape)
        case ("randint", shape, (dtype, low, high)):
            return torch.randint(low, high, shape, dtype=getattr(torch, dtype), generator=generator).numpy()
        case ("randperm", n):
            return torch.randperm(n, generator=generator).numpy()
        case ("bernoulli", shape, p):  # p as a tensor: on Intel CPUs a number p takes another stream
            return empty(shape, "bool").bernoulli_(float64(p), generator=generator).numpy()
        case ("random_int64",):
            return empty((), "int64").random_(generator=generator).item()
    raise ValueError(call)


def empty(shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    return torch.empty(shape, dtype=getattr(torch, dtype))


def float64(p: float) -> torch.Tensor:
    return torch.tensor(p, dtype=torch.float64)


def pair(seed: int) -> tuple[Generator, torch.Generator]:
    return Generator().manual_seed(seed), torch.Generator().manual_seed(seed)


def assert_same_bits(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)
        assert a.tobytes() == b.tobytes()
    else:
        assert a == b


def assert_same_state(mine: Generator, torchs: torch.Generator) -> None:
    np.testing.assert_array_equal(mine.get_state(), torchs.get_state().numpy())


# The stream, as literals: it stays what it is, whatever torch becomes.


def test_known_values_after_seed_0() -> None:
    g = Generator().manual_seed(0)
    assert random.uniform((3,), generator=g).tolist() == [
        0.49625658988952637,
        0.7682217955589294,
        0.08847743272781372,
    ]
    assert random.uniform((3,), dtype=np.float64, generator=g).tolist() == [
        0.0562441839043476,
        0.07262971157225484,
        0.17155810530414428,
    ]
    assert random.randint(-5, 5, (8,), generator=g).tolist() == [-2, -4, 1, 1, 4, 3, 1, 1]
    assert random.randint(0, 2**40, (2,), generator=g).tolist() == [602942290234, 832329121254]
    assert random.randperm(10, generator=g).tolist() == [9, 0, 8, 7, 1, 4, 3, 6, 2, 5]
    assert random.bernoulli((8,), 0.5, generator=g).tolist() == [1, 1, 1, 0, 0, 1, 0, 1]
    assert random.random_int64(g) == 5174849911380446355
    assert random.normal((3,), dtype=np.float64, generator=g).tolist() == pytest.approx(
        [0.19186942747902466, 1.2637947253235853, -1.29043510317847], rel=1e-15
    )
    assert random.normal((2,), generator=g).tolist() == pytest.approx(
        [-0.7911027073860168, -0.02087947353720665], rel=1e-7
    )
    assert random.uniform((2,), -0.3, 0.7, generator=g).tolist() == [0.42623651027679443, 0.4010801911354065]


def test_a_stream_off_by_one_word_is_noticed() -> None:
    mine, torchs = pair(0)
    mine._words32(1)
    assert not np.array_equal(mine.get_state(), torchs.get_state().numpy())
    assert (random.uniform((8,), generator=mine) != torch.rand(8, generator=torchs).numpy()).all()


# The stream against torch's.


@given(SEEDS, PROGRAMS)
@example(0, [("normal", (3,), 0.0, 1.0, "float32"), ("normal", (17,), 0.0, 1.0, "float64")] * 2)
def test_any_program_draws_the_same_values_and_ends_at_the_same_place(seed: int, program: list[Any]) -> None:
    mine, torchs = pair(seed)
    for call in program:
        assert_same_bits(ours(call, mine), theirs(call, torchs))
        assert_same_state(mine, torchs)


@given(SEEDS, PROGRAMS, PROGRAMS)
@example(0, [("normal", (1,), 0.0, 1.0, "float64")], [("normal", (2,), 0.0, 1.0, "float64")])
def test_a_state_goes_to_torch_in_mid_stream(seed: int, before: list[Any], after: list[Any]) -> None:
    mine, torchs = Generator().manual_seed(seed), torch.Generator()
    for call in before:
        ours(call, mine)
    torchs.set_state(torch.from_numpy(mine.get_state()))
    assert torchs.initial_seed() == mine.initial_seed()
    for call in after:
        assert_same_bits(ours(call, mine), theirs(call, torchs))


@given(SEEDS, PROGRAMS, PROGRAMS)
@example(0, [("normal", (1,), 0.0, 1.0, "float64")], [("normal", (2,), 0.0, 1.0, "float64")])
def test_a_state_comes_from_torch_in_mid_stream(seed: int, before: list[Any], after: list[Any]) -> None:
    mine, torchs = Generator(), torch.Generator().manual_seed(seed)
    for call in before:
        theirs(call, torchs)
    mine.set_state(torchs.get_state())
    assert torchs.initial_seed() == mine.initial_seed()
    for call in after:
        assert_same_bits(ours(call, mine), theirs(call, torchs))


@pytest.mark.parametrize("words", [0, 1, 623, 624, 625, 1248])
def test_states_agree_around_the_twisters_refill(words: int) -> None:
    mine, torchs = pair(5)
    random.uniform((words,), generator=mine)
    torch.rand(words, generator=torchs)
    assert_same_state(mine, torchs)


# With a tiny low and a span of 3, many products lie halfway between two floats, and low decides where they go.
BOUNDS = [(-0.03, 0.03), (1e-20, 3.0), (1e-36, 3.0), (-1e-9, 1.7), (1.0, 1.000001), (5.0, 5.0)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bounds", BOUNDS)
def test_large_uniforms_agree_in_every_bit(dtype: str, bounds: tuple[float, float]) -> None:
    mine, torchs = pair(7)
    call = ("uniform", (100_003,), bounds, dtype)
    assert_same_bits(ours(call, mine), theirs(call, torchs))


@pytest.mark.parametrize("bounds", [(1.0, 1.0 + 2**-22), (-1.0, -1.0 + 2**-22)])
def test_uniform_leaves_out_its_high_end(bounds: tuple[float, float]) -> None:
    values = random.uniform((1000,), *bounds, generator=Generator())
    assert bounds[0] <= values.min()
    assert values.max() < bounds[1]


@pytest.mark.parametrize("span", [1, 2**28 - 1, 2**28, 2**28 + 1, 2**63, 2**64 - 1])
def test_integers_agree_on_both_sides_of_the_change_to_two_words(span: int) -> None:
    mine, torchs = pair(9)
    call = ("randint", (100,), ("int64", -(2**63), -(2**63) + span))
    assert_same_bits(ours(call, mine), theirs(call, torchs))
    assert_same_state(mine, torchs)


@pytest.mark.parametrize("n", [2, 3, 1000, 60_000])
def test_large_permutations_agree(n: int) -> None:
    mine, torchs = pair(n)
    assert_same_bits(random.randperm(n, generator=mine), torch.randperm(n, generator=torchs).numpy())


def torch_takes_mkls_bernoulli() -> bool:
    """Whether torch draws bernoulli_ of a number elsewhere than bernoulli_ of a tensor (Intel CPUs: MKL)."""
    number, tensor = torch.Generator(), torch.Generator()
    torch.empty(8).bernoulli_(0.5, generator=number)
    torch.empty(8).bernoulli_(float64(0.5), generator=tensor)
    return not torch.equal(number.get_state(), tensor.get_state())


@pytest.mark.skipif(torch_takes_mkls_bernoulli(), reason="torch draws bernoulli_(number) with MKL on this CPU")
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_bernoulli_is_dropouts(p: float) -> None:
    mine, torchs = pair(3)
    kept = empty((64, 512), "float32").bernoulli_(p, generator=torchs).bool().numpy()
    assert_same_bits(random.bernoulli((64, 512), p, generator=mine), kept)


@given(SEEDS, st.integers(16, 5000))
def test_float32_normals_from_16_on_are_8_units_in_the_last_place_from_torchs(seed: int, count: int) -> None:
    mine, torchs = pair(seed)
    a = random.normal((count,), generator=mine)
    b = torch.randn(count, generator=torchs).numpy()
    assert (np.abs(a - b) <= 8 * np.spacing(np.abs(b))).all()
    assert_same_state(mine, torchs)


@given(SEEDS, st.integers(16, 500), st.floats(-100, 100, width=32), st.floats(0, 100, width=32))
def test_mean_and_std_add_one_rounding_to_float32_normals(seed: int, count: int, mean: float, std: float) -> None:
    mine, torchs = pair(seed)
    a = random.normal((count,), mean, std, generator=mine).astype(np.float64)
    b = torch.empty(count).normal_(mean, std, generator=torchs).numpy()
    standard = random.normal((count,), generator=Generator().manual_seed(seed))
    bound = std * 8.0 * np.spacing(np.abs(standard)) + np.spacing(np.abs(b))
    assert (np.abs(a - b) <= bound).all()


def test_most_float32_normals_are_equal() -> None:
    mine, torchs = pair(0)
    a, b = random.normal((100_000,), generator=mine), torch.randn(100_000, generator=torchs).numpy()
    assert (a == b).mean() > 0.8


SIGNIFICANDS = st.integers(0, 2**53 - 1).map(lambda k: k * 2.0**-53)


@given(SIGNIFICANDS, SIGNIFICANDS)
@example((2**53 - 1) * 2.0**-53, (2**53 - 1) * 2.0**-53)
@example((2**53 - 2**26 - 1) * 2.0**-53, (2**52 + 2**27 - 1) * 2.0**-53)
def test_a_product_and_its_rest_are_the_exact_product(x: float, y: float) -> None:
    product, rest = random._two_product(np.array([x]), np.float64(y))
    assert Fraction(product[0]) + Fraction(rest[0]) == Fraction(x) * Fraction(y)


@given(SIGNIFICANDS, NUMBERS, NUMBERS)
def test_multiply_add_rounds_the_exact_value_once(x: float, scale: float, offset: float) -> None:
    if scale != 0 and abs(scale) < 1e-280:
        scale = 1e-280
    exact = Fraction(x) * Fraction(scale) + Fraction(offset)
    result = random.multiply_add(np.array([x]), np.float64(scale), np.float64(offset))
    assert result[0] == float(exact)


def test_multiply_add_is_more_than_multiply_then_add() -> None:
    x = np.array([1 + 2.0**-30])
    assert random.multiply_add(x, x[0], np.float64(-1.0))[0] == 2.0**-29 + 2.0**-60
    assert x[0] * x[0] - 1.0 == 2.0**-29


# Generators.


def test_a_new_generator_starts_at_torchs_seed() -> None:
    assert Generator().initial_seed() == torch.Generator().initial_seed() == 67280421310721
    assert_same_state(Generator(), torch.Generator())


@given(SEEDS)
def test_seeds_are_read_as_torch_reads_them(seed: int) -> None:
    mine, torchs = pair(seed)
    assert mine.initial_seed() == torchs.initial_seed() == seed % 2**64
    assert_same_state(mine, torchs)


@pytest.mark.parametrize("seed", [-(2**63) - 1, 2**64])
def test_seeds_beyond_64_bits_are_refused(seed: int) -> None:
    for generator in pair(0):
        with pytest.raises(ValueError, match=r"-2\*\*63 to 2\*\*64 - 1|Overflow"):
            generator.manual_seed(seed)


def test_seeding_forgets_the_spare_normal() -> None:
    g = Generator().manual_seed(1)
    first = random.normal((1,), generator=g)
    assert random.normal((1,), generator=g.manual_seed(1)) == first


def test_seed_draws_a_new_seed_and_returns_it() -> None:
    g = Generator()
    first, second = g.seed(), g.seed()
    assert first != second
    assert g.initial_seed() == second
    assert 0 <= first < 2**64
    np.testing.assert_array_equal(g.get_state(), Generator().manual_seed(second).get_state())


@given(SEEDS, PROGRAMS)
def test_a_state_set_again_repeats_the_draws(seed: int, program: list[Any]) -> None:
    g = Generator().manual_seed(seed)
    random.normal((3,), generator=g)
    state = g.get_state()
    first = [ours(call, g) for call in program]
    g.set_state(state)
    for value, call in zip(first, program, strict=True):
        assert_same_bits(value, ours(call, g))


def test_a_state_is_a_copy_and_may_be_a_list() -> None:
    g = Generator()
    state = g.get_state()
    value = random.uniform((), generator=g)
    assert random.uniform((), generator=g) != value
    g.set_state(np.array(state.tolist(), np.uint8).reshape(2, -1))
    assert random.uniform((), generator=g) == value


def test_a_copied_generator_goes_its_own_way() -> None:
    g = Generator()
    twin = copy.deepcopy(g)
    first = random.uniform((3,), generator=g)
    assert_same_bits(random.uniform((3,), generator=twin), first)


@pytest.mark.parametrize("device", ["cuda", "mps", "cpu:1"])
def test_devices_other_than_cpu_are_refused(device: str) -> None:
    assert Generator(torch.device("cpu")).initial_seed() == Generator("cpu").initial_seed()
    with pytest.raises(RuntimeError, match=f"'cpu' only, got '{device}'"):
        Generator(device)


def broken(position: int, value: int) -> np.ndarray:
    state = Generator().get_state()
    state[position] = value
    return state


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (Generator().get_state()[:-1], RuntimeError, "size 5056 .* to be 5055"),
        (np.zeros(0, np.uint8), RuntimeError, "size 5056 .* to be 0"),
        (Generator().get_state().astype(np.float32), TypeError, "uint8, got float32"),
        (Generator().get_state().tolist(), TypeError, "uint8, got int64"),
        (np.zeros(5056, np.uint8), RuntimeError, "Invalid mt19937 state"),
        (broken(8, 0), RuntimeError, "Invalid mt19937 state"),
        (broken(12, 0), RuntimeError, "Invalid mt19937 state"),
        (broken(16, 3), RuntimeError, "Invalid mt19937 state"),
    ],
)
def test_what_is_no_state_is_refused_and_changes_nothing(state: object, error: type[Exception], message: str) -> None:
    g = Generator()
    with pytest.raises(error, match=message):
        g.set_state(state)
    assert_same_state(g, torch.Generator())


# The default generator.


def test_the_default_generator_serves_whoever_brings_none() -> None:
    program: list[Callable[[Any], Any]] = [
        lambda g: random.uniform((3,), generator=g),
        lambda g: random.normal((3,), generator=g),
        lambda g: random.normal((20,), generator=g),
        lambda g: random.randint(0, 9, (3,), generator=g),
        lambda g: random.randperm(5, generator=g),
        lambda g: random.bernoulli((3,), 0.5, generator=g),
        lambda g: random.random_int64(g),
    ]
    assert random.manual_seed(11) is random.default_generator
    g = Generator().manual_seed(11)
    for draw in program:
        assert_same_bits(draw(None), draw(g))


def test_the_default_generator_tells_its_seed() -> None:
    assert random.manual_seed(-2).initial_seed() == random.initial_seed() == 2**64 - 2
    assert random.manual_seed(3.0).initial_seed() == 3  # type: ignore[arg-type] # torch.manual_seed takes int()
    assert random.seed() == random.initial_seed() != 3


# Shapes, dtypes, refusals.


def test_empty_shapes_draw_nothing_and_0d_shapes_one_value() -> None:
    g = Generator()
    start = g.get_state()
    draws: list[Callable[[tuple[int, ...]], np.ndarray]] = [
        lambda shape: random.uniform(shape, generator=g),
        lambda shape: random.normal(shape, generator=g),
        lambda shape: random.randint(0, 9, shape, generator=g),
        lambda shape: random.bernoulli(shape, 0.5, generator=g),
    ]
    for draw in draws:
        assert draw((2, 0, 3)).shape == (2, 0, 3)
    np.testing.assert_array_equal(g.get_state(), start)
    for draw in draws:
        value = draw(())
        assert isinstance(value, np.ndarray)
        assert value.shape == ()


def test_results_are_ones_own_to_write_into() -> None:
    g = Generator()
    for array in [
        random.uniform((3,), generator=g),
        random.normal((20,), generator=g),
        random.randint(0, 9, (3,), dtype="uint32", generator=g),
        random.randperm(3, generator=g),
        random.bernoulli((3,), 0.5, generator=g),
    ]:
        assert array.flags.writeable
        assert array.flags.c_contiguous


REFUSALS: list[tuple[str, Callable[[], Any], Callable[[], Any]]] = [
    (
        "low=2 > high=1",
        lambda: random.uniform((3,), 2, 1),
        lambda: torch.empty(3).uniform_(2, 1),
    ),
    (
        "low is out of bounds for float32, got nan",
        lambda: random.uniform((3,), math.nan, 1),
        lambda: torch.empty(3).uniform_(math.nan, 1),
    ),
    (
        "high is out of bounds for float32, got 1e[+]39",
        lambda: random.uniform((3,), 0, 1e39),
        lambda: torch.empty(3).uniform_(0, 1e39),
    ),
    (
        "expects high - low <= 3.4",
        lambda: random.uniform((3,), -3e38, 3e38),
        lambda: torch.empty(3).uniform_(-3e38, 3e38),
    ),
    (
        "uniform draws float32 or float64, got int64",
        lambda: random.uniform((3,), dtype=np.int64),
        lambda: torch.rand(3, dtype=torch.int64),
    ),
    (
        "negative dimension",
        lambda: random.uniform((2, -1)),
        lambda: torch.rand(2, -1),
    ),
    (
        "std >= 0.0, but found mean 0.0, std -1.0",
        lambda: random.normal((3,), 0.0, -1.0),
        lambda: torch.empty(3).normal_(0, -1.0),
    ),
    (
        "std >= 0.0, but found mean 0.0, std nan",
        lambda: random.normal((0,), 0.0, math.nan),
        lambda: torch.empty(0).normal_(0, math.nan),
    ),
    (
        "normal draws float32 or float64, got int32",
        lambda: random.normal((3,), dtype=np.int32),
        lambda: torch.empty(3, dtype=torch.int32).normal_(),
    ),
    (
        "low=5 >= high=5",
        lambda: random.randint(5, 5, (0,)),
        lambda: torch.randint(5, 5, (0,)),
    ),
    (
        "high - 1 is out of bounds for uint8, got 256, expected 0 to 255",
        lambda: random.randint(0, 257, (3,), dtype=np.uint8),
        lambda: torch.randint(0, 257, (3,), dtype=torch.uint8),
    ),
    (
        "low is out of bounds for uint64",
        lambda: random.randint(-1, 3, (3,), dtype=np.uint64),
        lambda: torch.randint(-1, 3, (3,), dtype=torch.uint64),
    ),
    (
        "high - 1 is out of bounds for bool",
        lambda: random.randint(0, 3, (3,), dtype=np.bool_),
        lambda: torch.randint(0, 3, (3,), dtype=torch.bool),
    ),
    (
        "booleans, integers or floats",
        lambda: random.randint(0, 3, (3,), dtype=np.complex64),
        lambda: torch.randint(0, 3, (3,), dtype=torch.complex64),
    ),
    (
        "randperm expects n from 0 .* got -1",
        lambda: random.randperm(-1),
        lambda: torch.randperm(-1),
    ),
    (
        r"p to be in \[0, 1\], but got p=1.5",
        lambda: random.bernoulli((3,), 1.5),
        lambda: torch.empty(3).bernoulli_(1.5),
    ),
    (
        r"p to be in \[0, 1\], but got p=nan",
        lambda: random.bernoulli((0,), math.nan),
        lambda: torch.empty(0).bernoulli_(math.nan),
    ),
]


@pytest.mark.parametrize(("message", "mine", "torchs"), REFUSALS, ids=[entry[0] for entry in REFUSALS])
def test_what_torch_refuses_is_refused_and_draws_nothing(
    message: str, mine: Callable[[], Any], torchs: Callable[[], Any]
) -> None:
    before = random.default_generator.get_state()
    with pytest.raises(RuntimeError):
        torchs()
    with pytest.raises(RuntimeError, match=message):
        mine()
    np.testing.assert_array_equal(random.default_generator.get_state(), before)


def test_a_float_too_narrow_for_the_integers_is_refused() -> None:
    """torch warns here, and announces an error."""
    assert random.randint(-(2**24), 2**24 + 1, (1,), dtype=np.float32).dtype == np.float32
    with pytest.raises(RuntimeError, match=r"high - 1 is out of bounds for float32"):
        random.randint(0, 2**24 + 2, (1,), dtype=np.float32)


def test_infinite_parameters_of_the_normal_are_refused() -> None:
    for mean, std in [(math.inf, 1.0), (0.0, math.inf)]:
        with pytest.raises(RuntimeError, match="finite mean"):
            random.normal((3,), mean, std)


def test_permutations_too_large_for_32_bit_words_are_refused() -> None:
    with pytest.raises(RuntimeError, match="got 214748364"):
        random.randperm(2**32 // 20)


@pytest.mark.parametrize("bad", [1.0, "3", None])
def test_integers_are_asked_for(bad: Any) -> None:
    with pytest.raises(TypeError):
        Generator().manual_seed(bad)
    with pytest.raises(TypeError):
        random.randint(0, bad, (3,))
    with pytest.raises(TypeError):
        random.randperm(bad)


def test_the_default_generators_state_is_torchs_and_can_be_put_back() -> None:
    minitrain.manual_seed(3)
    torch.manual_seed(3)
    assert minitrain.rand(5).tolist() == torch.rand(5).tolist()
    state = minitrain.get_rng_state()
    assert state.tolist() == torch.get_rng_state().tolist()
    drawn = minitrain.rand(4).tolist()
    minitrain.set_rng_state(state)
    assert minitrain.rand(4).tolist() == drawn
    with pytest.raises(TypeError, match="uint8"):
        minitrain.set_rng_state(minitrain.zeros(5056))
    with pytest.raises(RuntimeError, match="size 5056"):
        minitrain.set_rng_state(state[1:])
