"""Every optimizer takes torch's steps: with all its options, over several steps, and from a state of either's."""

import copy
import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import minitrain
from minitrain import optim
from minitrain.ops import Array
from minitrain.optim import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    NAdam,
    Optimizer,
    RAdam,
    RMSprop,
    blocks,
    param_groups,
)
from minitrain.optim.kinds import OPTIMIZERS
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.grad_mode import is_grad_enabled, no_grad
from tests.fault_table import record

RULES: list[type[Any]] = [SGD, RMSprop, Adam, AdamW, Adagrad, Adadelta, Adamax, NAdam, RAdam]
DTYPES = ["float32", "float64"]
SWITCHES = {"foreach", "fused", "capturable", "differentiable"}
SHAPES = [(), (1,), (5,), (2, 3), (4, 1), (0, 2), (2, 3, 2)]
LARGEST_LR = 1e-2

OPTIONS: dict[type[Any], dict[str, list[Any]]] = {
    SGD: {
        "lr": [1e-3, LARGEST_LR],
        "momentum": [0, 0.9],
        "dampening": [0, 0.3],
        "weight_decay": [0, 0.1],
        "nesterov": [False, True],
        "maximize": [False, True],
    },
    RMSprop: {
        "lr": [1e-3, LARGEST_LR],
        "alpha": [0.5, 0.99],
        "eps": [1e-8, 1e-3],
        "weight_decay": [0, 0.1],
        "momentum": [0, 0.9],
        "centered": [False, True],
        "maximize": [False, True],
    },
    Adam: {
        "lr": [1e-3, LARGEST_LR],
        "betas": [(0.9, 0.999), (0.0, 0.5)],
        "eps": [1e-8, 1e-3],
        "weight_decay": [0, 0.1],
        "amsgrad": [False, True],
        "maximize": [False, True],
        "decoupled_weight_decay": [False, True],
    },
}
MORE_OPTIONS: dict[type[Any], dict[str, list[Any]]] = {
    Adagrad: {"lr_decay": [0, 0.5], "initial_accumulator_value": [0, 0.5], "eps": [1e-10, 1e-3]},
    Adadelta: {"rho": [0.5, 0.9], "eps": [1e-6, 1e-3]},
    Adamax: {"betas": [(0.9, 0.999), (0.0, 0.5)], "eps": [1e-8, 1e-3]},
    NAdam: {
        "betas": [(0.9, 0.999), (0.0, 0.5)],
        "eps": [1e-8, 1e-3],
        "momentum_decay": [4e-3, 0.5],
        "decoupled_weight_decay": [False, True],
    },
    RAdam: {
        "betas": [(0.9, 0.999), (0.0, 0.8)],
        "eps": [1e-8, 1e-3],
        "decoupled_weight_decay": [False, True],
    },
}
COMMON_OPTIONS: dict[str, list[Any]] = {
    "lr": [1e-3, LARGEST_LR],
    "weight_decay": [0, 0.1],
    "maximize": [False, True],
}
OPTIONS |= {rule: COMMON_OPTIONS | options for rule, options in MORE_OPTIONS.items()}
OPTIONS[AdamW] = {option: choices for option, choices in OPTIONS[Adam].items() if option != "decoupled_weight_decay"}


def contradictory(options: dict[str, Any]) -> bool:
    """Whether SGD refuses the combination."""
    return options.get("nesterov", False) and (options["momentum"] == 0 or options["dampening"] != 0)


# --- runs: the same parameters, gradients and options for both ----------------------------------------------------


@dataclass
class Run:
    """defaults are for the constructor; groups hold (options of the group, its parameters).

    steps holds what happens before each step: (new lr or None, a gradient or None for each parameter).
    """

    defaults: dict[str, Any]
    groups: list[tuple[dict[str, Any], list[Array]]]
    steps: list[tuple[float | None, list[Array | None]]]


def values(rng: np.random.Generator, shape: tuple[int, ...], transposed: bool, low: float = 0.0) -> Array:
    """Values of either sign with magnitudes from low to 2; optionally a transposed view of a C-ordered array."""
    drawn = np.asarray(rng.uniform(low, 2, shape[::-1] if transposed else shape) * 1.0)
    drawn *= rng.choice([-1, 1], drawn.shape)
    return drawn.T if transposed else drawn


