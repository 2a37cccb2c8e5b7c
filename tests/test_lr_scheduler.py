"""Every scheduler sets torch's learning rates and momenta, bit for bit; states are saved, loaded and interchanged."""

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minitrain import optim
from minitrain.optim import SGD, Adam, Optimizer, lr_scheduler
from minitrain.tensor import wrap

STEPS = 50
Make = Callable[[Any, Any], Any]


class Warmup:
    """A function of the epoch with a state, which is saved."""

    def __init__(self, over: int) -> None:
        self.over = over

    def __call__(self, epoch: int) -> float:
        return min((epoch + 1) / self.over, 1.0)


def warmed(o: Any, optimizer: Any) -> Any:
    """As programs of today have it: a linear warm-up, then a cosine."""
    schedulers = [o.LinearLR(optimizer, 0.01, total_iters=7), o.CosineAnnealingLR(optimizer, T_max=40, eta_min=1e-4)]
    return o.SequentialLR(optimizer, schedulers, milestones=[7])


def three(o: Any, optimizer: Any) -> Any:
    schedulers = [o.ConstantLR(optimizer, 0.1, 4), o.ExponentialLR(optimizer, 0.9), o.StepLR(optimizer, 5, 0.5)]
    return o.SequentialLR(optimizer, schedulers, milestones=[6, 20])


def nested(o: Any, optimizer: Any) -> Any:
    chained = o.ChainedScheduler([o.ExponentialLR(optimizer, 0.95), o.MultiStepLR(optimizer, [3, 9], 0.5)])
    with warnings.catch_warnings():  # torch steps the chained ones at the beginning, and warns of its own doing
        warnings.simplefilter("ignore")
        return o.SequentialLR(optimizer, [chained, o.PolynomialLR(optimizer, 5)], milestones=[10])


SCHEDULERS: dict[str, Make] = {
    "LambdaLR": lambda o, opt: o.LambdaLR(opt, lambda epoch: 0.95**epoch),
    "LambdaLR of each group": lambda o, opt: o.LambdaLR(opt, [lambda epoch: 1 / (epoch + 1), Warmup(9)]),
    "MultiplicativeLR": lambda o, opt: o.MultiplicativeLR(opt, lambda epoch: 1 - 1 / (epoch + 3)),
    "StepLR": lambda o, opt: o.StepLR(opt, 7, 0.3),
    "MultiStepLR": lambda o, opt: o.MultiStepLR(opt, [30, 3, 8, 8], 0.3),
    "ConstantLR": lambda o, opt: o.ConstantLR(opt),
    "ConstantLR for no epoch": lambda o, opt: o.ConstantLR(opt, 0.5, 0),
    "LinearLR": lambda o, opt: o.LinearLR(opt),
    "LinearLR down": lambda o, opt: o.LinearLR(opt, 1.0, 0.1, 20),
    "ExponentialLR": lambda o, opt: o.ExponentialLR(opt, 0.9),
    "PolynomialLR": lambda o, opt: o.PolynomialLR(opt, 20, 0.9),
    "CosineAnnealingLR": lambda o, opt: o.CosineAnnealingLR(opt, 10, 1e-3),
    "CosineAnnealingLR of T_max 1": lambda o, opt: o.CosineAnnealingLR(opt, T_max=1),
    "CosineAnnealingWarmRestarts": lambda o, opt: o.CosineAnnealingWarmRestarts(opt, 4, 2, 1e-3),
    "CosineAnnealingWarmRestarts, equal": lambda o, opt: o.CosineAnnealingWarmRestarts(opt, 9),
    "CyclicLR": lambda o, opt: o.CyclicLR(opt, 0.01, [0.1, 0.3], 4, 9),
    "CyclicLR triangular2": lambda o, opt: o.CyclicLR(opt, 0.01, 0.1, 5, mode="triangular2", base_momentum=[0.1, 0.2]),
    "CyclicLR exp_range": lambda o, opt: o.CyclicLR(opt, 0.01, 0.1, 5, mode="exp_range", gamma=0.97),
    "CyclicLR of a function": lambda o, opt: o.CyclicLR(opt, 0.01, 0.1, 5, scale_fn=Warmup(3), cycle_momentum=False),
    "OneCycleLR": lambda o, opt: o.OneCycleLR(opt, 0.1, STEPS),
    "OneCycleLR linear": lambda o, opt: o.OneCycleLR(
        opt, [0.1, 1], epochs=10, steps_per_epoch=5, anneal_strategy="linear", pct_start=0.5
    ),
    "OneCycleLR in three phases": lambda o, opt: o.OneCycleLR(opt, 0.1, STEPS + 7, three_phase=True, div_factor=10),
    "OneCycleLR without momentum": lambda o, opt: o.OneCycleLR(opt, 0.1, STEPS, cycle_momentum=False),
    "SequentialLR": warmed,
    "SequentialLR of three": three,
    "SequentialLR, nested": nested,
    "ChainedScheduler": lambda o, opt: o.ChainedScheduler([o.StepLR(opt, 9, 0.5), o.LinearLR(opt, 0.1)]),
    "ReduceLROnPlateau": lambda o, opt: o.ReduceLROnPlateau(opt, patience=2, cooldown=1, min_lr=[1e-3, 0]),
    "ReduceLROnPlateau max": lambda o, opt: o.ReduceLROnPlateau(opt, "max", 0.7, 1, 0.05, "abs", eps=1e-2),
    "ReduceLROnPlateau, relative max": lambda o, opt: o.ReduceLROnPlateau(opt, "max", 0.7, 0, 0.1),
    "ReduceLROnPlateau, absolute": lambda o, opt: o.ReduceLROnPlateau(opt, "min", 0.5, 0, 0.1, "abs", min_lr=0.01),
}
MODULES: dict[Any, Any] = {optim: lambda: wrap(np.ones(2)), torch.optim: lambda: torch.ones(2)}


