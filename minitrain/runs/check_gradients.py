"""Checks the built-in model's gradients on real data, parameter by parameter, and measures their error against eps."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from minitrain import nn
from minitrain.autograd import check_gradients
from minitrain.diagnosis.gradcheck_report import Report
from minitrain.runs.config import Config, ConfigError
from minitrain.runs.eps_sweep import Sweep
from minitrain.runs.gradient_table import EPS, Checked
from minitrain.runs.messages import counted
from minitrain.runs.model import load_data, numpy_side
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.grad_mode import no_grad

# The gradients of a mean loss are small: torch's atol of 1e-5 would hide wrong ones.
ATOL, RTOL = 1e-8, 1e-4
EPS_FROM = 1e-15
FULL_UP_TO = 10_000  # parameters
LAYER_ROWS = 4  # samples for checking a layer alone
SAMPLE = 40  # entries of all parameters whose error is swept
SWEPT = [10.0 ** (-k / 2) for k in range(2, 29)]  # 1e-1 to 1e-14, two a decade

Subject = tuple[Any, Any, tuple[Tensor, Tensor]]  # a model, its loss, a batch (X, y)


def subject(config: Config, plant: Callable[[Any, Any, Any], Any] | None = None) -> Subject:
    """The configured model and its loss in float64, and the first batch of the training data.

    plant: puts a fault into (model, loss, None), as those of `minitrain compare` do.
    Raises DataError if there is no data.
    """
    (model, loss_fn, _), batches = numpy_side(config, load_data(config), "float64")
    X, y = next(batches)
    if plant is not None:
        (model, loss_fn, _), _ = plant(model, loss_fn, None)
    return model, loss_fn, (X.double(), y)


@contextmanager
def _watched(model: Any, watch: Callable[[Any, Any], None]) -> Iterator[None]:
    """Inside it a forward pass calls watch(layer, its input) for each layer without sublayers."""
    leaves = [module for module in model.modules() if next(module.children(), None) is None]
    handles = [leaf.register_forward_hook(lambda layer, inputs, _: watch(layer, inputs[0])) for leaf in leaves]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def check_model(
    config: Config,
    *,
    mode: Literal["full", "directional"] | None = None,
    eps: float = EPS,
    atol: float = ATOL,
    rtol: float = RTOL,
    plant: Callable[[Any, Any, Any], Any] | None = None,
) -> Checked:
    """check_gradients of the configured model on the first batch; also of each layer alone if a gradient is wrong.

    mode: every entry, or a few random directions of each parameter; None chooses "full" up to 10,000 parameters.
    plant: see subject. Raises ConfigError for an impossible eps, atol or rtol.
    """
    if not EPS_FROM <= eps <= 1:
        raise ConfigError(f"eps must be from {EPS_FROM:g} (less changes no float64) to 1, but is {eps}")
    if not (0 <= atol < math.inf and 0 <= rtol < math.inf):
        raise ConfigError(f"atol and rtol must be finite and not negative, but got {atol} and {rtol}")
    model, loss_fn, batch = subject(config, plant)
    count = sum(param.numel() for param in model.parameters())
    directional = mode == "directional" or (mode is None and count > FULL_UP_TO)
    limits: dict[str, Any] = {"atol": atol, "rtol": rtol}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*nothing was checked", UserWarning)  # the table reports it
        report = check_gradients(model, batch, loss_fn=loss_fn, eps=eps, fast_mode=directional, **limits)
        layers = [] if report.ok else _check_layers(model, loss_fn, batch, {"eps": EPS, **limits})
    return Checked(report, f"on {counted(len(batch[1]), 'sample')} of {config.dataset}, in float64", eps, layers)


def _check_layers(
    model: Any, loss_fn: Any, batch: tuple[Tensor, Tensor], limits: dict[str, Any]
) -> list[tuple[str, Report]]:
    """check_gradients of the loss and of each layer alone, on the first samples of its input in the model.

    From the loss back, as the gradients flow. A wrong layer spoils the gradients of all parameters before it; checked
    alone, it is the only one that fails. Layers without parameters are left out if no gradient passes through them.
    """
    given: list[tuple[Any, Tensor]] = []
    with _watched(model, lambda layer, x: given.append((layer, x))):
        scores = model(batch[0])
    names = {module: name for name, module in model.named_modules()}
    of_loss = check_gradients(loss_fn, (_part(scores), batch[1][:LAYER_ROWS]), **limits)
    reports = [("the loss", of_loss)]
    for layer, x in reversed(given):
        params = sum(param.numel() for param in layer.parameters())
        if params or x.requires_grad:
            part = _part(x)
            large = params + part.numel() > FULL_UP_TO
            reports.append((names[layer], check_gradients(layer, part, fast_mode=large, **limits)))
    return reports


def _part(x: Tensor) -> Tensor:
    """The first samples, as a leaf that requires a gradient if x does."""
    return wrap(x.array[:LAYER_ROWS].copy()).requires_grad_(x.requires_grad)


def sweep_eps(config: Config, plant: Callable[[Any, Any, Any], Any] | None = None) -> Sweep:
    """Measure a sample of the gradient's entries with each step from 1e-1 to 1e-14. plant: see subject."""
    model, loss_fn, (X, y) = subject(config, plant)
    parameters = [*model.parameters()]
    loss_fn(model(X), y).backward()
    random = np.random.RandomState(0)
    each = max(1, SAMPLE // len(parameters))
    entries = [(param, int(j)) for param in parameters for j in random.permutation(param.numel())[:each]]
    analytic = np.array([param.grad.array.flat[j] for param, j in entries])
    sides: list[bytes] = []  # for each ReLU in a forward pass, which inputs are above 0

    def watch(layer: Any, x: Tensor) -> None:
        if isinstance(layer, nn.ReLU):
            sides.append((x.array > 0).tobytes())

    def loss() -> tuple[float, list[bytes]]:
        sides.clear()
        return loss_fn(model(X), y).item(), sides.copy()

    errors, smooth, crossing = [], [], []
    with no_grad(), _watched(model, watch):
        _, here = loss()
        for eps in SWEPT:
            measured = [_central(loss, param.array.flat, j, eps, here) for param, j in entries]
            numeric = np.array([slope for slope, _ in measured])
            clean = np.array([not crosses for _, crosses in measured])
            errors.append(_relative_error(numeric, analytic))
            smooth.append(_relative_error(numeric[clean], analytic[clean]))
            crossing.append(int((~clean).sum()))
    where = f"{len(entries)} entries, {counted(len(y), 'sample')} of {config.dataset}"
    return Sweep(SWEPT, errors, smooth, crossing, where)


def _relative_error(numeric: Any, analytic: Any) -> float:
    """‖numeric - analytic‖ / ‖analytic‖; 0 if both are 0."""
    size = float(np.linalg.norm(analytic))
    error = float(np.linalg.norm(numeric - analytic))
    return error / size if size else error and math.inf


def _central(
    loss: Callable[[], tuple[float, list[bytes]]], flat: Any, j: int, eps: float, here: list[bytes]
) -> tuple[float, bool]:
    """The slope at entry j by a central difference, and whether its step crosses a kink."""
    before = flat[j]
    try:
        flat[j] = before + eps
        (up, above), high = loss(), flat[j]
        flat[j] = before - eps
        (down, below), low = loss(), flat[j]
    finally:
        flat[j] = before
    return float((up - down) / (high - low)) if high != low else 0.0, not above == here == below
