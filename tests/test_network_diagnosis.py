"""Whole networks: the layer and the step that a mistake is in are named, from the parameters' gradients alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minitrain as torch
from minitrain import autograd, nn
from minitrain.autograd import check_gradients, gradcheck
from minitrain.diagnosis.gradcheck_report import Report
from minitrain.ops import Array


def normal(*shape: int, seed: int = 0) -> Array:
    return 0.7 * np.random.RandomState(seed).randn(*shape)


def report_of(forward: Callable[..., Any], backward: Callable[..., Any], *inputs: Array) -> Report:
    pair = type("Net", (), {"forward": staticmethod(forward), "backward": staticmethod(backward)})
    return check_gradients(pair, inputs)


def names(report: Report) -> list[str]:
    return [mistake.name for mistake in report.whole]


def said(report: Report) -> str:
    return " ".join(f"{mistake.says} {mistake.evidence}" for mistake in report.whole)


# --- two layers with columns for samples, as a well-known course writes them ---

X, Y = normal(3, 8, seed=1), (normal(1, 8, seed=2) > 0).astype(float)


class TwoLayers:
    """Each method is one step of the right way back; a test replaces one of them."""

    def delta2(self, c: Any, g: float) -> Array:
        return np.asarray(g * (c.A2 - Y) / 8)

    def slope(self, c: Any) -> Any:
        return 1 - c.A1**2

    def dw2(self, c: Any, d2: Array) -> Array:
        return np.asarray(d2 @ c.A1.T)

    def db2(self, c: Any, d2: Array) -> Array:
        return np.asarray(d2.sum(axis=1, keepdims=True))

    def dw1(self, c: Any, d1: Array) -> Array:
        return np.asarray(d1 @ X.T)

    def backward(self, c: Any, g: Any) -> Any:
        d2 = self.delta2(c, g)
        d1 = c.W2.T @ d2 * self.slope(c)
        return self.dw1(c, d1), d1.sum(axis=1, keepdims=True), self.dw2(c, d2), self.db2(c, d2)


def two_layers(**changed: Callable[..., Any]) -> Report:
    def forward(c: Any, W1: Array, b1: Array, W2: Array, b2: Array) -> Any:
        Z1 = W1 @ X + b1
        A1 = np.tanh(Z1)
        Z2 = W2 @ A1 + b2
        A2 = 1 / (1 + np.exp(-Z2))
        c.W2, c.Z1, c.A1, c.A2 = W2, Z1, A1, A2
        return -(Y * np.log(A2) + (1 - Y) * np.log(1 - A2)).sum() / 8

    back = TwoLayers()
    for name, method in changed.items():
        setattr(back, name, method)
    return report_of(
        forward, back.backward, normal(4, 3), normal(4, 1, seed=3), normal(1, 4, seed=4), normal(1, 1, seed=5)
    )


def test_a_right_network_is_right() -> None:
    assert two_layers().ok


@pytest.mark.parametrize(
    ("changed", "name", "words"),
    [
        ({"slope": lambda c: 1}, "derivative-missing", ["layer 1", "tanh", "Z1", "look between layer 2 and layer 1"]),
        ({"slope": lambda c: 1 - c.A1}, "wrong-derivative", ["layer 1", "1 - A1", "1 - A1²"]),
        ({"slope": lambda c: 1 - np.tanh(c.A1) ** 2}, "at-output", ["layer 1", "already activated"]),
        ({"slope": lambda c: 1 - c.Z1**2}, "wrong-derivative", ["1 - Z1²"]),
        ({"dw2": lambda c, d2: d2 @ c.Z1.T}, "operand", ["W2", "made with Z1", "due is A1", "b2 is right"]),
        ({"db2": lambda c, d2: d2[:, :1]}, "sum-missing", ["b2", "first"]),
        ({"db2": lambda c, d2: d2.mean(axis=1, keepdims=True)}, "mean-twice", ["b2", "8 samples"]),
        ({"delta2": lambda c, g: g * (c.A2 - Y)}, "mean-missing", ["Every gradient", "8 samples"]),
        ({"delta2": lambda c, g: g * (Y - c.A2) / 8}, "sign", ["Every gradient", "wrong sign"]),
        ({"dw1": lambda c, d1: -2.5 * d1 @ X.T}, "factor", ["W1", "wrong sign", "2.5"]),
    ],
)
def test_what_people_forget_is_named_with_its_layer(
    changed: dict[str, Callable[..., Any]], name: str, words: list[str]
) -> None:
    report = two_layers(**changed)
    assert names(report)[:1] == [name], str(report)
    for word in words:
        assert word.lower() in said(report).lower(), str(report)


def test_of_what_nothing_explains_the_pattern_is_said() -> None:
    report = two_layers(slope=lambda c: np.cos(7 * c.Z1) + c.Z1)
    assert names(report) == ["network"]
    assert "W2 and b2 are right" in said(report)
    assert "Look between layer 2 and layer 1" in said(report)


def test_two_mistakes_are_both_named() -> None:
    report = two_layers(delta2=lambda c, g: g * (c.A2 - Y), slope=lambda c: 1)
    assert names(report) == ["mean-missing", "derivative-missing"]


# --- a layer that is used again and again ---


def recurrent(through_time: float, accumulate: bool) -> Report:
    sequence = normal(4, 2, 3, seed=6)

    def forward(c: Any, w_x: Array, w_h: Array, b: Array, w_y: Array) -> Any:
        states = [np.zeros((2, 5))]
        for x in sequence:
            states.append(np.tanh(x @ w_x + states[-1] @ w_h + b))
        c.w_h, c.w_y, c.states = w_h, w_y, states
        return sum((h @ w_y) ** 2 for h in states[1:]).sum()

    def backward(c: Any, g: Any) -> Any:
        w_x, w_h, b, w_y = np.zeros((3, 5)), np.zeros((5, 5)), np.zeros(5), np.zeros((5, 2))
        later = np.zeros((2, 5))
        for t in reversed(range(4)):
            h = c.states[t + 1]
            dy = 2 * g * (h @ c.w_y)
            dz = (dy @ c.w_y.T + through_time * later) * (1 - h * h)
            w_y += h.T @ dy
            if not accumulate:
                w_x[...] = 0
            w_x += sequence[t].T @ dz
            w_h += c.states[t].T @ dz
            b += dz.sum(axis=0)
            later = dz @ c.w_h.T
        return w_x, w_h, b, w_y

    return report_of(forward, backward, normal(3, 5), normal(5, 5, seed=7), normal(5, seed=8), normal(5, 2, seed=9))


def test_a_way_back_through_time_that_is_missing_is_named() -> None:
    assert recurrent(1.0, True).ok
    report = recurrent(0.0, True)
    assert names(report) == ["path-forgotten"], str(report)
    assert "is missing" in said(report)


def test_only_one_use_of_a_weight_is_kept() -> None:
    report = recurrent(1.0, False)
    assert names(report) == ["path-forgotten"], str(report)
    assert "w_x is used 4 times" in said(report)
    assert "first use" in said(report)


# --- saved arrays that are written ---


def test_a_backward_that_writes_into_what_was_saved_gets_that_diagnosis_alone() -> None:
    def forward(c: Any, w: Array, v: Array) -> Any:
        c.w, c.v = w, v
        return (w * v).sum()

    def backward(c: Any, g: Any) -> Any:
        gradients = g * c.v, g * c.w
        c.v -= 0.1 * gradients[1]
        return gradients

    report = report_of(forward, backward, normal(3), normal(3, seed=1))
    assert names(report) == ["saved-changed"]
    assert "writes into v" in said(report)
    assert not any(found.mistakes for found in report.inputs)


# --- functions of Tensors ---


class HalfSine(autograd.Function):
    """sin, with half of its derivative."""

    @staticmethod
    def forward(ctx: Any, x: Array) -> Array:
        ctx.x = x
        return np.asarray(np.sin(x))

    @staticmethod
    def backward(ctx: Any, grad_y: Array) -> Array:
        return np.asarray(0.5 * grad_y * np.cos(ctx.x))


class HalfSineOfTensors(autograd.Function):
    """The same, written for Tensors."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx: Any, grad_y: Any) -> Any:
        (x,) = ctx.saved_tensors
        return 0.5 * grad_y * x.cos()


