"""Schedulers that raise the rate and lower it again, and the momentum the other way: OneCycleLR and CyclicLR."""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from typing import Any

from minitrain.optim.lr_scheduler.scheduler import LRScheduler, check_optimizer, for_each_group, set_momentum
from minitrain.optim.optimizer import Optimizer


class _Cycles(LRScheduler):
    """A scheduler of the momentum, too: SGD's and RMSprop's, or Adam's beta1."""

    cycle_momentum: bool
    use_beta1: bool

    def _begin_momentum(self, optimizer: Optimizer, base: Any, largest: Any, last_epoch: int) -> tuple[Any, Any]:
        """The smallest and the largest momentum of each group, written into it at a training's beginning."""
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError(
                "optimizer must support momentum or beta1 with `cycle_momentum` option enabled; pass "
                f"cycle_momentum=False, since {type(optimizer).__name__} has neither."
            )
        self.use_beta1 = "betas" in optimizer.defaults
        bases = for_each_group("base_momentum", optimizer, base)
        maxima = for_each_group("max_momentum", optimizer, largest)
        if last_epoch == -1:
            for group, base_momentum, max_momentum in zip(optimizer.param_groups, bases, maxima, strict=True):
                set_momentum(group, max_momentum)
                group["max_momentum"], group["base_momentum"] = max_momentum, base_momentum
        return bases, maxima


class OneCycleLR(_Cycles):
    """One rise of the rate to max_lr and one long fall, over all steps of a training; call step() after each batch.

    The rate goes from max_lr / div_factor to max_lr in the first pct_start of the steps, then to its first value /
    final_div_factor; with three_phase, down to its first value as long as it rose, then to the last one. Momentum (or
    beta1) goes from max_momentum to base_momentum, and back.

    total_steps: or epochs and steps_per_epoch, whose product it is.
    anneal_strategy: "cos", half a cosine wave, or "linear".
    max_lr, base_momentum, max_momentum: a number for all groups, or a list with one for each.

    Source: Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates",
    arXiv:1708.07120; as torch's and fastai's, with two phases.
    Raises ValueError for values out of their range, for a step after the last, and with cycle_momentum for an
    optimizer without momentum.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = check_optimizer(optimizer)
        counts = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
        if total_steps is not None:
            counts = {"total_steps": total_steps}
        elif epochs is None or steps_per_epoch is None:
            raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
        for name, count in counts.items():
            if not isinstance(count, int) or count <= 0:
                raise ValueError(f"Expected positive integer {name}, but got {count}")
        self.total_steps = math.prod(counts.values())  # type: ignore[arg-type]
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        peak, last = float(pct_start * self.total_steps) - 1, self.total_steps - 1
        if three_phase:
            ends: list[float] = [peak, float(2 * pct_start * self.total_steps) - 2, last]
            lrs = ["initial_lr", "max_lr", "initial_lr", "min_lr"]
            momenta = ["max_momentum", "base_momentum", "max_momentum", "max_momentum"]
        else:
            ends = [peak, last]
            lrs = ["initial_lr", "max_lr", "min_lr"]
            momenta = ["max_momentum", "base_momentum", "max_momentum"]
        self._schedule_phases: list[dict[str, Any]] = [
            {
                "end_step": end,
                "start_lr": lrs[i],
                "end_lr": lrs[i + 1],
                "start_momentum": momenta[i],
                "end_momentum": momenta[i + 1],
            }
            for i, end in enumerate(ends)
        ]
        self._anneal_func_type = anneal_strategy
        max_lrs = for_each_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, highest in zip(optimizer.param_groups, max_lrs, strict=True):
                group["initial_lr"] = highest / div_factor
                group["max_lr"] = highest
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._begin_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _anneal(self, start: float, end: float, pct: float) -> float:
        """The value at this fraction of the way from start to end."""
        if self._anneal_func_type == "linear":
            return (end - start) * pct + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * pct) + 1)

    def get_lr(self) -> list[float]:
        self._warn_outside_of_step()
        step, start = self.last_epoch, 0.0
        if step > self.total_steps:
            raise ValueError(
                f"Tried to step {step} times. The specified number of total steps is {self.total_steps}; count every "
                "batch of every epoch."
            )
        for phase in self._schedule_phases:
            if step <= phase["end_step"] or phase is self._schedule_phases[-1]:
                break
            start = phase["end_step"]
        pct = (step - start) / (phase["end_step"] - start)
        lrs = []
        for group in self.optimizer.param_groups:
            lrs.append(self._anneal(group[phase["start_lr"]], group[phase["end_lr"]], pct))
            if self.cycle_momentum:
                set_momentum(group, self._anneal(group[phase["start_momentum"]], group[phase["end_momentum"]], pct))
        return lrs


class CyclicLR(_Cycles):
    """The rate rises from base_lr to max_lr on a straight line, and falls, again and again; step() after each batch.

    step_size_up, step_size_down: the batches of a rise and of a fall, which has the same length if it is not given.
    mode: the height of a cycle: "triangular" equal, "triangular2" halved after each, "exp_range" gamma ^ step.
    scale_fn: the factor of the height in place of a mode, of the cycle (counted from 1) or of the step, as scale_mode
        says: "cycle" or "iterations".
    Momentum (or beta1) falls from max_momentum to base_momentum while the rate rises, unless cycle_momentum is False.

    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186.
    Raises ValueError for an unknown mode, and with cycle_momentum for an optimizer without momentum.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = check_optimizer(optimizer)
        base_lrs = for_each_group("base_lr", optimizer, base_lr)
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base_lrs, strict=True):
                group["lr"] = lr
        self.max_lrs = for_each_group("max_lr", optimizer, max_lr)
        up = float(step_size_up)
        self.total_size = up + (up if step_size_down is None else float(step_size_down))
        self.step_ratio = up / self.total_size
        if scale_fn is None:
            if mode not in ("triangular", "triangular2", "exp_range"):
                raise ValueError(
                    f"mode is invalid and scale_fn is None: choose triangular, triangular2 or exp_range, not {mode!r}"
                )
            scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.mode, self.gamma, self._scale_fn_custom, self.scale_mode = mode, gamma, scale_fn, scale_mode
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums, self.max_momentums = self._begin_momentum(
                optimizer, base_momentum, max_momentum, last_epoch
            )
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x: float) -> float:
        """The height of a cycle, as a factor."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "exp_range":
            return float(self.gamma**x)
        return 1 / 2.0 ** (x - 1) if self.mode == "triangular2" else 1.0

    def get_lr(self) -> list[float]:
        self._warn_outside_of_step()
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        rising = x <= self.step_ratio
        height = x / self.step_ratio if rising else (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            momenta = zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True)
            for group, base, largest in momenta:
                set_momentum(group, largest - (largest - base) * height * scale)
        return [base + (top - base) * height * scale for base, top in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """As LRScheduler's; a scale_fn as None, or as its attributes if it is an object with a __call__."""
        function = self._scale_fn_custom
        saved = None if function is None or isinstance(function, types.FunctionType) else vars(function).copy()
        return {**super().state_dict(), "_scale_fn_custom": saved}

    def _load_state(self, state_dict: dict[str, Any]) -> None:
        """A scale_fn stays, and gets its attributes back."""
        super()._load_state({name: value for name, value in state_dict.items() if name != "_scale_fn_custom"})
        if state_dict["_scale_fn_custom"] is not None:
            vars(self._scale_fn_custom).update(state_dict["_scale_fn_custom"])
