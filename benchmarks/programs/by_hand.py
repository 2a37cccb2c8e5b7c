"""The same training step written by hand in NumPy: what recording operations costs. Argument: plain, or reused.

It has minitrain's forms of products, and its memory order of weights, but no tape, no checks, and one model only.
"""

import sys
from typing import Any

import numpy as np

from benchmarks.programs.peers import Arrays, Batches, Step, answer_with
from benchmarks.programs.serving import serve
from minitrain.layout import empty_at_line, pairwise_sum, product, transposed_product, zeroed
from minitrain.optim.blocks import BLOCK


def training_step(parameters: Arrays, batches: Batches, lr: float) -> tuple[Step, str]:
    """A step like the library's, whose results take new memory and whose update is `p -= lr * grad`."""
    weights, biases = [like_minitrain(p) for p in parameters[::2]], parameters[1::2]
    number = 0

    def step() -> Any:
        nonlocal number
        number += 1
        X, y = batches[number % len(batches)]
        inputs = [X]
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            z = inputs[-1] @ weight.T
            z += bias
            inputs.append(np.maximum(z, np.zeros(z.shape[1], z.dtype)))
        logits = inputs[-1] @ weights[-1].T
        logits += biases[-1]
        loss, grad = cross_entropy(logits, y)
        grads = []
        for i in reversed(range(len(weights))):
            grads.append((transposed_product(grad, inputs[i]), pairwise_sum(grad, (0,))))
            if i:
                grad = zeroed(product(grad, weights[i]), inputs[i] <= 0)
        for weight, bias, (grad_weight, grad_bias) in zip(weights, biases, reversed(grads), strict=True):
            weight -= lr * grad_weight
            bias -= lr * grad_bias
        return loss

    return step, parameters[0].dtype.name


def training_step_in_reused_memory(parameters: Arrays, batches: Batches, lr: float) -> tuple[Step, str]:
    """The same step, whose results lie where the previous step's did, and whose update goes block by block."""
    weights, biases = [like_minitrain(p) for p in parameters[::2]], parameters[1::2]
    rows, dtype = len(batches[0][0]), parameters[0].dtype
    outs = [np.empty((rows, len(bias)), dtype) for bias in biases]  # each layer's result
    grad_ins = [np.empty((rows, weight.shape[1]), dtype) for weight in weights]  # dL/d(each layer's input)
    masks = [np.empty((rows, weight.shape[1]), bool) for weight in weights]
    grad_weights = [np.empty_like(weight.T) for weight in weights]
    scratch = np.empty(BLOCK, dtype)
    number = 0

    def step() -> Any:
        nonlocal number
        number += 1
        X, y = batches[number % len(batches)]
        inputs = [X, *outs[:-1]]
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            z = np.matmul(inputs[i], weight.T, out=outs[i])
            z += bias
            if i < len(weights) - 1:
                np.maximum(z, 0, out=z)
        loss, grad = cross_entropy(outs[-1], y)
        for i in reversed(range(len(weights))):
            np.matmul(inputs[i].T, grad, out=grad_weights[i])
            grad_bias = grad.sum(axis=0)
            if i:
                np.matmul(grad, weights[i], out=grad_ins[i])
                np.greater(inputs[i], 0, out=masks[i])
                np.multiply(grad_ins[i], masks[i], out=grad_ins[i])
                grad = grad_ins[i]
            biases[i] -= lr * grad_bias
        for weight, grad_weight in zip(weights, grad_weights, strict=True):
            flat, flat_grad = weight.T.reshape(-1), grad_weight.reshape(-1)
            for begin in range(0, flat.size, BLOCK):
                block = slice(begin, begin + BLOCK)
                part = scratch[: flat[block].size]
                np.multiply(flat_grad[block], lr, out=part)
                np.subtract(flat[block], part, out=flat[block])
        return loss

    return step, dtype.name


def like_minitrain(weight: np.ndarray) -> np.ndarray:
    """The weight (out, in) in nn.Linear's memory order."""
    there = empty_at_line(weight.shape[::-1], weight.dtype)
    there[...] = weight.T
    return there.T


def cross_entropy(logits: np.ndarray, y: np.ndarray) -> tuple[Any, np.ndarray]:
    """The mean loss of logits (N, C) against labels (N,), and dL/d(logits)."""
    rows = np.arange(len(y))
    shifted = logits - logits.max(axis=1, keepdims=True)
    grad = np.exp(shifted)
    sums = grad.sum(axis=1, keepdims=True)
    loss = (np.log(sums[:, 0]) - shifted[rows, y]).mean()
    grad /= sums
    grad[rows, y] -= 1
    grad /= grad.dtype.type(len(y))
    return loss, grad


MAKERS = {"plain": training_step, "reused": training_step_in_reused_memory}

if __name__ == "__main__":
    serve(answer_with(MAKERS[sys.argv[1]]))
