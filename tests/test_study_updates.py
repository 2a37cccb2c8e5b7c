"""What the declarations say of an update is what the optimizer does: each number is held against optimizer.step()."""

import inspect
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minitrain
from minitrain import nn, optim, study
from minitrain.ops import Array
from minitrain.study import updates
from minitrain.study.entries import read
from minitrain.study.explanations import formula
from minitrain.study.notation import evaluate, terms
from minitrain.study.updates import UPDATES, update_lines
from minitrain.tensor import wrap
from tests.strategies import shapes_with_elements

RATES = st.sampled_from([0.0, 0.25, 0.9])
DECAYS = st.sampled_from([0.0, 0.125])
SWITCH = st.booleans()
BETAS = st.tuples(RATES, st.sampled_from([0.5, 0.9, 0.999]))
COMMON: dict[str, st.SearchStrategy[Any]] = {"lr": st.sampled_from([0.5, 0.001]), "maximize": SWITCH}
OPTIONS: dict[type, dict[str, st.SearchStrategy[Any]]] = {
    optim.SGD: {"momentum": RATES, "dampening": RATES, "nesterov": SWITCH},
    optim.Adam: {"betas": BETAS, "amsgrad": SWITCH, "decoupled_weight_decay": SWITCH},
    optim.AdamW: {"betas": BETAS, "amsgrad": SWITCH},
    optim.NAdam: {"betas": BETAS, "momentum_decay": RATES, "decoupled_weight_decay": SWITCH},
    optim.RAdam: {"betas": BETAS, "decoupled_weight_decay": SWITCH},
    optim.RMSprop: {"alpha": st.sampled_from([0.25, 0.9]), "momentum": RATES, "centered": SWITCH},
    optim.Adagrad: {"lr_decay": RATES, "initial_accumulator_value": RATES},
    optim.Adamax: {"betas": BETAS},
    optim.Adadelta: {"rho": RATES},
}
# Options with which every declared line counts.
ALL_AT_WORK: dict[type, dict[str, Any]] = {
    optim.SGD: {"momentum": 0.5, "dampening": 0.25},
    optim.Adam: {"amsgrad": True},
    optim.AdamW: {},
    optim.NAdam: {},
    optim.RAdam: {},
    optim.RMSprop: {"momentum": 0.5, "centered": True},
    optim.Adagrad: {"lr_decay": 0.5},
    optim.Adamax: {},
    optim.Adadelta: {},
}


def recorded(optimizer: type, options: dict[str, Any], arrays: Sequence[Array], steps: int) -> study.Step:
    """The last of several steps, with other gradients at each."""
    params = [wrap(x.copy()).requires_grad_() for x in arrays]
    updater = optimizer(params, **options)
    rng = np.random.default_rng(0)
    for k in range(steps):
        with study.recording(optimizer=updater) as step:
            updater.zero_grad()
            for param in params:
                weights = rng.uniform(0.25, 1, param.shape).astype(param.array.dtype) * (-1) ** k
                (param * wrap(weights)).sum().backward()
            updater.step()
    return step


def hold_updates_against(step: study.Step) -> int:
    """Evaluate each line for every entry of every parameter. Returns how many recorded arrays were held against."""

    def reader(ref: Any) -> Any:
        return read(step, ref)

    count = 0
    for number, tensor in enumerate(step.tensors):
        for line in update_lines(step, number):
            exact = line.array is None or reader(line.array).dtype == np.float64
            tolerance = 1e-9 if exact else 1e-5
            for place in np.ndindex(*tensor.value.shape):
                at = line.rule.at(place)
                value = evaluate(line.rule.value, at, reader)
                expected = evaluate(line.rule.entry, at, reader)
                assert value is not None
                np.testing.assert_allclose(
                    value, expected, rtol=tolerance, atol=tolerance, err_msg=formula(step, line.rule)
                )
                found = [
                    evaluate(["mul", *factors], there, reader) for factors, there in terms(line.rule.value, at, reader)
                ]
                assert math.fsum(x or 0 for x in found) == pytest.approx(value, rel=1e-9, abs=1e-12)
            count += line.array is not None
    return count


def test_every_optimizer_of_the_library_is_declared() -> None:
    public = [getattr(optim, name) for name in optim.__all__]
    rules = {x for x in public if inspect.isclass(x) and issubclass(x, optim.Optimizer) and x is not optim.Optimizer}
    assert set(UPDATES) == set(OPTIONS) == set(ALL_AT_WORK) == rules


