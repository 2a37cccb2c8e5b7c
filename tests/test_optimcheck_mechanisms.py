"""check_optimizer's further mechanisms: changed gradients, rates that fall, memory; each named, and a near miss not."""

from typing import Any

import numpy as np
import pytest

from minitrain.diagnosis.optimcheck import OptimizerReport, check_optimizer
from minitrain.diagnosis.optimizer_facts import closed_form
from minitrain.optim import SGD, Adam


def names(report: OptimizerReport) -> list[str]:
    return [mistake.name for mistake in report.mistakes]


def with_grads(rule: Any, change: Any) -> Any:
    class Changed(rule):  # type: ignore[misc]
        def update(self, param: Any, grad: Any, state: Any, options: Any) -> None:
            super().update(param, change(grad), state, options)

    return Changed


CHANGES = [
    (lambda g: g * min(1, 1 / np.linalg.norm(g)), "gradient-clipped", "norm 1:"),
    (lambda g: g * min(1, 2.6 / np.linalg.norm(g)), "gradient-clipped", "norm 2.6:"),
    (lambda g: np.clip(g, -0.5, 0.5), "gradient-clipped", "-0.5 and 0.5"),
    (lambda g: g / np.linalg.norm(g), "gradient-normalized", "norm"),
    (np.sign, "gradient-sign", "sign"),
    (lambda g: g / g.size, "gradient-averaged", "entries"),
]


@pytest.mark.parametrize(("change", "name", "phrase"), CHANGES)
def test_a_gradient_that_step_changes_is_named(change: Any, name: str, phrase: str) -> None:
    report = check_optimizer(with_grads(SGD, change), "sgd", options={})
    assert names(report) == [name]
    assert phrase in report.mistakes[0].says


@pytest.mark.parametrize(("change", "name"), [(CHANGES[0][0], "gradient-clipped"), (np.sign, "gradient-sign")])
def test_adams_changed_gradient_is_named(change: Any, name: str) -> None:
    assert names(check_optimizer(with_grads(Adam, change), "adam", options={})) == [name]


def test_a_soft_bound_is_not_called_clipped() -> None:
    assert "gradient-clipped" not in names(check_optimizer(with_grads(SGD, np.tanh), "sgd", options={}))


def scheduled(rule: Any, factor: Any) -> Any:
    class Scheduled(rule):  # type: ignore[misc]
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            self.steps = 0

        def step(self, closure: Any = None) -> Any:
            self.steps += 1
            return super().step(closure)

        def update(self, param: Any, grad: Any, state: Any, options: Any) -> None:
            super().update(param, grad, state, {**options, "lr": options["lr"] * factor(self.steps)})

    return Scheduled


@pytest.mark.parametrize(
    ("factor", "form"),
    [
        (lambda t: 1 / (1 + 0.1 * (t - 1)), "1 / (1 + 0.1 · (t - 1))"),
        (lambda t: 1 / (1 + 0.1 * t), "1 / (1 + 0.1 · t)"),
        (lambda t: 0.9 ** (t - 1), "0.9^(t - 1)"),
        (lambda t: 0.9**t, "0.9^t"),
        (lambda t: 1 / t, "1 / t"),
        (lambda t: t**-0.5, "1 / √t"),
        (lambda t: 1 - 0.05 * (t - 1), "1 - 0.05 · (t - 1)"),
    ],
)
@pytest.mark.parametrize("rule", [SGD, Adam])
def test_a_rate_that_falls_by_itself_is_named_with_its_formula(rule: Any, factor: Any, form: str) -> None:
    report = check_optimizer(scheduled(rule, factor), rule, options={})
    assert names(report) == ["rate-falls"]
    assert f"lr · {form}." in report.mistakes[0].says


def test_a_rate_without_a_known_formula_is_still_named() -> None:
    report = check_optimizer(scheduled(SGD, lambda t: 1 / (1 + np.log(t))), "sgd", options={})
    assert names(report) == ["rate-falls"]
    assert "factor of its own" in report.mistakes[0].says


def test_a_constant_factor_is_not_a_falling_rate() -> None:
    report = check_optimizer(scheduled(SGD, lambda t: 0.7), "sgd", options={})
    assert names(report) == ["step-factor"]
    assert "0.7 times" in report.mistakes[0].says


def test_closed_forms_need_three_steps_and_fit_all() -> None:
    assert closed_form([1, 0.5]) is None
    assert closed_form([1, 0.5, 0.25, 0.2]) is None


def test_right_at_first_and_wrong_after_is_said_to_be_the_memory() -> None:
    class Odd(SGD):
        def update(self, param: Any, grad: Any, state: Any, options: Any) -> None:
            super().update(param, grad, state, options)
            if "momentum_buffer" in state:
                state["momentum_buffer"].array[...] = np.sin(state["momentum_buffer"].array)

    report = check_optimizer(Odd, "sgd")
    assert names(report) == ["memory-wrong"]
    assert "wrong from step 2" in report.mistakes[0].evidence


def test_which_parameters_are_wrong_is_said() -> None:
    class BiasesNotDecayed(SGD):
        def update(self, param: Any, grad: Any, state: Any, options: Any) -> None:
            super().update(param, grad, state, {**options, "weight_decay": options["weight_decay"] * (param.ndim > 1)})

    report = check_optimizer(BiasesNotDecayed, "sgd")
    assert names(report)[0] == "decay-missing"
    assert "those of one axis" in report.mistakes[0].evidence


