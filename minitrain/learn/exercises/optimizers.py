"""The exercises of the track "Optimizers"."""

from __future__ import annotations

import functools

from minitrain.learn import check_inputs as cases
from minitrain.learn import training_runs as programs
from minitrain.learn.exercises.exercise import Exercise

_STATE = (
    "state keeps values from step to step, under torch's names, as Tensors of the parameter's shape. "
    "_buffer(state, name, param) returns the array of one of them, zeros at first. Write into it."
)

_IN_PLACE = "Write into param (param -= ...), and never into grad."

exercise = functools.partial(Exercise, track="Optimizers", given=())

EXERCISES = (
    exercise(
        name="sgd",
        title="Downhill, one small step",
        target="optim.SGD.update",
        level=1,
        minutes=10,
        why="All of training is this line, repeated. The other optimizers only choose the step more cleverly.",
        task="Support the options lr and weight_decay. The check does not use momentum, nesterov or maximize. "
        f"{_IN_PLACE}",
        notice="The curve jumps from batch to batch, but its trend is down: each step follows the gradient of one "
        "batch only.",
        hints=(
            "param -= lr * grad, with lr = options['lr'].",
            "`param = param - ...` makes a new array and does not change the model; `param -= ...` does change it.",
            "Add the weight decay to the gradient first: grad = grad + options['weight_decay'] * param. Do not use +=: "
            "it would change the model's gradient.",
        ),
        probes=(cases.SGD,),
        program=functools.partial(programs.classify, weight_decay=0.01),
        faults=("sgd-uphill", "sgd-rebinds-the-parameter", "sgd-decay-written-into-the-gradient"),
    ),
    exercise(
        name="momentum",
        title="A ball that keeps rolling",
        target="optim.SGD.update",
        level=2,
        minutes=15,
        builds_on=("sgd",),
        why="Steps in the same direction add up, and steps that swing back and forth cancel. That helps most in a "
        "narrow valley.",
        task="Support the options lr, weight_decay, momentum and dampening; without momentum, it is plain SGD. "
        f"{_STATE} The name is momentum_buffer. {_IN_PLACE}",
        notice="The first step is plain SGD's. Then the velocity grows, and the loss falls from 2.35 to below 1 in "
        "about 40 batches.",
        hints=(
            "buf = momentum · buf + g. In the first step there is no buffer yet: buf = g, without dampening.",
            'Before you call _buffer, note whether this is the first step: first = "momentum_buffer" not in state.',
            "buf = momentum * buf + grad makes a new array, and state does not keep it. buf *= momentum and buf += "
            "grad write into the one in state.",
            "buf += grad if first else (1 - dampening) * grad; then param -= lr * buf.",
        ),
        probes=(cases.MOMENTUM,),
        program=functools.partial(programs.classify, lr=0.1, momentum=0.9),
        faults=("sgd-momentum-not-kept", "sgd-first-gradient-dampened", "sgd-momentum-of-the-first-gradient"),
    ),
    exercise(
        name="nesterov",
        title="A ball that looks ahead",
        target="optim.SGD.update",
        level=2,
        minutes=10,
        builds_on=("momentum",),
        why="The ball will keep rolling anyway, so it is better to use the gradient at the place that it will reach. "
        "In these variables, that is one more term.",
        task=f"Support the options lr, momentum and nesterov. {_STATE} The name is momentum_buffer. {_IN_PLACE}",
        notice="The first step is 1.9 times plain SGD's: the gradient counts once as it is, and 0.9 times as velocity.",
        hints=(
            "The buffer is the same as for plain momentum. Only the step that uses it differs.",
            "With nesterov, the step is lr · (g + momentum · buf), with the new buf; without it, lr · buf.",
            "grad = grad + momentum * buf if options['nesterov'] else buf; param -= lr * grad",
        ),
        probes=(cases.NESTEROV,),
        program=functools.partial(programs.classify, lr=0.1, momentum=0.9, nesterov=True),
        faults=("sgd-nesterov-undamped", "sgd-nesterov-forgotten", "sgd-nesterov-always"),
    ),
    exercise(
        name="rmsprop",
        title="A step size for each weight",
        target="optim.RMSprop.update",
        level=2,
        minutes=15,
        builds_on=("sgd",),
        why="The step is divided by the usual size of the gradient. So all weights take steps of about the same size, "
        "whether their gradients are large or small.",
        task="Support the options lr, alpha, eps and weight_decay. The check does not use momentum, centered or "
        f"maximize. {_STATE} The name is square_avg. state['step'] counts the steps, as in torch: _buffer(state, "
        f"'step', STEP_0). {_IN_PLACE}",
        notice="The loss first rises, from 2.35 to 2.45: the average of the squares starts at 0, so the first step is "
        "ten times lr.",
        hints=(
            "step = _buffer(state, 'step', STEP_0); step += 1 then writes into it.",
            "square_avg *= alpha; square_avg += (1 - alpha) * grad * grad",
            "Add eps after the square root: avg = np.sqrt(square_avg) + eps. Then param -= lr * grad / avg.",
        ),
        probes=(cases.RMSPROP,),
        program=functools.partial(programs.classify, "RMSprop", lr=0.01),
        faults=("rmsprop-eps-inside-the-root", "rmsprop-square-forgotten", "rmsprop-step-not-counted"),
    ),
    exercise(
        name="rmsprop-variants",
        title="The variance instead of the square, and momentum",
        target="optim.RMSprop.update",
        level=3,
        minutes=15,
        builds_on=("rmsprop", "momentum"),
        why="The centered form divides the step by how much the gradient varies, not by how large it is. If the "
        "gradient stays the same, the steps become large.",
        task=f"Support the options lr, alpha, eps, momentum and centered. {_STATE} The names are square_avg, grad_avg "
        f"(if centered), momentum_buffer (with momentum), and step, which counts the steps. {_IN_PLACE}",
        notice="With centered=True the step is divided by a standard deviation, so gradients that hardly change give "
        "large steps.",
        hints=(
            "Start from your rmsprop. grad_avg is an average like square_avg, but of the gradient itself.",
            "centered: avg = np.sqrt(square_avg - grad_avg * grad_avg) + eps",
            "momentum_buffer = momentum · momentum_buffer + grad / avg, without lr. Then param -= lr * "
            "momentum_buffer.",
        ),
        probes=(cases.RMSPROP_MORE,),
        program=functools.partial(programs.classify, "RMSprop", lr=0.005, momentum=0.5, centered=True),
        faults=("rmsprop-adds-the-squared-mean", "rmsprop-momentum-unused"),
    ),
    exercise(
        name="adam",
        title="Two averages that start at zero",
        target="optim.Adam.update",
        level=3,
        minutes=20,
        builds_on=("rmsprop", "momentum"),
        why="Adam is RMSprop with momentum, plus a correction, because both averages start at 0. Without the "
        "correction, the first steps are several times too large.",
        task="Support the options lr, betas, eps and weight_decay. The check does not use amsgrad, maximize or "
        f"decoupled_weight_decay. {_STATE} The names are exp_avg, exp_avg_sq, and step, which counts the steps: "
        f"_buffer(state, 'step', STEP_0). {_IN_PLACE}",
        notice="With the corrections, the first step has the size lr in every coordinate, whether the gradient there "
        "is large or small.",
        hints=(
            "step = _buffer(state, 'step', STEP_0); step += 1 writes into it, and step.item() is the number. Count "
            "first, because 1 - beta^0 is 0.",
            "exp_avg is the average of g, with beta1. exp_avg_sq is the average of g², with beta2.",
            "denom = np.sqrt(exp_avg_sq) / math.sqrt(1 - beta2 ** step.item()) + eps. Add eps after the correction.",
            "param -= lr / (1 - beta1 ** step.item()) * exp_avg / denom",
        ),
        probes=(cases.ADAM,),
        program=functools.partial(programs.classify, "Adam", lr=0.01),
        faults=(
            "adam-first-average-uncorrected",
            "adam-second-average-uncorrected",
            "adam-eps-inside-the-root",
            "adam-betas-swapped",
        ),
    ),
    exercise(
        name="adamw",
        title="Weight decay that really decays the weights",
        target="optim.Adam.update",
        level=3,
        minutes=10,
        builds_on=("adam",),
        why="Adam adds the decay to the gradient, and then divides it by the square root too. So weights with large "
        "gradients hardly decay. AdamW shrinks the parameter itself.",
        task="The same function serves Adam and AdamW; here options['decoupled_weight_decay'] is True. Support the "
        f"options lr, betas, eps and weight_decay. {_STATE} The names are exp_avg, exp_avg_sq and step. {_IN_PLACE}",
        notice="The decay multiplies the parameter by 1 - lr · weight_decay in every step, and never passes through "
        "the averages.",
        hints=(
            "Start from your adam. Only one line changes: the one that applies the decay.",
            "Before the averages: param *= 1 - lr * weight_decay. The gradient does not change.",
            "if weight_decay != 0 and options['decoupled_weight_decay']: param *= 1 - lr * weight_decay",
        ),
        probes=(cases.ADAMW,),
        program=functools.partial(programs.classify, "AdamW", lr=0.01, weight_decay=0.1),
        faults=("adam-decay-without-lr", "adam-decay-coupled"),
    ),
)
