"""check_optimizer: right rules pass, whatever their options; a wrong one is caught, and called what it is."""

import itertools
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minitrain
from minitrain.diagnosis import optimcheck, optimizer_rules
from minitrain.diagnosis.optimcheck import MISTAKES, check_optimizer, formula, judge, record
from minitrain.diagnosis.source_edit import body_of
from minitrain.mistakes.catalogue import SPECIMENS
from minitrain.mistakes.table import faulty
from minitrain.optim import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, Optimizer, RMSprop
from minitrain.tensor import wrap
from minitrain.with_torch.faults import FAULTS
from tests.test_optim import OPTIONS, contradictory

RULES: dict[type[Any], optimizer_rules.Rule] = {SGD: "sgd", RMSprop: "rmsprop", Adam: "adam", AdamW: "adam"}
every_rule = pytest.mark.parametrize("rule", RULES)


@st.composite
def any_options(draw: st.DrawFn, rule: type[Any]) -> dict[str, Any]:
    some = {option: st.sampled_from(choices) for option, choices in OPTIONS[rule].items()}
    return draw(st.fixed_dictionaries({}, optional=some).filter(lambda o: not contradictory({"momentum": 0, **o})))


def names(report: optimcheck.OptimizerReport) -> list[str]:
    return [mistake.name for mistake in report.mistakes]


# --- what is right passes ---------------------------------------------------------------------------------------------


@every_rule
@given(data=st.data())
def test_the_librarys_rule_is_the_formula(rule: type[Any], data: st.DataObject) -> None:
    options, seed = data.draw(any_options(rule)), data.draw(st.integers(0, 1000))
    options = {"dampening": 0, **options} if options.get("nesterov") else options
    shapes = data.draw(st.lists(st.sampled_from([(), (1,), (4,), (2, 3), (0, 2)]), min_size=1, max_size=4))
    report = check_optimizer(rule, RULES[rule], options=options, seed=seed, shapes=shapes)
    assert report.ok, str(report)
    assert report.mistakes == []


@every_rule
def test_the_librarys_rule_passes_with_the_options_that_are_tried_by_default(rule: type[Any]) -> None:
    for reference in (rule, RULES[rule]):
        report = check_optimizer(rule, reference)
        assert report.ok
        assert "is right" in str(report)
        assert report.tried > 1


def torchs(rule: type[Any], options: dict[str, Any]) -> optimcheck.Trajectory:
    """What torch's optimizer of the same name does with the same parameters, gradients and rates."""
    run = record(rule, options)
    params = [torch.from_numpy(array.copy()).requires_grad_() for array in run.start]
    half = (len(params) + 1) // 2
    optimizer = getattr(torch.optim, rule.__name__)([{"params": params[:half]}, {"params": params[half:]}], **options)
    path, states = [], []
    for lrs, grads in zip(run.lrs, run.sent, strict=True):
        for group, lr in zip(optimizer.param_groups, (lrs[0], lrs[-1]), strict=True):
            group["lr"] = lr
        for param, grad in zip(params, grads, strict=True):
            param.grad = None if grad is None else torch.from_numpy(grad.copy())
        optimizer.step()
        path.append([param.detach().numpy().copy() for param in params])
        kept = [{k: v for k, v in optimizer.state.get(param, {}).items() if v is not None} for param in params]
        states.append([{k: v.double().numpy().copy() for k, v in state.items()} for state in kept])
    return optimcheck.Trajectory(run.options, run.start, run.lrs, run.sent, run.sent, run.sent, path, states)


@every_rule
@given(data=st.data())
def test_torchs_steps_are_judged_right(rule: type[Any], data: st.DataObject) -> None:
    options = data.draw(any_options(rule))
    options = {"dampening": 0, **options} if options.get("nesterov") else options
    theirs = torchs(rule, options)
    assert judge(record(rule, options), theirs).ok
    assert judge(theirs, formula(RULES[rule], record(rule, options))).ok


def test_a_rule_of_ones_own_need_not_have_every_option() -> None:
    class Plain(Optimizer):
        def __init__(self, params: Any, lr: float = 0.1) -> None:
            super().__init__(params, {"lr": lr})

        def update(self, param: Any, grad: Any, state: Any, options: dict[str, Any]) -> None:
            param -= options["lr"] * grad

    assert check_optimizer(Plain, "sgd").ok
    assert check_optimizer(Plain, SGD, options={}).ok


# --- what is wrong is named -------------------------------------------------------------------------------------------

