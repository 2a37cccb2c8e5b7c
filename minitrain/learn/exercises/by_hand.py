"""The exercises of the track "A network by hand": a complete network in NumPy alone, without the tape."""

from __future__ import annotations

import functools

from minitrain.learn import by_hand_inputs as cases
from minitrain.learn import training_runs as programs
from minitrain.learn.exercises.exercise import Exercise

SHAPES = (
    "Shapes: X (N, D), W1 (D, H), b1 (H,), W2 (H, C), b2 (C,). A weight has a row for each input, so X @ W1 needs no "
    "transpose."
)

exercise = functools.partial(Exercise, track="A network by hand", program=programs.by_hand)

EXERCISES = (
    exercise(
        name="hand-forward",
        title="Two products and a bend",
        target="learn.network_by_hand.forward_pass",
        level=1,
        minutes=10,
        builds_on=("relu-forward", "linear-forward"),
        notice="The network trains with your two lines of NumPy: its layers are nothing more than this.",
        why="A network is a function of arrays. In this track you write a complete one, with its training, without "
        "layers, a tape or an optimizer.",
        task='Return hidden, max(X W1 + b1, 0), and logits, hidden W2 + b2, as a tuple. parameters["W1"] is W1. '
        f"{SHAPES}",
        hints=(
            "The first layer is X @ W1 + b1. Broadcasting adds the bias (H,) to each row of (N, H).",
            "hidden = np.maximum(X @ parameters['W1'] + parameters['b1'], 0)",
            "The second layer has no ReLU: logits = hidden @ parameters['W2'] + parameters['b2']; return hidden, "
            "logits",
        ),
        probes=(cases.FORWARD_PASS,),
        faults=(
            "hand-without-relu",
            "hand-relu-before-the-bias",
            "hand-relu-at-the-output",
            "hand-forward-returns-logits-only",
        ),
    ),
    exercise(
        name="hand-loss",
        title="Where the way back begins",
        target="learn.network_by_hand.loss_and_gradient",
        level=2,
        minutes=15,
        builds_on=("log-softmax-forward", "nll-forward"),
        notice="The gradient at the logits is just p - 1 at the label and p elsewhere, divided by N: it is 0 when the "
        "network is sure and right.",
        why="Softmax, logarithm and mean look complicated. But together they have the simplest gradient of all: the "
        "probabilities minus the truth.",
        task="Return the loss as a number, and grad_logits, dL/d(logits), (N, C), as a tuple. logits is (N, C) and may "
        "be of any size, also 1000; labels (N,) are the right classes.",
        hints=(
            "log_probs = shifted - ln Σ exp(shifted), where shifted is logits minus the maximum of its row "
            "(keepdims=True).",
            "The loss is the mean of -log_probs[rows, labels], with rows = np.arange(len(labels)).",
            "dL/d(logits) is (p - 1) / N at the label and p / N elsewhere, with p = exp(log_probs).",
            "grad_logits = np.exp(log_probs); grad_logits[rows, labels] -= 1; return float(loss), grad_logits / "
            "len(labels)",
        ),
        probes=(cases.LOSS_AND_GRADIENT, cases.LARGE_LOGITS),
        faults=(
            "hand-loss-overflows",
            "hand-gradient-not-divided",
            "hand-gradient-without-the-one",
            "hand-gradient-of-the-label-only",
            "hand-loss-summed",
        ),
    ),
    exercise(
        name="hand-backward",
        title="Back through W2, the ReLU and W1",
        target="learn.network_by_hand.backward_pass",
        level=3,
        minutes=20,
        builds_on=("hand-forward", "hand-loss", "relu-backward", "matmul-backward"),
        notice="The loss falls as fast as with the tape, since these are the same numbers. The tape only saves you "
        "from writing this function for every network.",
        why="This is backpropagation: the gradient at the logits goes back through each layer, and leaves the "
        "gradients of that layer's parameters on its way.",
        task="grad_logits is dL/d(logits), (N, C), and hidden is what the forward pass returned, (N, H). Return the "
        f"gradients of W1, b1, W2 and b2 in a dict by these names. {SHAPES}",
        hints=(
            "Begin at the end. logits = hidden @ W2 + b2: which product of hidden (N, H) and grad_logits (N, C) has "
            "W2's shape (H, C)? And which one of grad_logits and W2 has hidden's shape?",
            "dL/dW2 = hidden.T @ grad_logits, dL/db2 = the sum of grad_logits over the rows, dL/d(hidden) = "
            "grad_logits @ W2.T.",
            "Through the ReLU, the gradient passes where hidden > 0: grad_sum = np.where(hidden > 0, grad_hidden, 0).",
            "The first layer is like the second: dL/dW1 = X.T @ grad_sum, dL/db1 = grad_sum.sum(axis=0).",
        ),
        probes=(cases.BACKWARD_PASS,),
        faults=(
            "hand-backward-without-relu",
            "hand-backward-mask-of-the-gradient",
            "hand-backward-bias-averaged",
            "hand-backward-transposed",
            "hand-backward-bias-of-the-first-row",
        ),
    ),
    exercise(
        name="hand-numeric",
        title="Is it right? Measure the whole network",
        target="learn.network_by_hand.numeric_gradients",
        level=2,
        minutes=15,
        builds_on=("move-and-look", "hand-forward", "hand-loss"),
        notice="The network of this run has 51 numbers, so each step needs 102 forward passes; the built-in model "
        "would need 2,420. backward_pass needs one.",
        why="A gradient that you wrote by hand needs a second opinion, and differences need nothing except the "
        "forward pass. Everybody who writes a backward pass writes this function, too.",
        task="Return the gradient of the loss for each parameter, measured by central differences, in a dict of arrays "
        "of the parameters' shapes. Move each number of each parameter up and down by 1e-6, and move it back before "
        "the next one.",
        hints=(
            "The loss is loss_and_gradient(forward_pass(parameters, X)[1], labels)[0]. forward_pass reads the arrays "
            "in parameters, so write into them.",
            "for name, array in parameters.items(): for index in np.ndindex(array.shape): array[index] is one number.",
            "before = array[index]; array[index] = before + step gives up, before - step gives down. Then "
            "array[index] = before.",
            "gradients[name][index] = (up - down) / (2 * step), with gradients[name] = np.zeros(array.shape) at first.",
        ),
        program=programs.by_hand_numerically,
        probes=(cases.NUMERIC_GRADIENTS,),
        faults=(
            "hand-numeric-does-not-restore",
            "hand-numeric-one-step",
            "hand-numeric-of-weights-only",
            "hand-numeric-sign",
        ),
    ),
    exercise(
        name="hand-update",
        title="A step of all parameters",
        target="learn.network_by_hand.update",
        level=1,
        minutes=5,
        builds_on=("sgd",),
        notice="One line is the whole optimizer. It works for any number of parameters, of any shape.",
        why="The gradients say which way is up, and the learning rate says how far to go down.",
        task="Move each parameter by -lr times its gradient. parameters and gradients are dicts by the same names. "
        "Nothing is returned, so the change must reach the dict parameters. Do not write into the gradients.",
        hints=(
            "for name, gradient in gradients.items(): ...",
            "W = W - ... gives a local name to a new array, and the dict keeps the old one.",
            "parameters[name] -= lr * gradient",
        ),
        probes=(cases.UPDATE,),
        faults=(
            "hand-update-uphill",
            "hand-update-rebinds",
            "hand-update-without-lr",
            "hand-update-of-weights-only",
        ),
    ),
    exercise(
        name="hand-train",
        title="A complete network, trained without the tape",
        target="learn.network_by_hand.train",
        level=3,
        minutes=15,
        builds_on=("hand-backward", "hand-update", "train-step"),
        notice="This curve was made by about thirty lines of NumPy. Everything else in a framework makes them "
        "shorter, faster, or safe to change.",
        why="Forward, loss, backward, update: the four calls of every training loop. Here all four are plain "
        "functions, so you can see what passes from one to the next.",
        task="In each epoch, take the rows in batches of batch_size, in order; the last batch may be smaller. For each "
        "batch: forward_pass, loss_and_gradient, backward_pass, update. Return the list of all losses, each from "
        "before its update.",
        hints=(
            "Two loops: over the epochs, and in it over start in range(0, len(X), batch_size).",
            "X[start : start + batch_size] is a batch; its labels are the same rows of labels. A slice may reach "
            "beyond the end.",
            "hidden, logits = forward_pass(parameters, batch); loss, grad_logits = loss_and_gradient(logits, "
            "batch_labels)",
            "gradients = backward_pass(parameters, batch, hidden, grad_logits); update(parameters, gradients, lr); "
            "losses.append(loss). At the end, after both loops: return losses.",
        ),
        probes=(cases.TRAIN,),
        faults=(
            "hand-train-drops-the-last-batch",
            "hand-train-without-update",
            "hand-train-loss-after-the-update",
            "hand-train-one-epoch",
            "hand-train-returns-early",
        ),
    ),
)
