"""torch's results for the parts that the exercises are about, to check a learner's results against."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from minitrain.ops import Array


def _tensor(array: Any) -> Any:
    """An array as a torch tensor with its own memory; anything else unchanged."""
    return torch.from_numpy(np.array(array)) if isinstance(array, np.ndarray) else array


def _index(index: Any) -> Any:
    return tuple([_tensor(part) for part in index]) if isinstance(index, tuple) else _tensor(index)


def _nll(x: Any, target: Any, weight: Any, *, ignore_index: int, reduction: str) -> Any:
    return F.nll_loss(x, target, weight, ignore_index=ignore_index, reduction=reduction)


def _normalize(x: Any, weight: Any, bias: Any, *, dim: tuple[int, ...], eps: float) -> Any:
    z = (x - x.mean(dim, keepdim=True)) / (x.var(dim, correction=0, keepdim=True) + eps).sqrt()
    z = z if weight is None else z * weight
    return z if bias is None else z + bias


def _max_pool(x: Any, *, size: Any, stride: Any, padding: Any, dilation: Any, ceil: Any) -> Any:
    return F.max_pool2d(x, size, stride, padding, dilation)


def _average_pool(x: Any, divisor: Any, *, size: Any, stride: Any, padding: Any, ceil: Any) -> Any:
    return F.avg_pool2d(x, size, stride, padding, divisor_override=1) / divisor


# Each takes the inputs and the options of the operation of this name in minitrain.ops.
_LIKEWISE = "Add Sub Mul Div Pow Neg Exp Log Tanh Sigmoid ReLU Sum Mean Amax Flatten Matmul Softmax"  # torch.add, ...
OPERATIONS: dict[str, Callable[..., Any]] = {name: getattr(torch, name.lower()) for name in _LIKEWISE.split()} | {
    "Index": lambda x, *, index: x[_index(index)],
    "Linear": F.linear,
    "LogSoftmax": torch.log_softmax,
    "NLLLoss": _nll,
    "MSELoss": F.mse_loss,
    "Normalize": _normalize,
    "BCEWithLogitsLoss": lambda x, target, pos_weight: F.binary_cross_entropy_with_logits(
        x, target, pos_weight=pos_weight, reduction="none"
    ),
    "Conv2d": F.conv2d,
    "MaxPool2d": _max_pool,
    "AvgPool2d": _average_pool,
}


def operation(
    name: str, inputs: Sequence[Any], options: dict[str, Any], needed: Sequence[bool], grad_of: Callable[[Array], Array]
) -> tuple[Array, list[Array | None]]:
    """An operation's result, and the gradients of the inputs that need one; grad_of(y) is dL/dy."""
    tensors = [_tensor(x) for x in inputs]
    for tensor, need in zip(tensors, needed, strict=True):
        if need:
            tensor.requires_grad_()
    y = OPERATIONS[name](*tensors, **options)
    result = y.detach().numpy()
    if y.requires_grad:
        y.backward(torch.from_numpy(grad_of(result)).reshape(y.shape))
    gradients = [
        x.grad.numpy() if need and x.grad is not None else None for x, need in zip(tensors, needed, strict=True)
    ]
    return result, gradients


def graph(
    function: Callable[..., Any], inputs: Sequence[Array], passes: int, grad_of: Callable[[Array], Array]
) -> tuple[Array, list[Array]]:
    """The result of a function of tensors, and its inputs' .grad accumulated over some passes."""
    leaves = [_tensor(x).requires_grad_() for x in inputs]
    for _ in range(passes):
        y = function(*leaves)
        y.backward(torch.from_numpy(grad_of(y.detach().numpy())))
    return y.detach().numpy(), [leaf.grad.numpy() for leaf in leaves]


def updates(name: str, options: dict[str, Any], start: Array, gradients: Sequence[Array]) -> Iterator[Array]:
    """A parameter after each step of an optimizer; the learning rate is halved before the last two."""
    param = _tensor(start).requires_grad_()
    optimizer = getattr(torch.optim, name)([param], **options)
    for step, gradient in enumerate(gradients):
        if step == len(gradients) - 2:
            optimizer.param_groups[0]["lr"] *= 0.5
        param.grad = _tensor(gradient)
        optimizer.step()
        yield param.detach().numpy().copy()


# --- random numbers and loops, named as in minitrain.learn.check_inputs -----------------------------------------------


def kaiming_uniform() -> Iterator[tuple[str, Array]]:
    """torch.nn.init's."""
    choices: list[dict[str, Any]] = [{}, {"a": 5**0.5}, {"mode": "fan_out", "nonlinearity": "relu"}]
    return _filled(torch.nn.init.kaiming_uniform_, choices)


def xavier_uniform() -> Iterator[tuple[str, Array]]:
    """torch.nn.init's."""
    return _filled(torch.nn.init.xavier_uniform_, [{}, {"gain": 5 / 3}])


def _filled(init: Any, choices: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Array]]:
    for options in choices:
        weight = init(torch.empty(40, 60), **options, generator=torch.Generator().manual_seed(5))
        yield f"the weight (40, 60), with {options}", weight.numpy()


def reset_parameters() -> Iterator[tuple[str, Array]]:
    """torch.nn.Linear's."""
    with torch.random.fork_rng(devices=[]):
        for in_features, out_features in ((60, 40), (3, 2)):
            torch.manual_seed(5)
            layer = torch.nn.Linear(in_features, out_features)
            yield f"the weight of Linear({in_features}, {out_features})", layer.weight.detach().numpy()
            yield f"the bias of Linear({in_features}, {out_features})", layer.bias.detach().numpy()