@pytest.mark.parametrize("optimizer", UPDATES, ids=lambda optimizer: optimizer.__name__)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_declaration_says_what_step_does(optimizer: type, data: st.DataObject) -> None:
    drawn = {**COMMON, "weight_decay": DECAYS, **OPTIONS[optimizer]}
    if optimizer is not optim.SGD:
        drawn["eps"] = st.sampled_from([1e-8, 0.125])
    options = {name: data.draw(strategy) for name, strategy in drawn.items()}
    if options.get("nesterov"):
        options |= {"momentum": options["momentum"] or 0.5, "dampening": 0}
    dtype = data.draw(st.sampled_from([np.float64, np.float32]))
    shapes = [(2,), data.draw(shapes_with_elements)]
    arrays = [np.linspace(-1, 1, math.prod(shape)).reshape(shape).astype(dtype) for shape in shapes]
    step = recorded(optimizer, options, arrays, data.draw(st.sampled_from([1, 2, 7])))
    states = sum(len(tensor.state.keys() - {"step"}) for tensor in step.tensors)
    assert hold_updates_against(step) == 2 + states
    json.dumps(step.data()[0], allow_nan=False)


def in_texts() -> list[tuple[type, str]]:
    """Every declared line, by its optimizer and its name."""
    found = []
    for optimizer, options in ALL_AT_WORK.items():
        group = recorded(optimizer, {"weight_decay": 0.125, **options}, [np.ones(1)], 1).groups[0].options
        found += [(optimizer, name) for name, _ in UPDATES[optimizer](group, False)]
    return found


def changed(optimizer: type, name: str, change: Callable[[str], str]) -> Callable[..., updates.Assignments]:
    declared = UPDATES[optimizer]
    return lambda o, first: [(n, change(text) if n == name else text) for n, text in declared(o, first)]


def step_with_all_at_work(optimizer: type) -> study.Step:
    options = {"weight_decay": 0.125, **ALL_AT_WORK[optimizer]}
    if optimizer is not optim.SGD:
        options["eps"] = 0.125
    return recorded(optimizer, options, [np.linspace(1, 2, 3)], 7)