# Of a mistake that shows only with some options, they are given. The specimens of the zoo have a test of their own.
WRONG: list[tuple[str, type[Any], dict[str, Any] | None, str]] = [
    ("uphill", SGD, None, "uphill"),
    ("gradients-kept", SGD, None, "gradients-not-zeroed"),
    ("late-gradient", SGD, None, "late-gradient"),
    ("weight-decay-sign", SGD, None, "decay-sign"),
    ("stale-momentum", SGD, {"momentum": 0.9}, "stale-momentum"),
    ("averaged-momentum", SGD, {"momentum": 0.9}, "momentum-averaged"),
    ("adam-uncorrected", Adam, {}, "bias-correction-missing"),
    ("adam-eps-inside", Adam, {}, "eps-inside-root"),
    ("rmsprop-eps-inside", RMSprop, {}, "eps-inside-root"),
]


@pytest.mark.parametrize(("fault", "right", "options", "mistake"), WRONG)
def test_the_planted_optimizer_faults_of_compare_are_named(
    fault: str, right: type[Any], options: dict[str, Any] | None, mistake: str
) -> None:
    wrong = faulty(right, FAULTS[fault].specimen)
    for reference in (right, RULES[right]):
        report = check_optimizer(wrong, reference, options=options)
        assert names(report)[0] == mistake
        assert mistake in str(report)


SHOWN_WITH: list[tuple[type[Any], optimizer_rules.Rule]] = [
    (SGD, "sgd"),
    (RMSprop, "rmsprop"),
    (Adam, "adam"),
    (Adagrad, "adagrad"),
    (Adadelta, "adadelta"),
    (Adamax, "adamax"),
    (NAdam, "nadam"),
]
SHOWN_BY: dict[optimizer_rules.Rule, list[dict[str, Any]]] = {
    "sgd": [
        {},
        {"maximize": True},
        {"momentum": 0.9},
        {"momentum": 0.9, "weight_decay": 0.1},
        {"momentum": 0.9, "dampening": 0.4},
        {"momentum": 0.9, "nesterov": True},
        {"maximize": True, "weight_decay": 0.1},
    ],
    "rmsprop": [{}, {"momentum": 0.9, "weight_decay": 0.1, "centered": True}, {"alpha": 0.8, "eps": 0.01}],
    "adam": [
        {},
        {"weight_decay": 0.1, "amsgrad": True},
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {"betas": (0.8, 0.99), "eps": 0.01},
    ],
    "adagrad": [{}, {"eps": 0.01}],
    "adadelta": [{}, {"lr": 0.5, "weight_decay": 0.1}],
    "adamax": [{}],
    "nadam": [{}, {"momentum_decay": 0.1}],
}


@pytest.mark.parametrize("wrong", MISTAKES)
def test_every_mistake_that_is_known_is_caught_and_named_with_some_rule(wrong: str) -> None:
    """Planted in the formula; where two come to the same steps, the mistake is among those named."""
    shown = 0
    for right, rule in SHOWN_WITH:
        for options in SHOWN_BY[rule] if optimizer_rules.has_place(rule, wrong) else []:
            run = record(right, options)
            run = formula(rule, run) if run.in_float32 else run  # NAdam's product is in float32
            planted = trajectory_with(rule, run, wrong)
            report = judge(planted, run)
            if not report.ok:
                shown += 1
                assert wrong.partition("/")[0] in names(report), f"{rule} {options}\n{report}"
    assert shown


def test_every_edit_of_a_rule_fits_somewhere_and_nowhere_twice() -> None:
    functions = (optimizer_rules._steps, *optimizer_rules.RULES.values())
    for name, known in optimizer_rules.KNOWN.items():
        for old, _ in known.edits:
            counts = [body_of(function).count(old) for function in functions]
            assert max(counts) == 1, (name, old)


def test_a_rule_without_a_place_for_a_mistake_says_so() -> None:
    run = record(SGD)
    assert not optimizer_rules.has_place("sgd", "betas-swapped")
    with pytest.raises(LookupError, match="sgd has no place for the mistake betas-swapped"):
        trajectory_with("sgd", run, "betas-swapped")


def trajectory_with(rule: Any, run: optimcheck.Trajectory, *wrong: str) -> optimcheck.Trajectory:
    """What the rule with these mistakes does in this run."""
    by_param = [list(optimcheck._simulated(rule, run, i, run.sent, *wrong)) for i in range(len(run.start))]
    by_step = list(zip(*by_param, strict=True))
    return optimcheck.Trajectory(
        run.options,
        run.start,
        run.lrs,
        run.sent,
        run.sent,
        run.sent,
        [[param for param, _ in step] for step in by_step],
        [[state for _, state in step] for step in by_step],
    )