def small_run(x: Array, y: Array, weight: Array, bias: Array) -> tuple[Array, Array]:
    """A layer's weight and bias after two passes in batches of three, with SGD at a learning rate of 0.5."""
    layer = torch.nn.Linear(3, 2, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(_tensor(weight))
        layer.bias.copy_(_tensor(bias))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
    for _ in range(2):
        for start in range(0, len(x), 3):
            loss: Any = F.cross_entropy(layer(_tensor(x[start : start + 3])), _tensor(y[start : start + 3]))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


def two_layers(X: Array, W1: Array, b1: Array, W2: Array, b2: Array) -> tuple[Array, Array]:
    """hidden = relu(X W1 + b1) and logits = hidden W2 + b2."""
    hidden = F.linear(_tensor(X), _tensor(W1).T, _tensor(b1)).relu()
    return hidden.numpy(), F.linear(hidden, _tensor(W2).T, _tensor(b2)).numpy()


def train_two_layers(
    parameters: dict[str, Array], X: Array, labels: Array, lr: float, batch_size: int, epochs: int
) -> tuple[list[float], dict[str, Array]]:
    """The losses of a training of these two layers with SGD, and the parameters after it."""
    leaves = {name: _tensor(array).requires_grad_() for name, array in parameters.items()}
    optimizer = torch.optim.SGD(leaves.values(), lr=lr)
    losses = []
    for start in [*range(0, len(X), batch_size)] * epochs:
        rows = slice(start, start + batch_size)
        logits = (_tensor(X[rows]) @ leaves["W1"] + leaves["b1"]).relu() @ leaves["W2"] + leaves["b2"]
        loss: Any = F.cross_entropy(logits, _tensor(labels[rows]))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses, {name: leaf.detach().numpy() for name, leaf in leaves.items()}


def dropout(x: Array, p: float, training: bool) -> Array:
    """The result of a dropout."""
    return F.dropout(_tensor(x), p, training).numpy()


def clip(name: str, gradients: Sequence[Array | None], *options: float) -> tuple[Any, list[Array]]:
    """What a clipping function of torch.nn.utils returns, and the gradients after it."""
    params = [torch.zeros(1 if x is None else x.shape, dtype=torch.float64, requires_grad=True) for x in gradients]
    for param, gradient in zip(params, gradients, strict=True):
        param.grad = _tensor(gradient)
    returned = getattr(torch.nn.utils, name)(params, *options)
    return returned, [param.grad.numpy() for param in params if param.grad is not None]


def schedule(name: str, options: dict[str, Any], base_lrs: Sequence[float], own: Sequence[float | None]) -> Array:
    """The rates of a scheduler's groups in each epoch; own: the rate that the program sets in an epoch, or None."""
    groups: list[Any] = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in base_lrs]
    optimizer = torch.optim.SGD(groups)
    scheduler = getattr(torch.optim.lr_scheduler, name)(optimizer, **options)
    rates = []
    for lr in own:
        if lr is not None:
            optimizer.param_groups[0]["lr"] = lr
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return np.array(rates)


# --- windows and statistics, named as in minitrain.learn.layer_inputs -------------------------------------------------

Sizes = Sequence[tuple[tuple[int, ...], tuple[int, int], tuple[int, int], tuple[int, int]]]


def windows(cases: Sizes, numbers: Callable[..., Array]) -> Iterator[tuple[str, Array]]:
    """All windows of an image, by torch's unfold."""
    for shape, size, stride, dilation in cases:
        seen = _unfolded(_tensor(numbers(*shape, seed=36)), size, stride, dilation)
        yield f"x {shape}, size {size}, stride {stride}, dilation {dilation}\nthe array", seen.numpy()


def added_windows(cases: Sizes, numbers: Callable[..., Array]) -> Iterator[tuple[str, Array]]:
    """The gradient of those windows."""
    for shape, size, stride, dilation in cases:
        x = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
        seen = _unfolded(x, size, stride, dilation)
        seen.backward(_tensor(numbers(*seen.shape, seed=37)))
        assert x.grad is not None
        yield f"x {shape}, size {size}, stride {stride}, dilation {dilation}\ngrad_x", x.grad.numpy()


def _unfolded(x: Any, size: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> Any:
    """(N, C, H, W) -> (N, C, H', W', kH, kW)."""
    columns = F.unfold(x, size, dilation, 0, stride).reshape(*x.shape[:2], *size, -1)
    count = [(x.shape[2 + i] - dilation[i] * (size[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)]
    return columns.permute(0, 1, 4, 2, 3).reshape(*x.shape[:2], *count, *size)


def running_statistics(cases: Mapping[str, Any], mean: Array, variance: Array) -> Iterator[tuple[str, Array]]:
    """The running mean and variance after some batches."""
    for label, (momentum, batches) in cases.items():
        running_mean, running_var = _tensor(mean), _tensor(variance)
        for batch in batches:
            F.batch_norm(_tensor(batch), running_mean, running_var, training=True, momentum=momentum)
        yield f"{label}\nrunning_mean", running_mean.numpy()
        yield f"{label}\nrunning_var", running_var.numpy()


def jacobian(function: Callable[..., Any], x: Array) -> Array:
    """dy/dx of a function of one tensor, (x.size, y.size)."""
    find: Any = torch.autograd.functional.jacobian
    found = find(function, _tensor(x))
    return np.asarray(found.reshape(-1, x.size).T)