class Net(nn.Module):
    def __init__(self, operation: Any) -> None:
        super().__init__()
        self.a, self.b, self.operation = nn.Linear(3, 4), nn.Linear(4, 2), operation

    def forward(self, x: Any) -> Any:
        return self.b(self.operation(self.a(x)))


@pytest.mark.parametrize("operation", [HalfSine, HalfSineOfTensors])
@pytest.mark.parametrize("fast_mode", [False, True])
def test_the_operation_in_a_module_whose_backward_is_wrong_is_named(operation: Any, fast_mode: bool) -> None:
    torch.manual_seed(0)
    net = Net(operation.apply).double()
    inputs = torch.tensor(normal(5, 3)), torch.tensor(normal(5, 2, seed=1))
    report = check_gradients(net, inputs, loss_fn=nn.MSELoss(), fast_mode=fast_mode)
    assert operation.__name__ in said(report), str(report)
    assert "self.b(self.operation(self.a(x)))" in said(report)
    assert gradcheck(Net(torch.sin).double(), inputs, loss_fn=nn.MSELoss())


@pytest.mark.parametrize(
    ("function", "operation"),
    [
        (lambda w: (w * w.detach()).sum(), "Mul"),
        (lambda w: (torch.tensor(w.array * 2) + w).exp(), "Add"),
        (lambda w: w * w.sum().item(), "Mul"),
    ],
)
def test_a_way_back_that_is_cut_is_named_with_its_operation(function: Any, operation: str) -> None:
    report = check_gradients(function, (torch.tensor(normal(3, 2), requires_grad=True),))
    (found,) = report.inputs
    assert found.mistakes[0].name == "detached", str(report)
    assert "The way back is cut" in found.mistakes[0].says
    assert f"of {operation} depends on input 0" in found.mistakes[0].says


