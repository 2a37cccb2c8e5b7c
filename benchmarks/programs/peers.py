"""The same training step on JAX (jit), tinygrad (TinyJit) or HIPS autograd. Argument: jax, tinygrad or autograd."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.programs.serving import serve, time_calls

Arrays = list[np.ndarray]
Batches = list[tuple[np.ndarray, np.ndarray]]
Step = Callable[[], Any]  # takes a step, waits until it has finished, and returns the loss
Maker = Callable[[Arrays, Batches, float], tuple[Step, str]]  # of parameters, batches and lr; also returns the dtype
Answer = Callable[[dict[str, Any]], dict[str, Any]]


def with_jax(parameters: Arrays, batches: Batches, lr: float) -> tuple[Step, str]:
    """The whole step compiled by jit."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", parameters[0].dtype == np.float64)

    def loss_of(parameters: Any, X: Any, y: Any) -> Any:
        *hidden, (weight, bias) = zip(parameters[::2], parameters[1::2], strict=True)
        for hidden_weight, hidden_bias in hidden:
            X = jax.nn.relu(X @ hidden_weight.T + hidden_bias)
        log_probs = jax.nn.log_softmax(X @ weight.T + bias)
        return -jnp.take_along_axis(log_probs, y[:, None], 1).mean()

    @jax.jit
    def update(parameters: Any, X: Any, y: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(parameters, X, y)
        return loss, [p - lr * g for p, g in zip(parameters, grads, strict=True)]

    state = [jnp.asarray(p) for p in parameters]
    on_device = [(jnp.asarray(X), jnp.asarray(y)) for X, y in batches]
    number = 0

    def step() -> Any:
        nonlocal state, number
        number += 1
        loss, state = update(state, *on_device[number % len(on_device)])
        jax.block_until_ready(state)
        return loss

    return step, str(state[0].dtype)


def with_tinygrad(parameters: Arrays, batches: Batches, lr: float) -> tuple[Step, str]:
    """The whole step captured by TinyJit, on the CPU."""
    from tinygrad import Tensor, TinyJit

    weights = [Tensor(p, device="CPU").realize() for p in parameters]
    on_device = [(Tensor(X, device="CPU").realize(), Tensor(y, device="CPU").realize()) for X, y in batches]
    number = 0

    @TinyJit
    def update(X: Any, y: Any) -> Any:
        *hidden, (weight, bias) = zip(weights[::2], weights[1::2], strict=True)
        for hidden_weight, hidden_bias in hidden:
            X = (X @ hidden_weight.T + hidden_bias).relu()
        loss = (X @ weight.T + bias).sparse_categorical_crossentropy(y)
        for w, grad in zip(weights, loss.gradient(*weights), strict=True):
            w.assign(w - lr * grad)
        return loss.realize(*weights)

    def step() -> Any:
        nonlocal number
        number += 1
        loss = update(*on_device[number % len(on_device)])
        loss.item()  # waits
        return loss

    return step, parameters[0].dtype.name


def with_autograd(parameters: Arrays, batches: Batches, lr: float) -> tuple[Step, str]:
    """The gradient by value_and_grad, the update in place on NumPy arrays."""
    import autograd
    import autograd.numpy as anp

    def loss_of(parameters: Any, X: Any, y: Any) -> Any:
        *hidden, (weight, bias) = zip(parameters[::2], parameters[1::2], strict=True)
        for hidden_weight, hidden_bias in hidden:
            X = anp.maximum(anp.dot(X, hidden_weight.T) + hidden_bias, 0)
        logits = anp.dot(X, weight.T) + bias
        shifted = logits - anp.max(logits, axis=1, keepdims=True)
        log_probs = shifted - anp.log(anp.sum(anp.exp(shifted), axis=1, keepdims=True))
        return -anp.mean(log_probs[np.arange(len(y)), y])

    value_and_grad = autograd.value_and_grad(loss_of)
    number = 0

    def step() -> Any:
        nonlocal number
        number += 1
        loss, grads = value_and_grad(parameters, *batches[number % len(batches)])
        for parameter, grad in zip(parameters, grads, strict=True):
            parameter -= lr * grad
        return loss

    return step, parameters[0].dtype.name


MAKERS = {"jax": with_jax, "tinygrad": with_tinygrad, "autograd": with_autograd}


def answer_with(
    make: Callable[[Arrays, Batches, float], tuple[Step, str]],
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What answers the requests begin and whole, with plain SGD; see step.py."""
    step: Any = None

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        nonlocal step
        if request["do"] == "begin":
            with np.load(request["case"]) as arrays:
                parameters = [arrays[f"parameter_{i}"] for i in range(len(arrays.files) - 2)]
                batches = list(zip(arrays["X"], arrays["y"], strict=True))
            step, dtype = make(parameters, batches, request["options"]["lr"])
            return {"dtype": dtype, "losses": [float(step().item()) for _ in range(request["losses"])]}
        return {"seconds": time_calls(step, request["seconds"])}

    return answer


if __name__ == "__main__":
    serve(answer_with(MAKERS[sys.argv[1]]))