@pytest.mark.parametrize(("optimizer", "name"), in_texts(), ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_a_line_that_says_something_else_is_found_out(
    optimizer: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = step_with_all_at_work(optimizer)
    hold_updates_against(step)
    monkeypatch.setitem(UPDATES, optimizer, changed(optimizer, name, lambda text: f"1.01 * ({text})"))
    with pytest.raises(AssertionError):
        hold_updates_against(step)


@pytest.mark.parametrize(
    ("optimizer", "name", "old", "new"),
    [
        (optim.SGD, "g", "+ weight_decay", "- weight_decay"),
        (optim.SGD, "momentum_buffer", "(1 - dampening) * ", ""),
        (optim.SGD, "param", "- lr", "+ lr"),
        (optim.Adam, "exp_avg", "(1 - beta1)", "beta1"),
        (optim.Adam, "exp_avg_sq", "g**2", "g"),
        (optim.Adam, "max_exp_avg_sq", "maximum", "minimum"),
        (optim.Adam, "bias_correction1", "**step", ""),
        (optim.Adam, "bias_correction2", "beta2", "beta1"),
        (optim.Adam, "denom", " / sqrt(bias_correction2)", ""),
        (optim.Adam, "param", " / bias_correction1", ""),
        (optim.AdamW, "param", "- lr * weight_decay", "- weight_decay"),
        (optim.AdamW, "g", "grad", "grad + weight_decay * param"),
    ],
)
def test_the_usual_slips_in_an_update_are_found_out(
    optimizer: type, name: str, old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = step_with_all_at_work(optimizer)

    def change(text: str) -> str:
        assert old in text, text
        return text.replace(old, new, 1)

    monkeypatch.setitem(UPDATES, optimizer, changed(optimizer, name, change))
    with pytest.raises(AssertionError):
        hold_updates_against(step)


# What an explanation says.


def one_step(make: Callable[..., Any], steps: int = 1, clip: float | None = None, **options: Any) -> study.Step:
    minitrain.manual_seed(0)
    layer = nn.Linear(2, 1)
    optimizer = make(layer.parameters(), **options)
    for _ in range(steps):
        with study.recording(layer, optimizer) as step:
            optimizer.zero_grad()
            layer(minitrain.tensor([[1.0, 2.0], [3.0, 0.0]])).sum().backward()
            if clip is not None:
                nn.utils.clip_grad_value_(layer.parameters(), clip)
            optimizer.step()
    return step


def test_plain_sgd_is_explained() -> None:
    step = one_step(optim.SGD, lr=0.5)
    entry = step.explain("W", (0, 0), "after")
    assert entry.formula == "W after[o, i] = W[o, i] - 0.5 · dL/dW[o, i]"
    assert entry.total == pytest.approx(entry.exact, rel=1e-6)
    assert [(x.text, x.of, x.index) for x in entry.terms[0].factors] == [("W[0, 0]", "value", (0, 0))]
    assert [(x.text, x.of) for x in entry.terms[1].factors][-1] == ("dL/dW[0, 0]", "grad")
    assert entry.steps == ()
    assert [text for _, text in entry.lines] == ["param -= lr * grad"]
    assert step.data()[0]["meta"]["optimizer"]["plain"] is True


@pytest.mark.parametrize("option", ["momentum", "weight_decay", "maximize"])
def test_only_plain_sgd_promises_a_fall(option: str) -> None:
    step = one_step(optim.SGD, lr=0.5, **{option: True if option == "maximize" else 0.5})
    assert step.data()[0]["meta"]["optimizer"]["plain"] is False


def test_sgd_with_momentum_shows_the_gradient_and_the_buffer_before_and_after() -> None:
    step = one_step(optim.SGD, steps=2, lr=0.5, momentum=0.5, dampening=0.25, weight_decay=0.125)
    entry = step.explain("W", (0, 1), "after")
    g, buffer = entry.steps
    assert g.formula == "g = dL/dW[o, i] + 0.125 · W[o, i]"
    assert g.exact == 2 + 0.125 * step["W"].value[0, 1]
    assert buffer.name == "momentum_buffer after[0, 1]"
    assert buffer.formula == "momentum_buffer after[o, i] = 0.5 · momentum_buffer before[o, i] + 0.75 · g"
    before, after = (step["W"].state["momentum_buffer"][when] for when in ("before", "after"))
    assert before is not None
    assert after is not None
    assert [x.value for x in buffer.terms[0].factors] == [0.5, before[0, 1]]
    assert buffer.exact == after[0, 1]
    assert buffer.total == pytest.approx(buffer.exact, rel=1e-6)
    assert next(text for _, text in buffer.lines) == "buf *= momentum"
    assert entry.formula == "W after[o, i] = W[o, i] - 0.5 · momentum_buffer after[o, i]"
    assert entry.total == pytest.approx(entry.exact, rel=1e-6)
    assert "momentum_buffer before[0, 1]" in str(entry)


def test_at_the_first_step_the_buffer_is_the_gradient() -> None:
    (buffer,) = one_step(optim.SGD, lr=0.5, momentum=0.5, dampening=0.25).explain("W", (0, 1), "after").steps
    assert buffer.formula == "momentum_buffer after[o, i] = dL/dW[o, i]"


def test_adam_shows_both_means_and_what_corrects_them() -> None:
    entry = one_step(optim.Adam, steps=3, lr=0.5).explain("W", (0, 1), "after")
    assert [x.formula for x in entry.steps] == [
        "exp_avg after[o, i] = 0.9 · exp_avg before[o, i] + 0.1 · dL/dW[o, i]",
        "exp_avg_sq after[o, i] = 0.999 · exp_avg_sq before[o, i] + 0.001 · dL/dW[o, i]^2",
        "bias_correction1 = 1 - 0.9^3",
        "bias_correction2 = 1 - 0.999^3",
        "denom = √(exp_avg_sq after[o, i]) / √(bias_correction2) + 1e-08",
    ]
    assert entry.formula == "W after[o, i] = W[o, i] - 0.5 / bias_correction1 · exp_avg after[o, i] / denom"
    assert entry.steps[2].exact == pytest.approx(1 - 0.9**3)
    assert all(x.lines for x in entry.steps)


def test_a_line_that_did_not_run_is_not_shown() -> None:
    def of_param(**options: Any) -> list[str]:
        entry = one_step(optim.AdamW, **options).explain("W", (0, 1), "after")
        return [text for _, text in entry.lines]

    assert of_param(weight_decay=0) == ["param -= lr / bias_correction1 * exp_avg / denom"]
    assert of_param(weight_decay=0.1)[0] == "param *= 1 - lr * weight_decay"


def test_a_clipped_gradient_is_the_one_that_is_used() -> None:
    entry = one_step(optim.SGD, lr=0.5, clip=0.25).explain("W", (0, 0), "after")
    assert entry.formula == "W after[o, i] = W[o, i] - 0.5 · dL/dW (used)[o, i]"
    assert entry.terms[1].factors[-1].value == 0.25
    assert entry.total == pytest.approx(entry.exact, rel=1e-6)


class Signs(optim.SGD):
    """Signs of the gradient only.

    param -= lr · sign(grad)
    """

    def update(self, param: Array, grad: Array, state: Any, options: dict[str, Any]) -> None:
        param -= options["lr"] * np.sign(grad)


def test_an_optimizer_of_the_users_own_says_so_and_shows_its_source() -> None:
    step = one_step(Signs, lr=0.5)
    entry = step.explain("W", (0, 0), "after")
    assert entry.sentence.startswith("This optimizer does not declare")
    assert (entry.terms, entry.total, entry.steps) == ((), None, ())
    assert "param -= options[" in str(entry)
    assert step.data()[0]["tensors"][step.number("W")]["update"] == []


def test_each_group_has_its_own_options() -> None:
    layer = nn.Linear(2, 1)
    optimizer = optim.SGD([{"params": [layer.weight], "lr": 0.25}, {"params": [layer.bias], "lr": 0.5}])
    with study.recording(layer, optimizer) as step:
        layer(minitrain.ones(1, 2)).sum().backward()
        optimizer.step()
    assert step.explain("W", (0, 0), "after").formula == "W after[o, i] = W[o, i] - 0.25 · dL/dW[o, i]"
    assert step.explain("b", (0,), "after").formula == "b after[i] = b[i] - 0.5 · dL/db[i]"