def test_a_constant_beside_a_right_way_back_is_not_called_a_cut() -> None:
    constant = torch.tensor(normal(3, 2, seed=5))
    report = check_gradients(
        lambda w: (HalfSine.apply(w) * constant).sum(), (torch.tensor(normal(3, 2), requires_grad=True),)
    )
    assert "HalfSine" in said(report)
    assert "cut" not in str(report)


# --- other forms of a backward by hand -------------------------------------------------------------------------------


class Linear:
    """A layer that keeps its parameters and their gradients on self."""

    def __init__(self, *shape: int, wrong: bool = False) -> None:
        self.W, self.b, self.wrong = normal(*shape, seed=7), normal(shape[1], seed=8), wrong
        self.dW, self.db = np.zeros_like(self.W), np.zeros_like(self.b)

    def forward(self, x: Array) -> Array:
        self.x = x
        return np.asarray(x @ self.W + self.b)

    def backward(self, grad: Array) -> Array:
        self.dW += self.x.T @ grad
        self.db += grad[0] if self.wrong else grad.sum(axis=0)
        return np.asarray(grad @ self.W.T)

    def zero_grad(self) -> None:
        self.dW[...] = self.db[...] = 0


class Tanh:
    def forward(self, x: Array) -> Array:
        self.y = np.tanh(x)
        return self.y

    def backward(self, grad: Array) -> Array:
        return np.asarray(grad * (1 - self.y**2))


class TanhOfInput(Tanh):
    def forward(self, x: Array) -> Array:
        self.x = x
        return np.asarray(np.tanh(x))

    def backward(self, grad: Array) -> Array:
        return np.asarray(grad * (1 - self.x**2))