@pytest.mark.parametrize(
    ("rule", "options", "pair"),
    [
        (SGD, {}, ("uphill", "lr-missing")),
        (SGD, {"momentum": 0.9, "weight_decay": 0.1}, ("decay-missing", "momentum-averaged")),
        (RMSprop, {}, ("root-missing", "lr-missing")),
        (Adam, {"weight_decay": 0.1}, ("decay-sign", "bias-correction-missing")),
    ],
)
def test_two_mistakes_at_once_are_both_named(rule: type[Any], options: dict[str, Any], pair: tuple[str, str]) -> None:
    run = record(rule, options)
    report = judge(trajectory_with(RULES[rule], run, *pair), run)
    assert set(names(report)) == set(pair)
    assert "together with" in report.mistakes[0].evidence


def test_gradients_that_are_kept_do_not_hide_what_else_is_wrong() -> None:
    class Both(SGD):
        def zero_grad(self, set_to_none: bool = True) -> None:
            pass

        def update(self, param: Any, grad: Any, state: Any, options: dict[str, Any]) -> None:
            param += options["lr"] * grad

    assert names(check_optimizer(Both, SGD)) == ["gradients-not-zeroed", "uphill"]


def test_where_no_known_mistake_fits_it_says_so_and_shows_the_ratios() -> None:
    class Odd(SGD):
        def update(self, param: Any, grad: Any, state: Any, options: dict[str, Any]) -> None:
            param -= options["lr"] * np.sin(grad)

    report = check_optimizer(Odd, SGD)
    assert not report.ok
    assert report.mistakes == []
    assert "None of the known mistakes" in str(report)
    assert len(report.ratios) == 6
    assert all(0 < low < high < 1.001 for low, high in report.ratios)


class Signs(Optimizer):
    """param -= lr · (sign(grad) + weight_decay · param): a rule that the checker has no formula of."""

    def __init__(self, params: Any, lr: float = 0.01, weight_decay: float = 0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    def update(self, param: Any, grad: Any, state: Any, options: dict[str, Any]) -> None:
        param -= options["lr"] * self.step_for(param, grad, options)

    def step_for(self, param: Any, grad: Any, options: dict[str, Any]) -> Any:
        return np.sign(grad) + options["weight_decay"] * param


@pytest.mark.parametrize(
    ("step_for", "mistake"),
    [
        (lambda self, p, g, o: -np.sign(g) - o["weight_decay"] * p, "uphill"),
        (lambda self, p, g, o: (np.sign(g) + o["weight_decay"] * p) / o["lr"], "lr-missing"),
        (lambda self, p, g, o: np.sign(g), "decay-missing"),
        (lambda self, p, g, o: np.sign(g) - o["weight_decay"] * p, "decay-sign"),
        (lambda self, p, g, o: 0 * p, "not-updated"),
    ],
)
def test_of_an_unknown_rule_the_updates_tell_some_mistakes(step_for: Any, mistake: str) -> None:
    assert check_optimizer(Signs, Signs).ok
    assert names(check_optimizer(type("Wrong", (Signs,), {"step_for": step_for}), Signs)) == [mistake]


def test_a_late_gradient_of_an_unknown_rule() -> None:
    late = type("Late", (Signs,), {"step": SPECIMENS["step-one-late"].function})
    assert names(check_optimizer(late, Signs, shapes=[(3, 2)])) == ["late-gradient"]


# --- where they differ ------------------------------------------------------------------------------------------------


def test_the_first_difference_is_named_with_both_values() -> None:
    class OffInStepThree(SGD):
        count = 0

        def step(self, closure: Any = None) -> Any:
            self.count += 1
            super().step()
            if self.count == 3:
                self.param_groups[0]["params"][0].array[2, 1] += 0.5

    difference = check_optimizer(OffInStepThree, SGD).first_difference
    assert difference is not None
    assert (difference.step, difference.parameter, difference.what, difference.index) == (3, 0, "parameter", (2, 1))
    assert difference.got is not None
    assert difference.expected is not None
    assert difference.got == pytest.approx(difference.expected + 0.5)
    assert str(difference).startswith("step 3, parameter 0 at [2, 1]: got ")


def test_what_is_remembered_is_compared_too() -> None:
    class Forgetful(Adam):
        def update(self, param: Any, grad: Any, state: Any, options: dict[str, Any]) -> None:
            super().update(param, grad, state, options)
            state["exp_avg"].array[...] += 1e-3 * (state["step"].item() == 6)  # no step is left to show it

    difference = check_optimizer(Forgetful, Adam, options={}).first_difference
    assert difference is not None
    assert (difference.step, difference.what) == (6, "exp_avg")


def test_a_missing_buffer_is_a_difference_and_one_more_is_none() -> None:
    class Without(RMSprop):
        def update(self, param: Any, grad: Any, state: Any, options: dict[str, Any]) -> None:
            super().update(param, grad, state, options)
            del state["step"]

    class More(RMSprop):
        def update(self, param: Any, grad: Any, state: Any, options: dict[str, Any]) -> None:
            super().update(param, grad, state, options)
            state["extra"] = wrap(np.zeros(3))

    report = check_optimizer(Without, RMSprop)
    assert str(report.first_difference) == "step 1, parameter 0, step at [0, 0]: got nothing, expected 1"
    assert names(report) == ["step-not-counted"]
    assert check_optimizer(More, RMSprop).ok


@every_rule
@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), exponent=st.integers(-8, -4))
def test_a_relative_error_of_a_hundred_millionth_is_caught(rule: type[Any], seed: int, exponent: int) -> None:
    class Off(rule):  # type: ignore[misc]
        def update(self, param: Any, grad: Any, state: Any, options: dict[str, Any]) -> None:
            before = param.copy()
            super().update(param, grad, state, options)
            param += (param - before) * 10.0**exponent

    assert not check_optimizer(Off, rule, options={"lr": 0.1}, seed=seed).ok


