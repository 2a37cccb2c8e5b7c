"""Which class a saved state belongs to, told by the names in it: torch's state dicts do not name their class."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

# The options of a group, also of classes that only torch has. Adam's are AdamW's, too: each loads the other's state.
OPTIMIZERS = {
    "ASGD": {"lr", "lambd", "alpha", "t0", "weight_decay", "maximize"},
    "Adadelta": {"lr", "rho", "eps", "weight_decay", "maximize"},
    "Adagrad": {"lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps", "maximize"},
    "Adam": {"lr", "betas", "eps", "weight_decay", "amsgrad", "maximize", "decoupled_weight_decay"},
    "Adamax": {"lr", "betas", "eps", "weight_decay", "maximize"},
    "LBFGS": {"lr", "max_iter", "max_eval", "tolerance_grad", "tolerance_change", "history_size", "line_search_fn"},
    "NAdam": {"lr", "betas", "eps", "weight_decay", "momentum_decay", "maximize", "decoupled_weight_decay"},
    "RAdam": {"lr", "betas", "eps", "weight_decay", "maximize", "decoupled_weight_decay"},
    "RMSprop": {"lr", "momentum", "alpha", "eps", "centered", "weight_decay", "maximize"},
    "Rprop": {"lr", "etas", "step_sizes", "maximize"},
    "SGD": {"lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize"},
}

# Attributes that every scheduler of a class has, whatever its arguments.
SCHEDULERS = {
    "ChainedScheduler": {"_schedulers"},
    "ConstantLR": {"factor", "total_iters"},
    "CosineAnnealingLR": {"T_max", "eta_min"},
    "CosineAnnealingWarmRestarts": {"T_0", "T_mult", "eta_min"},
    "CyclicLR": {"mode", "gamma", "scale_mode", "total_size"},
    "ExponentialLR": {"gamma"},
    "LambdaLR or MultiplicativeLR": {"lr_lambdas"},
    "LinearLR": {"start_factor", "end_factor", "total_iters"},
    "MultiStepLR": {"milestones", "gamma"},
    "OneCycleLR": {"total_steps", "_schedule_phases"},
    "PolynomialLR": {"power", "total_iters"},
    "ReduceLROnPlateau": {"mode", "factor", "patience"},
    "SequentialLR": {"_schedulers", "_milestones"},
    "StepLR": {"step_size", "gamma"},
}


def check_kind(owner: Any, own: AbstractSet[str], saved: AbstractSet[str], kinds: dict[str, set[str]]) -> None:
    """Raise ValueError if a saved state has another class's names than those which its new owner has.

    Names that no class in `kinds` has may differ. Some of the owner's may be missing, as in states of older torch, but
    those that are left must not be exactly another class's.
    """
    known = set[str]().union(*kinds.values())
    own, saved = own & known, saved & known
    if saved == own or (saved < own and saved not in kinds.values()):
        return
    name = type(owner).__name__
    other = next((f"{kind}'s" for kind, names in kinds.items() if names == saved), "another class's")
    differences = {"has": saved - own, "lacks": own - saved}
    parts = [f"{verb} {', '.join(sorted(names))}" for verb, names in differences.items() if names]
    raise ValueError(
        f"loaded state dict is {other}, not {name}'s: it {' and '.join(parts)}. Make an object of the class that was "
        f"saved and load it there, or begin {name} without a saved state."
    )