class Stack:
    """A network that is made of layers."""

    def __init__(self, *layers: Any) -> None:
        self.layers = layers

    def forward(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, grad: Array) -> Array:
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        return grad


def test_a_layer_without_ctx_is_checked_with_the_parameters_that_it_keeps() -> None:
    layer = Linear(3, 4)
    weight = layer.W
    report = check_gradients(layer, (normal(5, 3),))
    assert report.ok
    assert [found.name for found in report.inputs] == ["input 0", "W", "b"]
    assert layer.W is weight
    wrong = check_gradients(Linear(3, 4, wrong=True), (normal(5, 3),))
    assert [found.ok for found in wrong.inputs] == [True, True, False]
    assert wrong.inputs[2].mistakes[0].name == "sum-missing"
    assert gradcheck(Tanh, (normal(5),))


@pytest.mark.parametrize("as_list", [True, False])
def test_of_a_network_of_layers_each_is_checked_by_itself(as_list: bool) -> None:
    def made(*layers: Any) -> Any:
        return [*layers] if as_list else Stack(*layers)

    assert gradcheck(made(Linear(3, 4), Tanh(), Linear(4, 2)), (normal(5, 3),))
    report = check_gradients(made(Linear(3, 4), TanhOfInput(), Linear(4, 2)), (normal(5, 3),))
    assert "The backward of layers[1] (TanhOfInput) is wrong" in said(report), str(report)
    assert names(report) == ["at-input"], str(report)


def affine(x: Array, w: Array, b: Array) -> Any:
    return x @ w + b, (x, w)


def affine_backward(grad: Array, cache: Any) -> Any:
    x, w = cache
    return grad @ w.T, x.T @ grad, grad.sum(axis=0)


def test_two_functions_with_a_cache_are_checked() -> None:
    inputs = normal(5, 3), normal(3, 4, seed=1), normal(4, seed=2)
    assert gradcheck((affine, affine_backward), inputs)

    def wrong(grad: Array, cache: Any) -> Any:
        dx, dw, _ = affine_backward(grad, cache)
        return {"dx": dx, "dw": dw, "db": grad.max(axis=0)}

    report = check_gradients((affine, wrong), inputs)
    assert [(found.name, found.ok) for found in report.inputs] == [("x", True), ("w", True), ("b", False)]


LABELS = np.array([0, 2, 1, 1, 0])


class TwoLayerNet:
    """params, and loss(x, y) that returns the loss and a dict of gradients."""

    def __init__(self, mask: bool = True, penalty: float = 1.0) -> None:
        self.params = {"W1": normal(3, 4, seed=1), "b1": normal(4, seed=2), "W2": normal(4, 3, seed=3), "b2": normal(3)}
        self.mask, self.penalty = mask, penalty

    def loss(self, x: Array, y: Array) -> Any:
        W1, b1, W2, b2 = (self.params[name] for name in ("W1", "b1", "W2", "b2"))
        hidden = np.maximum(0, x @ W1 + b1)
        scores = hidden @ W2 + b2
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        loss = -np.log(p[np.arange(5), y]).sum() / 5 + 0.05 * ((W1 * W1).sum() + (W2 * W2).sum())
        d = p.copy()
        d[np.arange(5), y] -= 1
        d /= 5
        before = d @ W2.T
        if self.mask:
            before[hidden <= 0] = 0
        of_w1 = x.T @ before + self.penalty * 0.1 * W1
        return loss, {"W1": of_w1, "b1": before.sum(axis=0), "W2": hidden.T @ d + 0.1 * W2, "b2": d.sum(axis=0)}


