"""What operations are for, in one sentence each, and what the index letters of their formulas mean."""

from __future__ import annotations

from minitrain import ops
from minitrain.ops import Function
from minitrain.study.declarations import ALONG_AXES, ELEMENTWISE, MOVING

PURPOSES: dict[type[Function], str] = {
    ops.Linear: "Each output is a weighted sum of all inputs, plus a bias. Training changes the weights.",
    ops.Matmul: "Each result is the sum of the products of a row and a column.",
    ops.Einsum: "Each result is a sum of products, over the indices that it does not have.",
    ops.Conv2d: "Slides a small picture of weights over the image; each result says how well they match there.",
    ops.MaxPool2d: "Keeps the largest value of each window: the image gets smaller, its strongest responses stay.",
    ops.AvgPool2d: "Keeps the mean of each window: the image gets smaller.",
    ops.Normalize: "Shifts and scales the values to mean 0 and deviation 1, then by weights that are trained.",
    ops.ReLU: "Sets negative numbers to 0. Without such a bend, several layers could do no more than one.",
    ops.LeakyReLU: "Keeps positive numbers and shrinks negative ones, so that their gradient is never 0.",
    ops.ELU: "Keeps positive numbers and bends negative ones smoothly towards a limit.",
    ops.SiLU: "Like ReLU, but smooth: x times its sigmoid.",
    ops.Sigmoid: "Squeezes each number into the range from 0 to 1; far from 0 its slope is almost 0.",
    ops.Tanh: "Squeezes each number into the range from -1 to 1; far from 0 its slope is almost 0.",
    ops.Hardtanh: "Cuts off numbers outside a range; no gradient passes there.",
    ops.Clamp: "Cuts off numbers outside a range; no gradient passes there.",
    ops.Softmax: "Turns scores into probabilities: positive numbers whose sum is 1.",
    ops.LogSoftmax: "Turns scores into the logarithms of probabilities: exp of them is positive, with sum 1.",
    ops.NLLLoss: "The loss: minus the log-probability of the right class. It is 0 if that class has probability 1.",
    ops.MSELoss: "The loss: the squared distance between the result and its target.",
    ops.SmoothL1Loss: "The loss: squared for small errors, proportional for large ones, so that outliers count less.",
    ops.BCELoss: "The loss: minus the log-probability of the right answer, for questions with the answers 0 and 1.",
    ops.BCEWithLogitsLoss: "The loss: scores become probabilities, and the right answer of 0 and 1 should be likely.",
    ops.Sum: "Adds up numbers; each of them gets the gradient of the sum.",
    ops.Mean: "The mean of numbers; each of them gets an equal share of the gradient.",
}

WINDOW = {"i": "row", "j": "column", "p": "row in the window", "q": "column in the window"}
LETTERS: dict[type[Function], dict[str, str]] = {
    ops.Linear: {"o": "output", "i": "input"},
    ops.Conv2d: {"o": "output channel", "c": "input channel", **WINDOW},
    ops.MaxPool2d: {"c": "channel", **WINDOW},
    ops.AvgPool2d: {"c": "channel", **WINDOW},
    ops.NLLLoss: {"c": "class"},
}


def purpose_of(function: type[Function]) -> str:
    """What an operation is for; empty for one of the user's own."""
    if function in PURPOSES:
        return PURPOSES[function]
    if function in MOVING:
        return "Only moves numbers; none changes."
    if function in ELEMENTWISE:
        return "Computes each number from the numbers at the same place."
    if function in ALONG_AXES:
        return "Combines the numbers along one or more axes."
    return "Computes all numbers together." if function.__module__.startswith("minitrain.ops") else ""