def optimizers(kind: str, lrs: tuple[float, ...] = (0.1, 0.03)) -> list[Any]:
    """minitrain's optimizer, and torch's, each with a group for each lr."""
    options = {"momentum": 0.9} if kind == "SGD" else {}
    return [
        getattr(module, kind)([{"params": [tensor()], "lr": lr} for lr in lrs], **options)
        for module, tensor in MODULES.items()
    ]


class Twins:
    """A scheduler of minitrain's and one of torch's, each with its optimizer."""

    def __init__(self, make: Make, kind: str = "SGD", lrs: tuple[float, ...] = (0.1, 0.03)) -> None:
        self.optimizers = optimizers(kind, lrs)
        modules = (lr_scheduler, torch.optim.lr_scheduler)
        self.schedulers = [make(o, optimizer) for o, optimizer in zip(modules, self.optimizers, strict=True)]

    def step(self, i: int) -> None:
        """An optimizer's step and the scheduler's, with a metric that improves less and less."""
        plateau = isinstance(self.schedulers[0], lr_scheduler.ReduceLROnPlateau)
        metric = math.exp(-i / 5) + 0.05 * math.sin(i * i)
        for optimizer, scheduler in zip(self.optimizers, self.schedulers, strict=True):
            optimizer.step()
            scheduler.step(*[metric] if plateau else [])

    def assert_equal(self) -> None:
        """Equal to the last bit: all options of all groups, and all that is saved."""
        ours, theirs = ([*map(options, optimizer.param_groups)] for optimizer in self.optimizers)
        for our_group, their_group in zip(ours, theirs, strict=True):
            assert our_group == {name: their_group[name] for name in our_group}
        assert self.schedulers[0].get_last_lr() == self.schedulers[1].get_last_lr()
        ours, theirs = (comparable(scheduler.state_dict()) for scheduler in self.schedulers)
        assert ours == theirs