@st.composite
def runs(draw: st.DrawFn, rule: type[Any]) -> Run:
    """Several groups, some with options of their own; parameters that lack a gradient now and then; changing lr."""
    some_options = {option: st.sampled_from(choices) for option, choices in OPTIONS[rule].items()}
    defaults = draw(st.fixed_dictionaries(some_options).filter(lambda options: not contradictory(options)))
    layout = draw(
        st.lists(st.lists(st.tuples(st.sampled_from(SHAPES), st.booleans()), max_size=2), min_size=1, max_size=3)
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    groups = [
        (draw(st.fixed_dictionaries({}, optional=some_options)), [values(rng, *how) for how in group])
        for group in layout
    ]
    how_all = [how for group in layout for how in group]
    steps = []
    for _ in range(draw(st.integers(1, 4))):
        present = [draw(st.integers(0, 4)) > 0 for _ in how_all]
        grads = [values(rng, *how, low=0.5) if here else None for how, here in zip(how_all, present, strict=True)]
        steps.append((draw(st.sampled_from([None, None, LARGEST_LR / 7])), grads))
    return Run(defaults, groups, steps)


def simple_run(options: dict[str, Any], shape: tuple[int, ...] = (3, 2)) -> Run:
    """One transposed parameter, four steps, the lr changed after two."""
    rng = np.random.default_rng(0)
    param, *grads = (values(rng, shape, transposed=True, low=0.5) for _ in range(5))
    return Run(options, [({}, [param])], [(LARGEST_LR / 7 if i == 2 else None, [grad]) for i, grad in enumerate(grads)])


def torchs(rule: type[Any]) -> Any:
    """torch's class of the same name, for a faulty rule the one of the rule that it is to be."""
    return next(getattr(torch.optim, cls.__name__) for cls in rule.__mro__ if cls in RULES)


class Twins:
    """One optimizer of minitrain's and one of torch's on the same values."""

    def __init__(self, run: Run, dtype: str, rule: type[Any]) -> None:
        arrays = [[param.astype(dtype) for param in params] for _, params in run.groups]
        our_groups = [[wrap(array.copy(order="K")).requires_grad_() for array in group] for group in arrays]
        torch_groups = [
            [torch.from_numpy(array.copy(order="K")).requires_grad_() for array in group] for group in arrays
        ]
        options = [options for options, _ in run.groups]
        self.dtype = dtype
        self.params = [param for group in our_groups for param in group]
        self.torch_params = [param for group in torch_groups for param in group]
        self.ours = rule([{"params": g, **o} for g, o in zip(our_groups, options, strict=True)], **run.defaults)
        self.theirs = torchs(rule)(
            [{"params": g, **o} for g, o in zip(torch_groups, options, strict=True)], **run.defaults
        )

    def step(self, lr: float | None, grads: list[Array | None]) -> None:
        """One step of each, with gradients that cannot be written."""
        for param, torch_param, grad in zip(self.params, self.torch_params, grads, strict=True):
            param.grad = torch_param.grad = None
            if grad is not None:
                torch_param.grad = torch.from_numpy(grad.astype(self.dtype))
                param.grad = wrap(grad.astype(self.dtype))
                param.grad.array.flags.writeable = False
        for optimizer in (self.ours, self.theirs):
            for group in optimizer.param_groups:
                group["lr"] = group["lr"] if lr is None else lr
            optimizer.step()

    def assert_equal_params(self) -> None:
        for param, torch_param in zip(self.params, self.torch_params, strict=True):
            assert param.array.dtype == self.dtype
            np.testing.assert_allclose(
                param.array, torch_param.detach().numpy(), rtol=0, atol=tolerance(self.dtype, self.ours)
            )

    def assert_equal_states(self) -> None:
        ours, theirs = self.ours.state_dict(), self.theirs.state_dict()
        assert ours.keys() == theirs.keys()
        for our_group, torch_group in zip(ours["param_groups"], theirs["param_groups"], strict=True):
            assert list(our_group.items()) == [item for item in torch_group.items() if item[0] not in SWITCHES]
        assert ours["state"].keys() == theirs["state"].keys()
        for number, torch_state in theirs["state"].items():
            our_state = ours["state"][number]
            assert our_state.keys() == torch_state.keys()
            for name, value in torch_state.items():
                assert our_state[name].dtype == value.numpy().dtype
                atol = 100 * tolerance(self.dtype, self.ours)  # a buffer may be a step's size / lr
                np.testing.assert_allclose(our_state[name].array, value.numpy(), rtol=0, atol=atol, strict=True)


def tolerance(dtype: str, optimizer: Optimizer) -> float:
    """How far two correct parameters can be apart after a run as drawn above; u is the dtype's unit roundoff.

    The runs: |param| starts below 2, gradients have magnitudes from 1/2 to 2, lr <= 1e-2, weight_decay <= 0.1,
    momentum <= 0.9, at most 4 steps, all in at most a dozen operations. To first order in u:

    - The largest step. g / avg of RMSprop is at most 1 / √(1 - alpha) = 10 (a little more when centered, see below),
      exp_avg / denom of Adam at most the largest g over the smallest, 12, SGD's g at most 2.3; momentum adds
      1 + 0.9 + 0.9² + 0.9³ < 3.5 of them. So a step is below 1e-2 · 36 = 0.36, four steps move a parameter by less
      than 1, |param| < 3, and g = grad + weight_decay · param keeps a magnitude from 0.2 to 2.3.
    - The error of a step, relative to its largest value. Averages of 4 terms with 4 roundings each: 16 u, in the
      numerator and in the squares. With the divisions and the root: below 40 u.
    - Adagrad's, Adadelta's, Adamax's and RAdam's steps are not larger. NAdam's has one more term of Adam's kind; with
      mu between 0.45 and 0.9, its factors are at most 1 and 0.9 / (1 - 0.9²) < 5 of exp_avg's, which is below half of
      the largest g as long as those apply.
    - Centered: square_avg - grad_avg² >= alpha^t · square_avg (Cauchy and Schwarz, the weights' sum is 1 - alpha^t).
      So the difference has up to 0.5^-4 = 16 times the relative error of its parts, 40 u, and its root half of that:
      with the rest below 360 u.
    - All steps: 4 · 0.36 times that, and 4 roundings of param, 3 u each: 70 u, centered 530 u. An error of param
      comes back through weight_decay, 0.1 of it, relative to g's 0.2: 35 u, 265 u of 0.36. Together below 100 u, 650 u.
    - Both sides err: twice that.
    """
    unit_roundoff = np.finfo(dtype).eps / 2
    centered = any(group.get("centered") for group in optimizer.param_groups)
    return float((1300 if centered else 200) * unit_roundoff)


def follow(run: Run, dtype: str, rule: type[Any]) -> None:
    """Take the run's steps with both; parameters and states must agree after each."""
    twins = Twins(run, dtype, rule)
    for lr, grads in run.steps:
        twins.step(lr, grads)
        twins.assert_equal_params()
        twins.assert_equal_states()


# --- the steps are torch's --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
@given(data=st.data())
def test_every_step_is_torchs(rule: type[Any], dtype: str, data: st.DataObject) -> None:
    follow(data.draw(runs(rule)), dtype, rule)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_every_combination_of_options_steps_as_torch(rule: type[Any], dtype: str) -> None:
    for choice in itertools.product(*OPTIONS[rule].values()):
        options = dict(zip(OPTIONS[rule], choice, strict=True))
        if not contradictory(options):
            follow(simple_run(options), dtype, rule)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every parameter of 64 elements and more is updated in blocks of 17."""
    monkeypatch.setattr(blocks, "BLOCK", 17)
    for module in (blocks, param_groups):
        monkeypatch.setattr(module, "LARGE", 64)
    monkeypatch.setattr(param_groups, "are_faster", lambda: True)


def bits_after_steps(rule: type[Any], options: dict[str, Any], dtype: str) -> list[bytes]:
    """The bits of parameters and states after five steps, the last two after a load: one in each order of memory."""
    rng = np.random.RandomState(0)
    arrays = [rng.standard_normal((9, 13)), rng.standard_normal((13, 9)).T, rng.standard_normal((9, 26))[:, ::2]]
    params = [wrap(array.astype(dtype, order="K", copy=False)).requires_grad_() for array in arrays]
    optimizer = rule(params, **options)
    for i in range(5):
        if i == 3:
            saved = optimizer.state_dict()
            optimizer = rule(params, **options)
            optimizer.load_state_dict(saved)
        for param in params:
            param.grad = wrap(np.empty_like(param.array))
            param.grad.array[...] = rng.standard_normal(param.shape)
        optimizer.step()
    states = [tensor for param in params for _, tensor in sorted(optimizer.state[param].items())]
    return [tensor.detach().numpy().tobytes() for tensor in [*params, *states]]


@pytest.mark.parametrize("rule", RULES)
def test_a_parameter_updated_in_blocks_has_the_same_bits(rule: type[Any], request: pytest.FixtureRequest) -> None:
    choices = [dict(zip(OPTIONS[rule], choice, strict=True)) for choice in itertools.product(*OPTIONS[rule].values())]
    tried = [(options, dtype) for options in choices if not contradictory(options) for dtype in DTYPES]
    whole = [bits_after_steps(rule, *each) for each in tried]
    request.getfixturevalue("small_blocks")
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        update = rule.update
        patch.setattr(rule, "update", lambda self, param, *rest: (seen.append(param.size), update(self, param, *rest)))
        rule.update.__module__ = update.__module__
        assert [bits_after_steps(rule, *each) for each in tried] == whole
    assert set(seen) == {17, 117 % 17, 117}  # 117 elements, whole where they have gaps between them


def test_a_rule_from_elsewhere_gets_whole_parameters(small_blocks: None) -> None:
    class Normalized(Optimizer):
        def update(self, param: Any, grad: Any, state: Any, options: Any) -> None:
            param -= grad / np.linalg.norm(grad)

    param = wrap(np.zeros(100)).requires_grad_()
    param.grad = wrap(np.ones(100))
    Normalized([param], {}).step()
    assert np.allclose(param.array, -0.1)


def test_which_is_faster_is_measured_once() -> None:
    assert blocks.are_faster() is blocks.are_faster()
    assert blocks.are_faster.cache_info().currsize == 1


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("grad", [0.0, -0.0, math.inf, -math.inf, math.nan, 1e30, 1e-30])
def test_extreme_gradients_pass_silently_and_as_in_torch(rule: type[Any], grad: float) -> None:
    for options in ({}, {"eps": 0.0}) if rule is not SGD else ({}, {"momentum": 0.9}):
        param, grads = np.ones(2), [np.array([grad, 1.0]), np.array([1.0, grad])]
        twins = Twins(Run(options, [({}, [param])], []), "float32", rule)
        for grad_array in grads:
            twins.step(None, [grad_array])
        np.testing.assert_allclose(twins.params[0].array, twins.torch_params[0].detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_radam_divides_by_the_root_from_step_6_on_as_torch(dtype: str) -> None:
    """Looser than elsewhere: 12 steps, three times as many, and a root of a difference that magnifies nothing."""
    rng = np.random.default_rng(0)
    twins = Twins(Run({"lr": LARGEST_LR}, [({}, [rng.uniform(-2, 2, (3, 2))])], []), dtype, RAdam)
    sizes = []
    for _ in range(12):
        before = twins.params[0].array.copy()
        twins.step(None, [values(rng, (3, 2), transposed=False, low=0.5)])
        sizes.append(np.abs(twins.params[0].array - before).max())
        np.testing.assert_allclose(
            twins.params[0].array, twins.torch_params[0].detach().numpy(), rtol=0, atol=3 * tolerance(dtype, twins.ours)
        )
    assert max(sizes[5:7]) < min(sizes[:5]) / 2  # the warm-up begins


def test_adagrads_steps_shrink_for_good() -> None:
    """By hand: the sums of equal gradients are 1, 2, 3, ... times their square."""
    param = with_grad(np.zeros(()), 2.0)
    optimizer = Adagrad([param], lr=1, eps=0)
    for t in (1, 2, 3):
        before = param.item()
        optimizer.step()
        assert before - param.item() == pytest.approx(1 / math.sqrt(t))


def test_adadeltas_first_step_comes_from_eps() -> None:
    param = with_grad(np.zeros(()), 2.0)
    Adadelta([param], rho=0.75, eps=1e-4).step()
    assert param.item() == pytest.approx(-math.sqrt(1e-4 / (0.25 * 4 + 1e-4)) * 2)


@pytest.mark.parametrize("rule", [Adamax, RAdam])
def test_the_first_step_is_of_the_size_that_the_formula_gives(rule: type[Any]) -> None:
    param = with_grad(np.zeros(()), -2.0)
    rule([param], lr=0.5).step()
    assert param.item() == pytest.approx(0.5 if rule is Adamax else 0.5 * 2)


def test_a_changed_lr_acts_at_once_on_the_whole_momentum() -> None:
    """By hand: buf is 1, then 0.5 · 1 + 1 = 1.5; the steps are 1 · 1 and 10 · 1.5."""
    param = with_grad(np.zeros(()), 1.0)
    optimizer = SGD([param], lr=1, momentum=0.5)
    optimizer.step()
    assert param.item() == -1
    optimizer.param_groups[0]["lr"] = 10
    optimizer.step()
    assert param.item() == -16


def test_dampening_spares_the_first_gradient() -> None:
    param = with_grad(np.zeros(()), 1.0)
    optimizer = SGD([param], lr=1, momentum=0.5, dampening=0.75)
    optimizer.step()
    assert optimizer.state[param]["momentum_buffer"].item() == 1
    optimizer.step()
    assert optimizer.state[param]["momentum_buffer"].item() == 0.5 * 1 + 0.25 * 1


@given(st.floats(1e-6, 1e6), st.booleans(), st.sampled_from([0, 1e-8, 1.0]))
def test_adams_first_step_is_the_gradients_sign(magnitude: float, negative: bool, eps: float) -> None:
    """And its eps stands beside the corrected root: lr · g / (|g| + eps)."""
    grad = -magnitude if negative else magnitude
    param = with_grad(np.zeros(()), grad)
    Adam([param], lr=0.5, eps=eps).step()
    assert param.item() == pytest.approx(-0.5 * grad / (magnitude + eps), rel=1e-12)


@given(st.floats(1e-6, 1e6), st.sampled_from([0, 1e-8, 1.0]))
def test_rmsprops_first_step_divides_by_the_uncorrected_root(grad: float, eps: float) -> None:
    """And its eps stands outside of the root: lr · g / (√(1 - alpha) · |g| + eps)."""
    param = with_grad(np.zeros(()), grad)
    RMSprop([param], lr=0.5, alpha=0.75, eps=eps).step()
    assert param.item() == pytest.approx(-0.5 * grad / (0.5 * grad + eps), rel=1e-12)


def test_adamws_decay_is_not_divided_by_any_root() -> None:
    param = with_grad(np.full((), 8.0), 0.0)
    AdamW([param], lr=0.5, weight_decay=0.25).step()
    assert param.item() == 8 - 0.5 * 0.25 * 8


# --- what a step touches ----------------------------------------------------------------------------------------------


def with_grad(array: Array, grad: Any) -> Tensor:
    param = wrap(array).requires_grad_()
    param.grad = wrap(np.full_like(array, grad))
    return param


def rich(rule: type[Any]) -> dict[str, Any]:
    """Options with which the optimizer remembers all it can."""
    options = {SGD: {"momentum": 0.9}, RMSprop: {"momentum": 0.9, "centered": True}}
    return options.get(rule, {"amsgrad": True} if issubclass(rule, Adam) else {})


@pytest.mark.parametrize("rule", RULES)
@given(data=st.data())
def test_a_step_writes_into_the_array_that_is_there(rule: type[Any], data: st.DataObject) -> None:
    run = data.draw(runs(rule))
    twins = Twins(run, "float32", rule)
    before = [(param.array, param.array.strides) for param in twins.params]
    for lr, grads in run.steps:
        twins.step(lr, grads)
    assert all(param.array is array for param, (array, _) in zip(twins.params, before, strict=True))
    assert [param.array.strides for param in twins.params] == [strides for _, strides in before]
    for param, state in twins.ours.state.items():
        assert all(x.array.strides == param.array.strides for x in state.values() if x.shape == param.shape)


@pytest.mark.parametrize("rule", RULES)
def test_a_parameter_without_gradient_is_left_alone(rule: type[Any]) -> None:
    param, idle = with_grad(np.ones(3), 1.0), wrap(np.ones(3)).requires_grad_()
    optimizer = rule([param, idle], **rich(rule))
    optimizer.step()
    assert (idle.array == 1).all()
    assert (param.array != 1).all()
    state = optimizer.state_dict()["state"]
    assert state.pop(1, {"step": 0})["step"] == 0  # Adagrad's state exists before the first step
    assert list(state) == [0]


@pytest.mark.parametrize("rule", RULES)
def test_numpy_numbers_as_options_leave_float32_as_it_is(rule: type[Any]) -> None:
    """A NumPy number is not weak: it would make a float64 of a float32 array, and round differently."""
    options = {"lr": 0.1, "weight_decay": 0.3, **rich(rule)}
    params = []
    for convert in (float, np.float64):
        param = with_grad(np.ones(3, np.float32), 0.7)
        optimizer = rule([param], **{k: convert(v) if isinstance(v, float) else v for k, v in options.items()})
        optimizer.step()
        optimizer.step()
        assert {x.dtype for x in (param, *optimizer.state[param].values())} == {np.dtype("float32")}
        params.append(param.array.tobytes())
    assert params[0] == params[1]


@pytest.mark.parametrize("rule", RULES)
def test_backward_notices_that_a_step_has_changed_what_it_needs(rule: type[Any]) -> None:
    weight = wrap(np.ones(3)).requires_grad_()
    loss = (weight * weight).sum()
    loss.backward(retain_graph=True)
    rule([weight]).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_step_calls_the_closure_with_gradients_on_and_returns_its_loss() -> None:
    param = wrap(np.ones(1)).requires_grad_()
    optimizer = SGD([param], lr=0.5)

    def closure() -> Tensor:
        assert is_grad_enabled()
        optimizer.zero_grad()
        loss = (param * param).sum()
        loss.backward()
        return loss

    with no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 1
    assert param.item() == 1 - 0.5 * 2
    assert optimizer.step() is None


def test_zero_grad_forgets_the_gradients() -> None:
    param = with_grad(np.ones(3), 1.0)
    SGD([param]).zero_grad()
    assert param.grad is None


def test_zero_grad_can_write_zeros_into_the_gradients_that_are_there() -> None:
    param, without = with_grad(np.ones(3), 1.0), wrap(np.ones(3)).requires_grad_()
    grad = param.grad
    SGD([param, without]).zero_grad(set_to_none=False)
    assert param.grad is grad
    assert (grad.array == 0).all()
    assert without.grad is None


def test_a_rule_of_ones_own_is_a_subclass_with_an_update() -> None:
    class SignDescent(Optimizer):
        def update(self, param: Array, grad: Array, state: Any, options: dict[str, Any]) -> None:
            param -= options["lr"] * np.sign(grad)

    param = with_grad(np.ones(3), 7.0)
    SignDescent([param], {"lr": 0.25}).step()
    assert (param.array == 0.75).all()
    with pytest.raises(NotImplementedError, match="Optimizer has no update"):
        Optimizer([param], {}).step()


def test_hooks_run_around_a_step_until_they_are_removed() -> None:
    for cls, param in ((SGD, with_grad(np.ones(1), 1.0)), (torch.optim.SGD, torch.ones(1, requires_grad=True))):
        seen: list[tuple[str, float]] = []
        param.grad = param.detach() * 1
        optimizer = cls([param], lr=0.5)
        before = optimizer.register_step_pre_hook(
            lambda opt, *_, seen=seen: seen.append(("before", opt.param_groups[0]["params"][0].item()))
        )
        after = optimizer.register_step_post_hook(
            lambda opt, args, kwargs, seen=seen: seen.append(("after", opt.param_groups[0]["params"][0].item()))
        )
        optimizer.step()
        assert seen == [("before", 1.0), ("after", 0.5)]
        before.remove()
        after.remove()
        optimizer.step()
        assert len(seen) == 2


# --- states -----------------------------------------------------------------------------------------------------------


def as_torch(state_dict: dict[str, Any]) -> dict[str, Any]:
    """A state_dict of ours for torch to load: the same with its Tensors converted."""
    state = {
        number: {name: torch.from_numpy(value.array.copy()) for name, value in values.items()}
        for number, values in state_dict["state"].items()
    }
    return {**state_dict, "state": state}


def split(data: st.DataObject, rule: type[Any]) -> tuple[Run, int]:
    run = data.draw(runs(rule))
    return run, data.draw(st.integers(0, len(run.steps)), label="steps before saving")


@pytest.mark.parametrize("rule", RULES)
@given(data=st.data())
def test_a_run_that_torch_began_goes_on_here(rule: type[Any], data: st.DataObject) -> None:
    run, k = split(data, rule)
    begun, resumed = Twins(run, "float64", rule), Twins(run, "float64", rule)
    for lr, grads in run.steps[:k]:
        begun.step(lr, grads)
    resumed.ours.load_state_dict(begun.theirs.state_dict())
    resumed.theirs = begun.theirs
    resumed.torch_params = begun.torch_params
    for param, torch_param in zip(resumed.params, begun.torch_params, strict=True):
        param.array[...] = torch_param.detach().numpy()
    resumed.assert_equal_states()
    for lr, grads in run.steps[k:]:
        resumed.step(lr, grads)
        resumed.assert_equal_params()
        resumed.assert_equal_states()


@pytest.mark.parametrize("rule", RULES)
@given(data=st.data())
def test_a_run_begun_here_goes_on_in_torch(rule: type[Any], data: st.DataObject) -> None:
    run, k = split(data, rule)
    dtype = "float32" if rule is NAdam else "float64"  # torch converts a loaded mu_product to the parameter's dtype
    begun, resumed = Twins(run, dtype, rule), Twins(run, dtype, rule)
    for lr, grads in run.steps[:k]:
        begun.step(lr, grads)
    resumed.theirs.load_state_dict(as_torch(begun.ours.state_dict()))
    resumed.ours, resumed.params = begun.ours, begun.params
    for param, torch_param in zip(begun.params, resumed.torch_params, strict=True):
        torch_param.data.copy_(torch.from_numpy(param.array))
    for lr, grads in run.steps[k:]:
        resumed.step(lr, grads)
        resumed.assert_equal_params()


def by_load_state_dict(params: list[Tensor], optimizer: Optimizer) -> tuple[list[Tensor], Optimizer]:
    groups, fresh = [], copy.deepcopy(params)
    for group in optimizer.param_groups:
        groups.append({"params": [fresh[[p is q for q in params].index(True)] for p in group["params"]]})
    resumed = type(optimizer)(groups)
    resumed.load_state_dict(optimizer.state_dict())
    return fresh, resumed


def by_deepcopy(params: list[Tensor], optimizer: Optimizer) -> tuple[list[Tensor], Optimizer]:
    return copy.deepcopy((params, optimizer))


@pytest.mark.parametrize("resume", [by_load_state_dict, by_deepcopy])
@pytest.mark.parametrize("rule", RULES)
@given(data=st.data())
def test_a_resumed_run_has_the_same_bits_and_strides(rule: type[Any], resume: Any, data: st.DataObject) -> None:
    run, k = split(data, rule)
    twins = Twins(run, data.draw(st.sampled_from(DTYPES)), rule)
    for lr, grads in run.steps[:k]:
        twins.step(lr, grads)
    resumed = copy.copy(twins)
    resumed.params, resumed.ours = resume(twins.params, twins.ours)
    for lr, grads in run.steps[k:]:
        twins.step(lr, grads)
        resumed.step(lr, grads)
    for a, b in zip(twins.params, resumed.params, strict=True):
        assert a is not b
        assert memory(a) == memory(b)
        assert [*map(memory, twins.ours.state[a].values())] == [*map(memory, resumed.ours.state[b].values())]


def memory(x: Tensor) -> tuple[Any, ...]:
    return x.array.dtype, x.array.strides, x.array.tobytes()


@pytest.mark.parametrize("rule", RULES)
def test_a_loaded_state_shares_no_memory_with_its_source(rule: type[Any]) -> None:
    param = with_grad(np.ones((2, 3)), 1.0)
    optimizer = rule([param], **rich(rule))
    optimizer.step()
    source = as_torch(optimizer.state_dict())
    optimizer.load_state_dict(source)
    before = copy.deepcopy(source)
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 7
    assert source["param_groups"] == before["param_groups"]
    for key, value in before["state"][0].items():
        assert torch.equal(source["state"][0][key], value)


@pytest.mark.parametrize("rule", RULES)
def test_a_loaded_state_takes_its_parameters_dtype_and_order(rule: type[Any]) -> None:
    saved = rule([with_grad(np.arange(6.0).reshape(2, 3), 1.0)], **rich(rule))
    saved.step()
    param = wrap(np.zeros((3, 2), np.float32).T).requires_grad_()
    optimizer = rule([param], **rich(rule))
    optimizer.load_state_dict(saved.state_dict())
    assert {x.dtype for x in optimizer.state[param].values()} == {np.dtype("float32")}
    assert {x.array.strides for x in optimizer.state[param].values() if x.ndim} == {param.array.strides}


def test_a_state_of_an_older_torch_with_a_none_and_a_missing_option_is_taken() -> None:
    param = with_grad(np.ones(3), 1.0)
    optimizer = SGD([param], lr=1, maximize=True)
    optimizer.load_state_dict(
        {"state": {0: {"momentum_buffer": None}}, "param_groups": [{"lr": 0.5, "foreach": None, "params": [0]}]}
    )
    optimizer.step()
    assert (param.array == 1.5).all()


def test_adamw_stays_adamw_when_it_loads_an_adams_state() -> None:
    param = with_grad(np.ones(3), 1.0)
    optimizer = AdamW([param])
    optimizer.load_state_dict(Adam([param]).state_dict())
    assert optimizer.param_groups[0]["decoupled_weight_decay"]


@pytest.mark.parametrize(
    ("state_dict", "error", "message"),
    [
        ({}, KeyError, "param_groups"),
        ({"state": {}, "param_groups": []}, ValueError, "different number of parameter groups"),
        ({"state": {}, "param_groups": [{"params": [0]}]}, ValueError, "doesn't match the size of optimizer's group"),
    ],
)
def test_a_state_of_other_parameters_is_refused_as_in_torch(state_dict: Any, error: Any, message: str) -> None:
    for optimizer in (SGD([wrap(np.ones(3)), wrap(np.ones(3))]), torch.optim.SGD([torch.ones(3), torch.ones(3)])):
        with pytest.raises(error, match=message):
            optimizer.load_state_dict(state_dict)


def test_a_refused_state_changes_nothing() -> None:
    """Torch takes these, and fails (or not) in the next step."""
    param = with_grad(np.ones((2, 3)), 1.0)
    optimizer = SGD([param], momentum=0.5)
    optimizer.step()
    before = str(optimizer.state_dict())
    for broken, error, message in [
        ({"state": {0: {"momentum_buffer": np.ones((1, 3))}}}, ValueError, r"momentum_buffer of shape \[1, 3\]"),
        ({"state": {1: {"momentum_buffer": np.ones((2, 3))}}}, ValueError, "parameter 1, which is in no group"),
        ({"param_groups": [{"params": [0], "lr": math.nan}]}, ValueError, "Invalid lr: nan"),
        ({"param_groups": [{"params": [0], "lr": 2, "foreach": True}]}, NotImplementedError, "foreach=True"),
    ]:
        with pytest.raises(error, match=message):
            optimizer.load_state_dict({**optimizer.state_dict(), **broken})
        assert str(optimizer.state_dict()) == before


# --- groups, names, printing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_printing_shows_what_torch_shows_but_the_switches(rule: type[Any]) -> None:
    twins = Twins(Run({"lr": 0.5}, [({}, [np.ones(3)]), ({"lr": 1e-5, "name": "head"}, [])], []), "float32", rule)
    lines = repr(twins.theirs).split("\n")
    assert repr(twins.ours).split("\n") == [line for line in lines if line.strip().split(":")[0] not in SWITCHES]


def test_named_parameters_leave_their_names_in_the_groups() -> None:
    for optimizer in (SGD([("w", wrap(np.ones(3)))]), torch.optim.SGD([("w", torch.ones(3))])):
        assert optimizer.param_groups[0]["param_names"] == ["w"]
        assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["w"]
        saved = {"state": {}, "param_groups": [{"params": [0], "lr": 1}]}
        optimizer.load_state_dict(saved)
        assert optimizer.param_groups[0]["param_names"] == ["w"]


def test_a_group_keeps_options_that_the_optimizer_does_not_know() -> None:
    optimizer = SGD([{"params": wrap(np.ones(3)), "initial_lr": 3}])
    assert optimizer.state_dict()["param_groups"][0]["initial_lr"] == 3


def test_the_users_group_is_not_changed() -> None:
    group = {"params": [wrap(np.ones(3))]}
    SGD([group], lr=0.5)
    assert list(group) == ["params"]


def test_a_parameter_listed_twice_warns_and_is_updated_twice_as_in_torch() -> None:
    param, torch_param = with_grad(np.ones(3), 1.0), torch.ones(3)
    torch_param.grad = torch.ones(3)
    for cls, x in ((SGD, param), (torch.optim.SGD, torch_param)):
        with pytest.warns(UserWarning, match="twice|duplicate parameters"):
            optimizer = cls([x, x], lr=0.25)
        optimizer.step()
        assert x.tolist() == [0.5, 0.5, 0.5]


# --- errors -----------------------------------------------------------------------------------------------------------

SHARED = {optim: wrap(np.ones(3)), torch.optim: torch.ones(3)}


def computed(o: Any) -> Any:
    x = wrap(np.ones(3)).requires_grad_() if o is optim else torch.ones(3, requires_grad=True)
    return x * 2


@pytest.mark.parametrize(
    ("error", "make"),
    [
        (ValueError, lambda o, x: o.SGD([])),
        (ValueError, lambda o, x: o.SGD(iter(()))),
        (TypeError, lambda o, x: o.SGD(x)),
        (TypeError, lambda o, x: o.SGD("weight")),
        (TypeError, lambda o, x: o.SGD(3)),
        (TypeError, lambda o, x: o.SGD([3])),
        (TypeError, lambda o, x: o.SGD([np.ones(3)])),
        (TypeError, lambda o, x: o.SGD({"params": [x]})),
        (TypeError, lambda o, x: o.SGD([{"params": {x}}])),
        (TypeError, lambda o, x: o.SGD([x, {"params": [x]}])),
        (TypeError, lambda o, x: o.SGD([{"params": [x]}, x])),
        (KeyError, lambda o, x: o.SGD([{"lr": 1}])),
        (ValueError, lambda o, x: o.SGD([computed(o)])),
        (ValueError, lambda o, x: o.SGD([{"params": [x]}, {"params": [x]}])),
        (ValueError, lambda o, x: o.SGD([x]).add_param_group({"params": x})),
        (TypeError, lambda o, x: o.SGD([x]).add_param_group([x])),
        (ValueError, lambda o, x: o.SGD([("x", x), x])),
        (ValueError, lambda o, x: o.SGD([("x", x)]).add_param_group({"params": []})),
        (TypeError, lambda o, x: o.SGD([x], learning_rate=1)),
        (TypeError, lambda o, x: o.SGD([x], lr="0.1")),
        (TypeError, lambda o, x: o.SGD([x], lr=None)),
        (ValueError, lambda o, x: o.SGD([x], lr=-1e-3)),
        (ValueError, lambda o, x: o.SGD([x], momentum=-0.1)),
        (ValueError, lambda o, x: o.SGD([x], weight_decay=-0.1)),
        (ValueError, lambda o, x: o.SGD([x], nesterov=True)),
        (ValueError, lambda o, x: o.SGD([x], nesterov=True, momentum=0.9, dampening=0.1)),
        (ValueError, lambda o, x: o.RMSprop([x], lr=-1e-3)),
        (ValueError, lambda o, x: o.RMSprop([x], alpha=-0.1)),
        (ValueError, lambda o, x: o.RMSprop([x], eps=-1e-8)),
        (ValueError, lambda o, x: o.RMSprop([x], weight_decay=-0.1)),
        (ValueError, lambda o, x: o.RMSprop([x], momentum=-0.1)),
        (ValueError, lambda o, x: o.Adam([x], lr=-1e-3)),
        (ValueError, lambda o, x: o.Adam([x], lr=math.nan)),
        (ValueError, lambda o, x: o.Adam([x], betas=(1.0, 0.999))),
        (ValueError, lambda o, x: o.Adam([x], betas=(0.9, 1.0))),
        (ValueError, lambda o, x: o.Adam([x], betas=(-0.1, 0.999))),
        (ValueError, lambda o, x: o.Adam([x], betas=(0.9, math.nan))),
        (TypeError, lambda o, x: o.Adam([x], betas=0.9)),
        (ValueError, lambda o, x: o.Adam([x], eps=-1e-8)),
        (ValueError, lambda o, x: o.Adam([x], weight_decay=-0.1)),
        (ValueError, lambda o, x: o.AdamW([x], weight_decay=-0.1)),
        (ValueError, lambda o, x: o.Adagrad([x], lr_decay=-0.1)),
        (ValueError, lambda o, x: o.Adagrad([x], initial_accumulator_value=-0.1)),
        (ValueError, lambda o, x: o.Adadelta([x], rho=1.1)),
        (ValueError, lambda o, x: o.Adadelta([x], rho=-0.1)),
        (ValueError, lambda o, x: o.Adamax([x], betas=(0.9, 1.0))),
        (ValueError, lambda o, x: o.NAdam([x], momentum_decay=-0.1)),
        (ValueError, lambda o, x: o.RAdam([x], betas=(1.0, 0.9))),
    ],
)
def test_what_torch_refuses_is_refused_with_the_same_type(error: type[Exception], make: Any) -> None:
    for module, x in SHARED.items():
        with pytest.raises(error):
            make(module, x)


@pytest.mark.parametrize(
    ("rule", "option"),
    [(rule, option) for rule in RULES for option, choices in OPTIONS[rule].items() if isinstance(choices[-1], float)],
)
def test_nan_is_refused_even_where_torch_takes_it(rule: type[Any], option: str) -> None:
    x = wrap(np.ones(3))
    for nan in (math.nan, np.float32("nan")):
        with pytest.raises(ValueError, match=r"Invalid .*nan"):
            rule([x], **{option: nan})
        with pytest.raises(ValueError, match=f"Invalid {option}: nan"):
            rule([{"params": [x], option: nan}])


@pytest.mark.parametrize("rule", RULES)
def test_torchs_switches_may_be_given_but_not_be_on(rule: type[Any]) -> None:
    x = wrap(np.ones(3))
    assert not SWITCHES & rule([x], foreach=None, fused=None, differentiable=False).param_groups[0].keys()
    for switch in SWITCHES:
        with pytest.raises(NotImplementedError, match=f"{switch}=True is not offered"):
            rule([x], **{switch: True})
        with pytest.raises(NotImplementedError, match=f"{switch}=True is not offered"):
            rule([{"params": [x], switch: True}])


@pytest.mark.parametrize("rule", RULES)
def test_a_tensor_as_lr_is_taken_as_its_number(rule: type[Any]) -> None:
    x, half, pair = wrap(np.ones(3)), wrap(np.array([0.5])), wrap(np.ones(2))
    optimizer = rule([x], lr=half)
    optimizer.add_param_group({"params": wrap(np.ones(3)), "lr": half * 2})
    assert [type(group["lr"]) for group in optimizer.param_groups] == [float, float]
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 1.0]
    with pytest.raises(ValueError, match="Tensor lr must be 1-element"):
        rule([x], lr=pair)
    with pytest.raises(ValueError, match="Tensor lr must be 1-element"):
        torchs(rule)([torch.ones(3)], lr=torch.ones(2))


# --- the comparison can fail ------------------------------------------------------------------------------------------


class StaleMomentum(SGD):
    """Steps with the buffer of the step before."""

    def update(self, param: Array, grad: Array, state: Any, options: dict[str, Any]) -> None:
        buf = state.setdefault("momentum_buffer", wrap(np.zeros_like(param))).array
        param -= options["lr"] * buf
        buf *= options["momentum"]
        buf += grad


class RateInsideMomentum(SGD):
    """The paper's momentum: gathers lr · grad."""

    def update(self, param: Array, grad: Array, state: Any, options: dict[str, Any]) -> None:
        super().update(param, options["lr"] * grad, state, {**options, "lr": 1})


class DampenedFirst(SGD):
    """Dampening acts on the first gradient, too."""

    def update(self, param: Array, grad: Array, state: Any, options: dict[str, Any]) -> None:
        state.setdefault("momentum_buffer", wrap(np.zeros_like(param)))
        super().update(param, grad, state, options)


class EpsInsideTheRoot(RMSprop):
    def update(self, param: Array, grad: Array, state: Any, options: dict[str, Any]) -> None:
        before = param.copy()
        super().update(param, grad, state, options)
        param[...] = before - options["lr"] * grad / np.sqrt(state["square_avg"].array + options["eps"])


class NoBiasCorrection(Adam):
    def update(self, param: Array, grad: Array, state: Any, options: dict[str, Any]) -> None:
        before = param.copy()
        super().update(param, grad, state, options)
        denom = np.sqrt(state["exp_avg_sq"].array) + options["eps"]
        param[...] = before - options["lr"] * state["exp_avg"].array / denom


class CorrectionFoldedIntoTheRate(Adam):
    """The paper's faster form: another eps."""

    def update(self, param: Array, grad: Array, state: Any, options: dict[str, Any]) -> None:
        t = state["step"].item() + 1 if state else 1
        eps = options["eps"] / math.sqrt(1 - options["betas"][1] ** t)
        super().update(param, grad, state, {**options, "eps": eps})


class CoupledDecay(AdamW):
    def update(self, param: Array, grad: Array, state: Any, options: dict[str, Any]) -> None:
        super().update(param, grad, state, {**options, "decoupled_weight_decay": False})


class ForgettingAdagrad(Adagrad):
    def update(self, param: Array, grad: Array, state: Any, options: dict[str, Any]) -> None:
        state["sum"].array[...] *= 0.9
        super().update(param, grad, state, options)


class UncorrectedAdamax(Adamax):
    def update(self, param: Array, grad: Array, state: Any, options: dict[str, Any]) -> None:
        before = param.copy()
        super().update(param, grad, state, options)
        param[...] = before - options["lr"] * state["exp_avg"].array / state["exp_inf"].array


class NoLookAhead(NAdam):
    """Adam's step."""

    def update(self, param: Array, grad: Array, state: Any, options: dict[str, Any]) -> None:
        before = param.copy()
        super().update(param, grad, state, options)
        t = state["step"].item()
        corrected1 = state["exp_avg"].array / (1 - options["betas"][0] ** t)
        corrected2 = state["exp_avg_sq"].array / (1 - options["betas"][1] ** t)
        param[...] = before - options["lr"] * corrected1 / (np.sqrt(corrected2) + options["eps"])


@pytest.mark.parametrize(
    ("faulty", "options"),
    [
        (ForgettingAdagrad, {}),
        (UncorrectedAdamax, {}),
        (NoLookAhead, {}),
        (StaleMomentum, {"momentum": 0.9}),
        (RateInsideMomentum, {"momentum": 0.9}),
        (DampenedFirst, {"momentum": 0.9, "dampening": 0.3}),
        (EpsInsideTheRoot, {}),
        (NoBiasCorrection, {}),
        (CorrectionFoldedIntoTheRate, {}),
        (CoupledDecay, {}),
    ],
)
def test_the_comparison_catches_a_wrong_rule(faulty: type[Optimizer], options: dict[str, Any]) -> None:
    run = simple_run({"lr": LARGEST_LR, **options})
    twins = Twins(run, "float64", faulty)
    with pytest.raises(AssertionError):  # noqa: PT012, the parameters must tell, in whichever step
        for lr, grads in run.steps:
            twins.step(lr, grads)
            twins.assert_equal_params()


def test_the_comparison_catches_a_wrong_state() -> None:
    class MiscountedSteps(RMSprop):
        """The parameters do not show it."""

        def update(self, param: Array, grad: Array, state: Any, options: dict[str, Any]) -> None:
            super().update(param, grad, state, options)
            state["step"].array[...] += 1

    with pytest.raises(AssertionError):
        follow(simple_run({}), "float64", MiscountedSteps)


def test_a_rule_that_remembers_nothing_leaves_no_state() -> None:
    for lib in (minitrain, torch):
        param = lib.ones(2, requires_grad=True)
        optimizer = lib.optim.SGD([param], lr=0.1)
        param.sum().backward()
        optimizer.step()
        assert len(optimizer.state) == 0
        assert optimizer.state_dict()["state"] == {}


KINDS = [*sorted(OPTIMIZERS), "AdamW"]


def stepped(library: Any, kind: str, steps: int) -> Any:
    param = library.ones(2, requires_grad=True)
    optimizer = getattr(library.optim, kind)([param], lr=0.1)
    for _ in range(steps):
        loss = param.square().sum()
        loss.backward(retain_graph=True)
        optimizer.step(lambda loss=loss: loss)
    return optimizer


def test_the_known_options_are_those_of_the_classes() -> None:
    for kind, options in OPTIMIZERS.items():
        for library in (torch, minitrain):
            if library is torch or hasattr(minitrain.optim, kind):
                assert stepped(library, kind, 0).defaults.keys() - {*SWITCHES} == options


@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize("saved_by", [torch, minitrain], ids=["torch", "minitrain"])
def test_a_state_is_loaded_by_its_own_class_only(saved_by: Any, steps: int) -> None:
    for saved in KINDS if saved_by is torch else [kind for kind in KINDS if hasattr(minitrain.optim, kind)]:
        state = stepped(saved_by, saved, min(steps, 1)).state_dict()
        for kind in KINDS:
            if not hasattr(minitrain.optim, kind):
                continue
            optimizer = stepped(minitrain, kind, 2)
            before = repr(optimizer.state_dict())
            if {saved, kind} == {"Adam", "AdamW"} or saved == kind:
                optimizer.load_state_dict(state)
                continue
            with pytest.raises(
                ValueError, match=rf"loaded state dict is {saved.removesuffix('W')}'s, not {kind}'s: it "
            ):
                optimizer.load_state_dict(state)
            assert repr(optimizer.state_dict()) == before
            record("states of another class loaded", 1, 0)


def test_a_state_of_another_class_is_refused_with_the_remedy_and_options_of_ones_own_are_not() -> None:
    with pytest.raises(ValueError, match=r"has dampening, momentum, nesterov and lacks amsgrad, .*begin Adam without"):
        stepped(minitrain, "Adam", 0).load_state_dict(stepped(minitrain, "SGD", 1).state_dict())
    options = {"lr": 1.0, "name": "body", "rho": 3}  # two of the program's own
    saved, new = (minitrain.optim.Adam([{"params": [minitrain.ones(1)], **options}]) for _ in range(2))
    new.load_state_dict(saved.state_dict())
    other = minitrain.optim.SGD([minitrain.ones(2)], lr=0.1, momentum=0.9, nesterov=True)
    other.load_state_dict(stepped(torch, "SGD", 1).state_dict())
    assert other.param_groups[0]["momentum"] == 0  # the saved options count, as in torch