def test_a_model_that_returns_its_loss_and_a_dict_of_gradients_is_checked() -> None:
    inputs = normal(5, 3), LABELS
    model = TwoLayerNet()
    before = dict(model.params)
    assert gradcheck(model, inputs)
    assert all(model.params[name] is array for name, array in before.items())
    assert names(check_gradients(TwoLayerNet(mask=False), inputs)) == ["mask-missing"]
    report = check_gradients(TwoLayerNet(penalty=0), inputs)
    assert names(report) == ["path-forgotten"], str(report)
    assert "penalty of the weights" in said(report)
    both = check_gradients(TwoLayerNet(mask=False, penalty=0.5), inputs)
    assert names(both) == ["mask-missing", "factor"], str(both)


def test_a_function_that_returns_loss_and_gradients_is_checked() -> None:
    def loss(w: Array, x: Array, target: Array) -> Any:
        apart = x @ w - target
        return (apart**2).mean(), 2 * x.T @ apart / len(apart)

    def of_params(params: dict[str, Array], x: Array) -> Any:
        return float((x @ params["w"]).sum()), {"grad_w": x.sum(axis=0)}

    inputs = normal(3), normal(5, 3, seed=1), normal(5, seed=2)
    assert gradcheck(loss, inputs)
    assert [found.name for found in check_gradients(loss, inputs).inputs] == ["w"]
    assert gradcheck(of_params, ({"w": normal(3)}, normal(5, 3)))
    assert not gradcheck(lambda *given: (loss(*given)[0], -loss(*given)[1]), inputs, raise_exception=False)


class Takes2:
    def forward(self, x: Array, y: Array) -> Array:
        return x * y

    def backward(self) -> Array:
        return np.ones(3)


class ForwardAlone:
    def forward(self, x: Array) -> Array:
        return x


@pytest.mark.parametrize(
    ("func", "inputs", "message"),
    [
        (Takes2(), (normal(3),), r"forward\(x: .*, y: .*\).* and backward\(\)"),
        (ForwardAlone(), (normal(3),), "has a forward, but no backward"),
        (Linear, (normal(3),), r"pass an object, Linear\(...\), not the class"),
    ],
)
def test_a_form_that_is_not_known_gets_the_forms_that_are(func: Any, inputs: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        gradcheck(func, inputs)


def test_a_loss_whose_gradient_fits_no_array_is_refused() -> None:
    with pytest.raises(autograd.GradcheckError, match=r"no gradient that belongs to .* w \[3\]"):
        gradcheck(lambda w: (w.sum(), np.ones(4)), (normal(3),))


# --- several ways through one value


def normalized(through_mean: float, through_variance: float) -> Report:
    weights = normal(6, 3, seed=4)

    def forward(c: Any, x: Array) -> Any:
        mean = x.mean(axis=0)
        variance = ((x - mean) ** 2).mean(axis=0)
        c.rate = 1 / np.sqrt(variance)
        c.y = (x - mean) * c.rate
        return (weights * c.y**2 + weights.T.reshape(6, 3) * c.y).sum()

    def backward(c: Any, g: Any) -> Any:
        dy = g * (2 * weights * c.y + weights.T.reshape(6, 3))
        apart = c.rate * (dy - through_variance * c.y * (dy * c.y).mean(axis=0))
        return apart - through_mean * apart.mean(axis=0)

    return report_of(forward, backward, normal(6, 3, seed=2))


def test_a_path_through_a_mean_or_a_variance_that_is_missing_is_named() -> None:
    assert normalized(1, 1).ok
    one = normalized(1, 0)
    for report in (one, normalized(1, 0.5)):  # the autopsy of the one operation sees it
        (found,) = [found for found in report.inputs if not found.ok]
        assert found.mistakes[0].name == "term-missing", str(report)
        assert "variance" in found.mistakes[0].says


@pytest.mark.parametrize("wrong", [lambda c, d2: d2 @ np.tanh(1.1 * c.Z1).T, lambda c, d2: d2 @ (c.A1**3 + 0.1).T])
def test_an_operand_that_is_no_value_of_the_forward_is_not_guessed(wrong: Callable[..., Any]) -> None:
    report = two_layers(dw2=wrong)
    assert names(report) == ["network"], str(report)
    assert "b2 is right in the same layer, so its delta is" in said(report)
