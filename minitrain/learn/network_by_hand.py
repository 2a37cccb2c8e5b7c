"""A network of two layers in NumPy alone, trained without the tape: the pieces of the track "A network by hand".

    hidden = max(X W1 + b1, 0),  logits = hidden W2 + b2,  L = the mean over the rows of -ln softmax(logits)[label]

Shapes: X (N, D), labels (N,), W1 (D, H), b1 (H,), W2 (H, C), b2 (C,). The parameters are a dict by these names. Unlike
torch's Linear, a weight has a row for each input: X @ W1 needs no transpose.
"""

from __future__ import annotations

import numpy as np

from minitrain.ops import Array

Parameters = dict[str, Array]


def forward_pass(parameters: Parameters, X: Array) -> tuple[Array, Array]:
    """hidden = max(X W1 + b1, 0), (N, H), and logits = hidden W2 + b2, (N, C)."""
    hidden = np.maximum(X @ parameters["W1"] + parameters["b1"], 0)
    logits = hidden @ parameters["W2"] + parameters["b2"]
    return hidden, logits


def loss_and_gradient(logits: Array, labels: Array) -> tuple[float, Array]:
    """L = the mean over the rows of -ln softmax(logits)[label], and dL/d(logits), (N, C)."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)  # so that exp cannot overflow
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_probs[rows, labels].mean()
    grad_logits = np.exp(log_probs)
    grad_logits[rows, labels] -= 1
    return float(loss), grad_logits / len(labels)


def backward_pass(parameters: Parameters, X: Array, hidden: Array, grad_logits: Array) -> Parameters:
    """dL/dW1, dL/db1, dL/dW2 and dL/db2 from dL/d(logits), in a dict by the parameters' names."""
    grad_hidden = grad_logits @ parameters["W2"].T
    grad_sum = np.where(hidden > 0, grad_hidden, 0)  # dL/d(X W1 + b1)
    return {
        "W1": X.T @ grad_sum,
        "b1": grad_sum.sum(axis=0),
        "W2": hidden.T @ grad_logits,
        "b2": grad_logits.sum(axis=0),
    }


def numeric_gradients(parameters: Parameters, X: Array, labels: Array) -> Parameters:
    """dL/d of each parameter by central differences: two forward passes for each number of the network."""
    step = 1e-6
    gradients = {}
    for name, array in parameters.items():
        gradients[name] = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            before = array[index]
            array[index] = before + step
            up, _ = loss_and_gradient(forward_pass(parameters, X)[1], labels)
            array[index] = before - step
            down, _ = loss_and_gradient(forward_pass(parameters, X)[1], labels)
            array[index] = before
            gradients[name][index] = (up - down) / (2 * step)
    return gradients


def update(parameters: Parameters, gradients: Parameters, lr: float) -> None:
    """Move each parameter by -lr times its gradient."""
    for name, gradient in gradients.items():
        parameters[name] -= lr * gradient


def train(parameters: Parameters, X: Array, labels: Array, lr: float, batch_size: int, epochs: int) -> list[float]:
    """Train with SGD, batch after batch in the order of the rows; returns each batch's loss before its update."""
    losses = []
    for _ in range(epochs):
        for start in range(0, len(X), batch_size):
            batch, batch_labels = X[start : start + batch_size], labels[start : start + batch_size]
            hidden, logits = forward_pass(parameters, batch)
            loss, grad_logits = loss_and_gradient(logits, batch_labels)
            gradients = backward_pass(parameters, batch, hidden, grad_logits)
            update(parameters, gradients, lr)
            losses.append(loss)
    return losses
