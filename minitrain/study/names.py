"""The symbols of a step's tensors: X, W1, b1, a1, h1, z, logp, t, L; t7 for what has no usual name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minitrain.study.recording import Step

PARAMETERS = {"weight": "W", "bias": "b", "running_mean": "mean", "running_var": "var"}
RESULTS = {
    **dict.fromkeys(("Linear", "Matmul", "Conv2d"), "a"),
    **dict.fromkeys(("ReLU", "LeakyReLU", "ELU", "SiLU", "Sigmoid", "Tanh", "Softplus", "Hardtanh", "LogSigmoid"), "h"),
    **dict.fromkeys(("MaxPool2d", "AvgPool2d"), "m"),
    "Normalize": "u",
    "LogSoftmax": "logp",
    "Softmax": "p",
}
FROM_LOGITS = ("LogSoftmax", "Softmax", "BCEWithLogitsLoss")
WITH_TARGET = ("NLLLoss", "MSELoss", "BCELoss", "BCEWithLogitsLoss", "SmoothL1Loss")


def symbols(step: Step, given: Mapping[int, str]) -> list[str]:
    """A symbol for each tensor: the given ones, then the usual ones, numbered where there are several; none twice."""
    bases = [given.get(i) or _base(step, i) for i in range(len(step.tensors))]
    several, seen, names = Counter(bases), Counter[str](), []
    taken = {*bases}
    for i, base in enumerate(bases):
        name = base
        if not base:
            name = f"t{i}"
        elif several[base] > 1:
            seen[base] += 1
            while (name := f"{base}{seen[base]}") in taken:
                seen[base] += 1
        names.append(name)
    return names


def _base(step: Step, number: int) -> str:
    tensor = step.tensors[number]
    users = [(step.ops[op].function.__name__, i) for op, i in tensor.used_by]
    if number == step.loss:
        return "L"
    own = tensor.parameter or tensor.buffer
    if own is not None:
        last = own.rpartition(".")[2]
        return PARAMETERS.get(last, last)
    if any(name in WITH_TARGET and i == 1 for name, i in users):
        return "t"
    if any(step.ops[op].layer_type.startswith("Dropout") and i == 1 for op, i in tensor.used_by):
        return "mask"
    if tensor.detached is not None or tensor.was is not None:
        return ""
    if tensor.made_by is None:
        arguments = {step.ops[op].arguments[i] for op, i in tensor.used_by}
        if arguments == {"divisor"}:  # AvgPool2d's, which the library makes
            return "divisor"
        return "X" if tensor.value.dtype.kind == "f" and not tensor.leaf and tensor.value.ndim > 1 else ""
    name = step.ops[tensor.made_by].function.__name__
    if any(user in FROM_LOGITS and i == 0 for user, i in users):
        return "z"
    if name in ("Flatten", "Reshape"):
        source = step.ops[tensor.made_by].inputs[0]
        return "x" if isinstance(source, int) and _base(step, source) == "X" else ""
    return RESULTS.get(name, "")