# --- recording --------------------------------------------------------------------------------------------------------


def test_a_recording_is_the_same_again() -> None:
    first, again = (record(Adam, {"weight_decay": 0.1}, seed=3) for _ in range(2))
    np.testing.assert_equal(first.__dict__, again.__dict__)


def test_a_recording_has_changing_rates_groups_and_a_missing_gradient() -> None:
    run = record(SGD, {"lr": 1.0})
    assert run.lrs == [[1, 1, 0.5]] * 3 + [[0.3, 0.3, 0.15]] * 3
    missing = [(step, i) for step, i in itertools.product(range(6), range(3)) if run.sent[step][i] is None]
    assert missing == [(2, 0)]


def test_a_recording_of_another_process_can_be_judged() -> None:
    program = (
        "import pickle, sys; from minitrain.diagnosis.optimcheck import record; from minitrain.optim import Adam\n"
        "sys.stdout.buffer.write(pickle.dumps(record(Adam, {'amsgrad': True})))"
    )
    other = pickle.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout)
    assert judge(other, record(Adam, {"amsgrad": True})).ok


def test_different_runs_are_not_judged() -> None:
    with pytest.raises(ValueError, match="same options, steps, shapes and seed"):
        judge(record(SGD, {}, seed=0), record(SGD, {}, seed=1))
    with pytest.raises(ValueError, match="same options, steps, shapes and seed"):
        judge(record(SGD, {"lr": 0.1}), record(SGD, {"lr": 0.2}))


def test_nothing_to_record_is_refused() -> None:
    with pytest.raises(ValueError, match="0 shapes"):
        record(SGD, shapes=[])
    with pytest.raises(ValueError, match="0 steps"):
        record(SGD, steps=0)


def test_what_a_rule_raises_comes_through() -> None:
    class Broken(SGD):
        def update(self, param: Any, grad: Any, state: Any, options: dict[str, Any]) -> None:
            raise ZeroDivisionError("here")

    with pytest.raises(ZeroDivisionError, match="here"):
        check_optimizer(Broken, SGD)


class WithFloat32State(Adam):
    """Adam as one would write it with minitrain.Tensor(array), which holds float32, as torch.Tensor(array) does."""

    def update(self, param: Any, grad: Any, state: Any, options: Any) -> None:
        for name, like in (("step", np.zeros(())), ("exp_avg", param), ("exp_avg_sq", param)):
            if name not in state:
                state[name] = minitrain.Tensor(np.zeros_like(like))
        super().update(param, grad, state, options)


def test_a_state_in_float32_is_judged_by_float32s_precision() -> None:
    assert check_optimizer(WithFloat32State, Adam).ok


def test_a_small_mistake_is_caught_in_spite_of_a_state_in_float32() -> None:
    class EpsUnderTheRoot(WithFloat32State):
        def update(self, param: Any, grad: Any, state: Any, options: Any) -> None:
            inside = {**options, "eps": 0.0}
            super().update(param, grad, state, inside)
            step, average, square = (state[name].array for name in ("step", "exp_avg", "exp_avg_sq"))
            beta1, beta2 = options["betas"]
            mean, variance = average / (1 - beta1**step), square / (1 - beta2**step)
            param += options["lr"] * (mean / np.sqrt(variance) - mean / np.sqrt(variance + options["eps"]))

    report = check_optimizer(EpsUnderTheRoot, Adam)
    assert [mistake.name for mistake in report.mistakes] == ["eps-inside-root"]


def test_what_explains_a_later_run_alone_is_not_named() -> None:
    class TenTimesTooSmall(RMSprop):
        def update(self, param: Any, grad: Any, state: Any, options: Any) -> None:
            super().update(param, grad, state, {**options, "lr": options["lr"] * 0.1})

    report = check_optimizer(TenTimesTooSmall, RMSprop)  # with momentum 0.9, 1 - momentum would explain it
    assert not report.ok
    assert "momentum" not in {mistake.name.partition("-")[0] for mistake in report.mistakes}