def options(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}


def comparable(state: Any) -> Any:
    """A state with its functions' attributes as they are, and the rest by value."""
    return {name: value for name, value in state.items() if name != "lr_lambdas"}


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_rates_are_torchs_bit_for_bit(name: str, kind: str) -> None:
    twins = Twins(SCHEDULERS[name], kind)
    twins.assert_equal()
    lrs = set()
    for i in range(STEPS - 1):
        twins.step(i)
        twins.assert_equal()
        lrs.add(twins.optimizers[0].param_groups[0]["lr"])
    assert len(lrs) > 1 or name in ("ConstantLR for no epoch",)


@pytest.mark.parametrize("source", ["minitrain", "torch"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_resumes_from_a_saved_state_of_either(name: str, source: str) -> None:
    """The state of a scheduler and of its optimizer, loaded into new ones with other initial rates."""
    twins, resumed = Twins(SCHEDULERS[name]), Twins(SCHEDULERS[name], lrs=(7.0, 7.0))
    for i in range(11):
        twins.step(i)
    k = ["minitrain", "torch"].index(source)
    for optimizer, scheduler in zip(resumed.optimizers, resumed.schedulers, strict=True):
        groups = twins.optimizers[k].state_dict()["param_groups"]
        if optimizer is resumed.optimizers[1]:
            switches = {"foreach": None, "fused": None, "differentiable": False}
            groups = [switches | group for group in groups]
        optimizer.load_state_dict({"state": {}, "param_groups": groups})
        scheduler.load_state_dict(copy.deepcopy(twins.schedulers[k].state_dict()))
    for i in range(11, STEPS - 1):
        twins.step(i)
        resumed.step(i)
        resumed.assert_equal()
        ours = [[*map(options, x.optimizers[0].param_groups)] for x in (twins, resumed)]
        assert [[g["lr"], g["momentum"]] for g in ours[0]] == [[g["lr"], g["momentum"]] for g in ours[1]]


@pytest.mark.parametrize("source", ["minitrain", "torch"])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_state_is_loaded_by_its_own_class_only(name: str, source: str) -> None:
    twins = Twins(SCHEDULERS[name])
    saved = twins.schedulers[["minitrain", "torch"].index(source)]
    state = copy.deepcopy(saved.state_dict())
    for make in SCHEDULERS.values():
        scheduler = Twins(make).schedulers[0]
        kinds = {type(saved).__name__, type(scheduler).__name__}
        if len(kinds) == 1 or kinds == {"LambdaLR", "MultiplicativeLR"}:
            continue  # combined ones are checked, too, by what they combine
        before = repr(scheduler.state_dict())
        with pytest.raises(ValueError, match=rf"{type(saved).__name__}.*'s, not {type(scheduler).__name__}'s: it "):
            scheduler.load_state_dict(state)
        assert repr(scheduler.state_dict()) == before


def test_a_combination_of_other_schedulers_is_refused_and_nothing_is_changed() -> None:
    first, second = (
        lr_scheduler.ChainedScheduler([lr_scheduler.ConstantLR(opt, 0.5), make(opt)])
        for make in (lambda opt: lr_scheduler.StepLR(opt, 3), lambda opt: lr_scheduler.ExponentialLR(opt, 0.9))
        for opt in [SGD([wrap(np.ones(1, np.float32))], lr=1.0)]
    )
    before = repr(second.state_dict())
    with pytest.raises(ValueError, match="StepLR's, not ExponentialLR's: it has step_size"):
        second.load_state_dict(first.state_dict())
    assert repr(second.state_dict()) == before


RULES: dict[str, st.SearchStrategy[Make]] = {
    "StepLR": st.builds(lambda n, gamma: lambda o, opt: o.StepLR(opt, n, gamma), st.integers(1, 20), st.floats(0, 2)),
    "MultiStepLR": st.builds(
        lambda at, gamma: lambda o, opt: o.MultiStepLR(opt, at, gamma),
        st.lists(st.integers(0, STEPS), max_size=6),
        st.floats(0, 2),
    ),
    "ConstantLR": st.builds(
        lambda factor, n: lambda o, opt: o.ConstantLR(opt, factor, n), st.floats(0.1, 1), st.integers(0, 60)
    ),
    "LinearLR": st.builds(
        lambda a, b, n: lambda o, opt: o.LinearLR(opt, a, b, n),
        st.floats(0.01, 1),
        st.floats(0.01, 1),
        st.integers(1, 60),
    ),
    "PolynomialLR": st.builds(
        lambda n, power: lambda o, opt: o.PolynomialLR(opt, n, power), st.integers(1, 60), st.floats(0, 3)
    ),
    "CosineAnnealingLR": st.builds(
        lambda n, low: lambda o, opt: o.CosineAnnealingLR(opt, n, low), st.integers(1, 60), st.floats(0, 0.2)
    ),
    "CosineAnnealingWarmRestarts": st.builds(
        lambda n, times: lambda o, opt: o.CosineAnnealingWarmRestarts(opt, n, times),
        st.integers(1, 20),
        st.integers(1, 3),
    ),
    "OneCycleLR": st.builds(
        lambda n, pct, kind, phases: (
            lambda o, opt: o.OneCycleLR(opt, 0.5, n, pct_start=pct, anneal_strategy=kind, three_phase=phases)
        ),
        st.integers(STEPS, 99),
        st.floats(0.1, 0.45),
        st.sampled_from(["cos", "linear"]),
        st.booleans(),
    ),
    "CyclicLR": st.builds(
        lambda up, down, mode: lambda o, opt: o.CyclicLR(opt, 0.1, 0.5, up, down, mode, 0.9),
        st.integers(1, 20),
        st.none() | st.integers(1, 20),
        st.sampled_from(["triangular", "triangular2", "exp_range"]),
    ),
    "ReduceLROnPlateau": st.builds(
        lambda mode, patience, kind, cooldown: (
            lambda o, opt: o.ReduceLROnPlateau(opt, mode, 0.5, patience, 0.01, kind, cooldown)
        ),
        st.sampled_from(["min", "max"]),
        st.integers(0, 4),
        st.sampled_from(["rel", "abs"]),
        st.integers(0, 3),
    ),
}


@pytest.mark.parametrize("rule", RULES)
@given(data=st.data())
def test_any_arguments_give_torchs_rates(rule: str, data: st.DataObject) -> None:
    make = data.draw(RULES[rule])
    try:
        twins = Twins(make)
    except ZeroDivisionError:  # as for a factor of 0
        with pytest.raises(ZeroDivisionError):
            make(torch.optim.lr_scheduler, optimizers("SGD")[1])
        return
    changed = data.draw(st.none() | st.integers(0, 15))
    for i in range(20):
        if i == changed:  # a rate that the program itself sets
            for optimizer in twins.optimizers:
                optimizer.param_groups[0]["lr"] = 0.5
        twins.step(i)
        twins.assert_equal()


@pytest.mark.parametrize(
    "name", ["StepLR", "MultiStepLR", "ConstantLR", "LinearLR", "ExponentialLR", "PolynomialLR", "CosineAnnealingLR"]
)
def test_an_epoch_jumps_by_the_closed_form(name: str) -> None:
    twins = Twins(SCHEDULERS[name])
    for epoch in (3, 4, 17, 2):
        for optimizer, scheduler in zip(twins.optimizers, twins.schedulers, strict=True):
            optimizer.step()
            with pytest.warns(UserWarning, match="epoch parameter"):
                scheduler.step(epoch)
        twins.assert_equal()
        fresh = Twins(SCHEDULERS[name])
        for i in range(epoch):
            fresh.step(i)
        for a, b in zip(*(x.schedulers[0].get_last_lr() for x in (twins, fresh)), strict=True):
            assert a == pytest.approx(b, rel=1e-12)


def test_warm_restarts_take_fractions_of_an_epoch() -> None:
    twins = Twins(SCHEDULERS["CosineAnnealingWarmRestarts"])
    for epoch in (0.25, 0.5, 3.75, 4.0, 4.5, 27.2, 28.5, 1.5):
        for optimizer, scheduler in zip(twins.optimizers, twins.schedulers, strict=True):
            optimizer.step()
            scheduler.step(epoch)
        twins.assert_equal()
    for scheduler in twins.schedulers:
        with pytest.raises(ValueError, match="Expected non-negative epoch, but got -1"):
            scheduler.step(-1)


@pytest.mark.parametrize("name", ["StepLR", "ExponentialLR", "CosineAnnealingLR", "LambdaLR"])
def test_a_last_epoch_resumes_where_the_groups_have_an_initial_lr(name: str) -> None:
    makes: dict[str, Make] = {
        "StepLR": lambda o, opt: o.StepLR(opt, 3, last_epoch=8),
        "ExponentialLR": lambda o, opt: o.ExponentialLR(opt, 0.9, last_epoch=8),
        "CosineAnnealingLR": lambda o, opt: o.CosineAnnealingLR(opt, 20, last_epoch=8),
        "LambdaLR": lambda o, opt: o.LambdaLR(opt, lambda epoch: 0.9**epoch, last_epoch=8),
    }
    twins = Twins(lambda o, opt: None)
    for o, optimizer in zip((lr_scheduler, torch.optim.lr_scheduler), twins.optimizers, strict=True):
        with pytest.raises(KeyError, match="param 'initial_lr' is not specified in param_groups"):
            makes[name](o, optimizer)
        for group in optimizer.param_groups:
            group["initial_lr"] = 0.5
    twins.schedulers = [
        makes[name](o, optimizer)
        for o, optimizer in zip((lr_scheduler, torch.optim.lr_scheduler), twins.optimizers, strict=True)
    ]
    for i in range(10):
        twins.assert_equal()
        twins.step(i)


def test_a_group_that_is_added_later_is_scheduled_from_then_on() -> None:
    twins = Twins(SCHEDULERS["StepLR"])
    for optimizer, tensor in zip(twins.optimizers, MODULES.values(), strict=True):
        optimizer.add_param_group({"params": [tensor()], "lr": 0.5})
    for i in range(10):
        twins.step(i)
        twins.assert_equal()
    assert twins.optimizers[0].param_groups[2]["lr"] == 0.5 * 0.3


def test_a_plateau_takes_a_tensor_as_metric() -> None:
    (optimizer, _) = optimizers("SGD")
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    scheduler.step(wrap(np.array(1.0)))
    scheduler.step(wrap(np.array([2.0])))
    assert scheduler.best == 1
    assert optimizer.param_groups[0]["lr"] == 0.1 * 0.1


# --- warnings and errors ----------------------------------------------------------------------------------------------


def test_a_step_before_the_optimizers_warns_once() -> None:
    for o, optimizer in zip((lr_scheduler, torch.optim.lr_scheduler), optimizers("SGD"), strict=True):
        scheduler = o.StepLR(optimizer, 3)
        with pytest.warns(UserWarning, match=r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
            scheduler.step()
        scheduler.step()


def test_an_optimizer_with_a_step_of_its_own_gives_no_warning() -> None:
    class Mine(Optimizer):
        def step(self, closure: Any = None) -> None:
            """Nothing."""

    optimizer = Mine([wrap(np.ones(1))], {"lr": 1.0})
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_get_lr_outside_of_step_warns() -> None:
    for scheduler in Twins(SCHEDULERS["StepLR"]).schedulers:
        with pytest.warns(UserWarning, match=r"please use `get_last_lr\(\)`") as caught:
            scheduler.get_lr()
        assert caught[0].filename == __file__ or isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)


def test_a_rule_of_ones_own_is_a_subclass_with_a_get_lr() -> None:
    def make(o: Any, optimizer: Any) -> Any:
        class InverseRoot(o.LRScheduler):  # type: ignore[misc, name-defined]
            def get_lr(self) -> list[float]:
                if not self._get_lr_called_within_step:
                    warnings.warn("outside", stacklevel=1)
                return [base_lr / math.sqrt(self.last_epoch + 1) for base_lr in self.base_lrs]

        return InverseRoot(optimizer)

    twins = Twins(make)
    for i in range(5):
        twins.step(i)
        twins.assert_equal()
    with pytest.raises(NotImplementedError):
        lr_scheduler.LRScheduler(optimizers("SGD")[0])


def without_momentum(o: Any) -> Any:
    module = optim if o is lr_scheduler else torch.optim
    return module.Adagrad([MODULES[module]()])


@pytest.mark.parametrize(
    ("error", "make"),
    [
        (TypeError, lambda o, opt: o.StepLR([], 3)),
        (TypeError, lambda o, opt: o.OneCycleLR(None, 0.1, 3)),
        (TypeError, lambda o, opt: o.ReduceLROnPlateau(3)),
        (TypeError, lambda o, opt: o.CyclicLR("SGD", 0.1, 0.2)),
        (TypeError, lambda o, opt: o.StepLR(opt)),
        (ValueError, lambda o, opt: o.LambdaLR(opt, [abs])),
        (TypeError, lambda o, opt: o.MultiplicativeLR(opt, 0.9)),
        (TypeError, lambda o, opt: o.LambdaLR(opt, 0.9)),
        (ValueError, lambda o, opt: o.ConstantLR(opt, 1.5)),
        (ValueError, lambda o, opt: o.LinearLR(opt, 0)),
        (ValueError, lambda o, opt: o.LinearLR(opt, 0.5, 1.5)),
        (ValueError, lambda o, opt: o.CosineAnnealingWarmRestarts(opt, 0)),
        (ValueError, lambda o, opt: o.CosineAnnealingWarmRestarts(opt, 2.5)),
        (ValueError, lambda o, opt: o.CosineAnnealingWarmRestarts(opt, 3, 0)),
        (ValueError, lambda o, opt: o.CosineAnnealingWarmRestarts(opt, 3, eta_min="0")),
        (ValueError, lambda o, opt: o.OneCycleLR(opt, 0.1)),
        (ValueError, lambda o, opt: o.OneCycleLR(opt, 0.1, epochs=3)),
        (ValueError, lambda o, opt: o.OneCycleLR(opt, 0.1, 0)),
        (ValueError, lambda o, opt: o.OneCycleLR(opt, 0.1, epochs=0, steps_per_epoch=3)),
        (ValueError, lambda o, opt: o.OneCycleLR(opt, 0.1, epochs=3, steps_per_epoch=2.5)),
        (ValueError, lambda o, opt: o.OneCycleLR(opt, 0.1, 10, pct_start=1)),
        (ValueError, lambda o, opt: o.OneCycleLR(opt, 0.1, 10, anneal_strategy="sine")),
        (ValueError, lambda o, opt: o.OneCycleLR(opt, [0.1], 10)),
        (ValueError, lambda o, opt: o.OneCycleLR(without_momentum(o), 0.1, 10)),
        (ValueError, lambda o, opt: o.CyclicLR(without_momentum(o), 0.1, 0.2)),
        (ValueError, lambda o, opt: o.CyclicLR(opt, 0.1, 0.2, mode="square")),
        (ValueError, lambda o, opt: o.SequentialLR(opt, [], [])),
        (ValueError, lambda o, opt: o.SequentialLR(opt, [o.ExponentialLR(opt, 1)], [3])),
        (ValueError, lambda o, opt: o.SequentialLR(opt, [o.ReduceLROnPlateau(opt)], [])),
        (TypeError, lambda o, opt: o.SequentialLR(opt, [3], [])),
        (
            ValueError,
            lambda o, opt: o.SequentialLR(opt, [o.ExponentialLR(without_momentum(o), 1)], []),
        ),
        (ValueError, lambda o, opt: o.ChainedScheduler([])),
        (ValueError, lambda o, opt: o.ChainedScheduler([o.ReduceLROnPlateau(opt)])),
        (ValueError, lambda o, opt: o.ReduceLROnPlateau(opt, factor=1.0)),
        (ValueError, lambda o, opt: o.ReduceLROnPlateau(opt, mode="least")),
        (ValueError, lambda o, opt: o.ReduceLROnPlateau(opt, threshold_mode="percent")),
        (ValueError, lambda o, opt: o.ReduceLROnPlateau(opt, min_lr=[0.1])),
    ],
)
def test_what_torch_refuses_is_refused_with_the_same_type(error: type[Exception], make: Make) -> None:
    for o, optimizer in zip((lr_scheduler, torch.optim.lr_scheduler), optimizers("SGD"), strict=True):
        with pytest.raises(error):
            make(o, optimizer)


def test_one_cycle_refuses_a_step_after_its_last() -> None:
    twins = Twins(lambda o, opt: o.OneCycleLR(opt, 0.1, 3))
    for i in range(3):
        twins.step(i)
    for scheduler in twins.schedulers:
        with pytest.raises(ValueError, match=r"Tried to step 4 times. The specified number of total steps is 3"):
            scheduler.step()


def test_a_plateau_asks_for_the_bound_of_an_added_group() -> None:
    for optimizer, scheduler, tensor in zip(
        *vars(Twins(lambda o, opt: o.ReduceLROnPlateau(opt, patience=0, min_lr=[0, 0]))).values(),
        MODULES.values(),
        strict=True,
    ):
        optimizer.add_param_group({"params": [tensor()]})
        scheduler.step(1.0)
        with pytest.raises(RuntimeError, match="differs from when `ReduceLROnPlateau` was initialized"):
            scheduler.step(1.0)


# --- the comparison can fail ------------------------------------------------------------------------------------------


def test_the_comparison_catches_a_closed_form_in_the_place_of_the_recursion() -> None:
    """They are equal but for rounding."""

    def make(o: Any, optimizer: Any) -> Any:
        if o is not lr_scheduler:
            return o.CosineAnnealingLR(optimizer, 10)

        class Closed(lr_scheduler.CosineAnnealingLR):
            def next_lr(self, lr: float, base_lr: float) -> float:
                return self.closed_form(base_lr)

        return Closed(optimizer, 10)

    twins = Twins(make)
    with pytest.raises(AssertionError):  # noqa: PT012, in whichever step
        for i in range(STEPS):
            twins.step(i)
            twins.assert_equal()


def test_the_comparison_catches_a_momentum_that_is_not_cycled() -> None:
    def make(o: Any, optimizer: Any) -> Any:
        return o.OneCycleLR(optimizer, 0.1, STEPS, cycle_momentum=o is not lr_scheduler)

    with pytest.raises(AssertionError):
        Twins(make, "Adam").assert_equal()


def test_schedulers_train_with_each_rule() -> None:
    """The rate that a scheduler sets is the one that update gets."""
    param = wrap(np.zeros(())).requires_grad_()
    optimizer = Adam([param], lr=1.0)
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.5)
    moves = []
    for _ in range(4):
        before = param.item()
        param.grad = wrap(np.ones(()))
        optimizer.step()
        scheduler.step()
        moves.append(before - param.item())
    assert moves == pytest.approx([1, 0.5, 0.25, 0.125])
    assert SGD([param], lr=scheduler.get_last_lr()[0]).param_groups[0]["lr"] == 0.5**4