def test_one_counter_for_all_parameters_is_named() -> None:
    class Counted(Adam):
        count = 0

        def update(self, param: Any, grad: Any, state: Any, options: Any) -> None:
            self.count += 1
            super().update(param, grad, state, options)
            (b1, b2), t, own = options["betas"], self.count, state["step"].item()
            m, v = state["exp_avg"].array, state["exp_avg_sq"].array
            for count, sign in ((own, 1), (t, -1)):
                step = m / (1 - b1**count) / (np.sqrt(v / (1 - b2**count)) + options["eps"])
                param += sign * options["lr"] * step

    report = check_optimizer(Counted, "adam", options={})
    assert names(report) == ["bias-correction-step"]
    assert "every parameter" in report.mistakes[0].says


# --- optimizers as people write them ----------------------------------------------------------------------------------


class WithoutGroups:
    def __init__(self, params: Any, lr: float = 0.01, weight_decay: float = 0) -> None:
        self.params, self.lr, self.weight_decay = list(params), lr, weight_decay

    def step(self) -> None:
        for param in self.params:
            param.array -= self.lr * (param.grad.array + self.weight_decay * param.array)

    def zero_grad(self) -> None:
        for param in self.params:
            param.grad = None


class OfDicts:
    def __init__(self, lr: float = 0.01, momentum: float = 0.9) -> None:
        self.lr, self.momentum = lr, momentum
        self.v: Any = None

    def update(self, params: Any, grads: Any) -> None:
        if self.v is None:
            self.v = {key: np.zeros_like(value) for key, value in params.items()}
        for key in params.keys():  # noqa: SIM118
            self.v[key] = self.momentum * self.v[key] - self.lr * grads[key]
            params[key] += self.v[key]


class OfLists:
    def __init__(self, learning_rate: float = 0.1) -> None:
        self.learning_rate = learning_rate

    def step(self, params: Any, grads: Any) -> None:
        for param, grad in zip(params, grads, strict=True):
            param -= self.learning_rate * grad


def adam_of_a_config(w: Any, dw: Any, config: Any = None) -> Any:
    config = {} if config is None else config
    for name, value in {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "t": 0}.items():
        config.setdefault(name, value)
    m, v = (config.setdefault(name, np.zeros_like(w)) for name in "mv")
    config["t"] += 1
    config["m"] = config["beta1"] * m + (1 - config["beta1"]) * dw
    config["v"] = config["beta2"] * v + (1 - config["beta2"]) * dw**2
    m_hat = config["m"] / (1 - config["beta1"] ** config["t"])
    v_hat = config["v"] / (1 - config["beta2"] ** config["t"])
    return w - config["learning_rate"] * m_hat / (np.sqrt(v_hat) + config["epsilon"]), config


@pytest.mark.parametrize(
    ("piece", "rule", "reference"),
    [
        (WithoutGroups, "sgd", SGD),
        (OfDicts, "sgd", SGD),
        (OfLists, "sgd", SGD),
        (adam_of_a_config, "adam", Adam),
    ],
)
def test_optimizers_without_groups_are_taken(piece: Any, rule: Any, reference: Any) -> None:
    for options in ({}, None):
        assert check_optimizer(piece, rule, options=options).ok
        assert check_optimizer(piece, reference, options=options).ok


def test_what_is_wrong_with_a_plain_one_is_named() -> None:
    class Uphill(OfLists):
        def step(self, params: Any, grads: Any) -> None:
            super().step(params, [-grad for grad in grads])

    class Decayed(WithoutGroups):
        def step(self) -> None:
            self.weight_decay = -self.weight_decay
            super().step()
            self.weight_decay = -self.weight_decay

    def uncorrected(w: Any, dw: Any, config: Any = None) -> Any:
        _, config = adam_of_a_config(w, dw, config)
        return w - config["learning_rate"] * config["m"] / (np.sqrt(config["v"]) + config["epsilon"]), config

    assert names(check_optimizer(Uphill, "sgd"))[0] == "uphill"
    assert names(check_optimizer(Decayed, "sgd"))[0] == "decay-sign"
    assert names(check_optimizer(uncorrected, "adam"))[0] == "bias-correction-missing"


def test_another_form_is_refused_with_those_that_are_wanted() -> None:
    class ThreeArguments:
        lr = 0.1

        def step(self, params: Any, grads: Any, more: Any) -> None: ...

    with pytest.raises(TypeError, match="expected in one of these forms"):
        check_optimizer(ThreeArguments, "sgd")


def test_an_eps_that_is_no_option_may_have_any_usual_value() -> None:
    class RmsProp:
        def __init__(self, lr: float = 0.01, decay_rate: float = 0.99, power: float = 0.5) -> None:
            self.lr, self.decay_rate, self.power = lr, decay_rate, power
            self.h: Any = None

        def update(self, params: Any, grads: Any) -> None:
            self.h = self.h or {key: np.zeros_like(value) for key, value in params.items()}
            for key, grad in grads.items():
                self.h[key] = self.decay_rate * self.h[key] + (1 - self.decay_rate) * grad * grad
                params[key] -= self.lr * grad / (self.h[key] ** self.power + 1e-7)

    class WithoutRoot(RmsProp):
        def __init__(self, lr: float = 0.01, decay_rate: float = 0.99) -> None:
            super().__init__(lr, decay_rate, power=1)

    assert check_optimizer(RmsProp, "rmsprop", options={}).ok
    assert names(check_optimizer(WithoutRoot, "rmsprop", options={}))[0] == "root-missing"
