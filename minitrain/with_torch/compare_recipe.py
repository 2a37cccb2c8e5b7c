"""compare on what `minitrain train` trains: the built-in model on NumPy and on torch, with or without a fault."""

from __future__ import annotations

import itertools
import math
import textwrap

from minitrain import nn
from minitrain.runs.backend import make_optimizer
from minitrain.runs.config import Config, ConfigError
from minitrain.runs.model import configured_model, load_data, numpy_side
from minitrain.with_torch.compare import compare
from minitrain.with_torch.comparison import Comparison
from minitrain.with_torch.difference import Difference, Tolerance
from minitrain.with_torch.faults import Fault
from minitrain.with_torch.installed import require_torch
from minitrain.with_torch.side import Triple


def describe(config: Config) -> str:
    """A run in a few words: its data, model and optimizer."""
    momentum = f", momentum {config.momentum:g}" if config.momentum else ""
    decay = f", weight decay {config.weight_decay:g}" if config.weight_decay else ""
    hidden = " ".join(map(str, config.hidden)) or "none"
    return (
        f"{config.dataset}, hidden {hidden}, batch {config.batch_size}, {config.optimizer} lr {config.lr:g}{momentum}"
        f"{decay}, seed {config.seed}"
    )


def torch_twin(config: Config, model: nn.Module, dtype: str, device: str = "cpu") -> Triple:
    """The same on torch, with the weights that minitrain's built-in model has now."""
    import torch

    from minitrain.with_torch.convert_state import to_torch

    twin = configured_model(config, torch.nn).to(device, getattr(torch, dtype))
    twin.load_state_dict(to_torch(model.state_dict()))
    return twin, torch.nn.CrossEntropyLoss(), make_optimizer(config, twin, torch.optim)


def compare_recipe(
    config: Config,
    *,
    steps: int = 10,
    dtype: str = "float64",
    fault: Fault | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    stop: bool = False,
) -> tuple[Comparison, str]:
    """compare() of what `minitrain train` would train, on NumPy and on torch's CPU, from the same weights.

    dtype: float64, where only a mistake makes a difference, or float32.
    fault: planted on the NumPy side.
    Returns the Comparison, and whether the fault was found where it shows, in words ("" without a fault).
    Raises ConfigError for a wrong number of steps or tolerance, and without torch.
    """
    if steps < 1:
        raise ConfigError(f"steps must be at least 1, but got {steps}")
    Tolerance(dtype, rtol, atol)  # checked here, before a long download; and so is torch
    require_torch("minitrain compare")
    ours, batches = numpy_side(config, load_data(config), dtype)
    theirs, layer = torch_twin(config, ours[0], dtype), ""
    if fault is not None:
        ours, layer = fault.plant(*ours)
    result = compare(ours, theirs, itertools.islice(batches, steps), rtol=rtol, atol=atol, stop=stop)
    return result, "" if fault is None else _found(fault, layer, result)


def _found(fault: Fault, layer: str, result: Comparison) -> str:
    """Whether a planted fault was found where it shows."""
    expected = Difference(fault.step, fault.phase, layer, fault.what, (), None, None, *[math.inf] * 6)
    first = result.first
    if first is not None and (first.step, first.place) == (expected.step, expected.place):
        return f"That is the fault that was planted, {fault.name}."
    if len(result.steps) < fault.step:
        hint = f"Run at least {fault.step} steps."
    elif result.dtype == "float32":
        hint = "Where updates are small it can hide below float32's tolerance; float64 is sharper."
    else:
        hint = "With these settings it does not; with the defaults it does."
    return textwrap.fill(
        f"The fault that was planted, {fault.name}, should show in step {expected.step}, at the {expected.place}. "
        f"{hint}",
        110,
    )
