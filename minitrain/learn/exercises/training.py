"""The exercises of the track "Training": loops and initial weights."""

from __future__ import annotations

import functools

from minitrain.learn import check_inputs as cases
from minitrain.learn import training_runs as programs
from minitrain.learn.exercises.exercise import Exercise
from minitrain.nn import init

exercise = functools.partial(Exercise, track="Training")

EXERCISES = (
    exercise(
        name="train-step",
        title="Three lines in the right order",
        target="loops.train_loop",
        gap=("loss.backward()", "optimizer.zero_grad()"),
        level=1,
        minutes=5,
        builds_on=("zero-grad", "sgd"),
        why="Every training program has these three lines. If two of them are swapped, it still trains, a little "
        "worse, and nobody knows why.",
        task="Run backward from the loss, take an optimizer step, and clear the gradients.",
        notice="Five batches gave five backwards and five steps: each gradient was used once, and then cleared.",
        hints=(
            "The loss is a Tensor; it knows which operations produced it.",
            "The optimizer has one method that updates all parameters, and one that clears all gradients.",
            "loss.backward(); optimizer.step(); optimizer.zero_grad()",
        ),
        probes=(cases.TRAIN_LOOP,),
        faults=("train-loop-without-zero-grad", "train-loop-steps-first", "train-loop-clears-too-early"),
    ),
    exercise(
        name="train-loop",
        title="The training loop",
        target="loops.train_loop",
        level=2,
        minutes=15,
        builds_on=("train-step",),
        why="This is the tutorial's loop, and everybody's. It works with minitrain's objects and with torch's.",
        task="Put the model in training mode. Then, for each batch: predict, compute the loss, call "
        "observer.before_update(batch, X, y, loss), run backward, step, clear the gradients, and call "
        "observer.after_update(batch, loss, current, size). current is how many samples of the pass have been used so "
        "far, and size is how many there are.",
        notice="The losses agree to many digits with the library's: the same batches in the same order give the same "
        "training.",
        hints=(
            "Start with model.train(). Then: for batch, (X, y) in enumerate(dataloader, start=first_batch):",
            "pred = model(X); loss = loss_fn(pred, y). The prediction comes first, the label second.",
            "After before_update: loss.backward(); optimizer.step(); optimizer.zero_grad()",
            "size is len(dataloader.dataset), current is batch * dataloader.batch_size + len(X).",
        ),
        probes=(cases.TRAIN_LOOP,),
        faults=(
            "train-loop-without-step",
            "train-loop-in-evaluation-mode",
            "train-loop-with-softmax",
            "train-loop-counts-too-few",
            "train-loop-restarts-its-count",
        ),
    ),
    exercise(
        name="test-loop",
        title="How good is it?",
        target="loops.test_loop",
        level=2,
        minutes=10,
        builds_on=("train-step",),
        why="What counts is the accuracy on data that the model has never seen, measured in evaluation mode.",
        task="Return the accuracy (the fraction of correct answers, from 0 to 1) and the mean of the batches' losses, "
        "both as numbers. Also pass the two to observer.after_test. The model's answer is the class with the largest "
        "score.",
        notice="This curve is smoother than a training curve: each point is the mean loss over the same 500 unseen "
        "images.",
        hints=(
            "Start with model.eval(). Divide the sum of the losses by the number of batches, and the number of correct "
            "answers by the number of samples.",
            "pred.argmax(1) are the answers; (pred.argmax(1) == y).sum().item() is how many are correct.",
            "accuracy, test_loss = correct / len(dataloader.dataset), test_loss / len(dataloader)",
        ),
        probes=(cases.TEST_LOOP,),
        program=programs.tested,
        faults=("test-loop-takes-the-worst-class", "test-loop-averages-over-samples", "test-loop-in-training-mode"),
    ),
    exercise(
        name="xavier",
        title="How large should the initial weights be?",
        target="nn.init.xavier_uniform_",
        level=1,
        minutes=10,
        why="If the weights are too large, the signal grows with every layer; if they are too small, it dies out. This "
        "bound is a compromise that keeps the signal's size about constant, forward and backward.",
        task="Fill the Tensor in place with uniform numbers within ±gain · √(6 / (fan_in + fan_out)), drawn from the "
        "generator, and return it. _fans(tensor) returns fan_in and fan_out.",
        notice="All weights lie between -√(6 / (fan_in + fan_out)) and √(6 / (fan_in + fan_out)): ±0.245 for the "
        "weight (40, 60).",
        hints=(
            "fan_in, fan_out = _fans(tensor): how many inputs feed one output, and how many outputs one input feeds.",
            "Numbers that are uniform within ±bound have the variance bound² / 3. That is why there is a 6, and not a "
            "2.",
            "return uniform_(tensor, -bound, bound, generator)",
        ),
        probes=(cases.XAVIER_UNIFORM,),
        program=functools.partial(programs.classify, initialise=init.xavier_uniform_),
        faults=("xavier-without-gain", "xavier-of-fan-in-only", "xavier-positive"),
    ),
    exercise(
        name="kaiming",
        title="Initial weights before a ReLU",
        target="nn.init.kaiming_uniform_",
        level=2,
        minutes=10,
        builds_on=("xavier",),
        why="A ReLU drops half of the signal, so the weights before it must be larger by √2. (torch's own Linear uses "
        "this function with a = √5, which undoes that.)",
        task="Fill the Tensor in place with uniform numbers within ±gain · √(3 / fan), drawn from the generator, and "
        "return it. For mode fan_in, fan is the first of _fans(tensor); for fan_out, the second. The gain depends on "
        "the nonlinearity and on a. Leave a Tensor without elements as it is.",
        notice="The bound √(6 / fan_in) is 0.316 for the weight (40, 60), and with a = √5 it shrinks to 1 / √fan_in.",
        hints=(
            "calculate_gain(nonlinearity, a) is the gain.",
            "_kaiming_std(tensor, a, mode, nonlinearity) is gain / √fan already. What is missing for uniform numbers?",
            "bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity); uniform_(tensor, -bound, bound, "
            "generator)",
        ),
        probes=(cases.KAIMING_UNIFORM,),
        faults=("kaiming-bound-is-the-deviation", "kaiming-like-xavier", "kaiming-ignores-the-mode"),
    ),
    exercise(
        name="linear-parameters",
        title="The initial parameters of a layer",
        target="nn.layers.Linear.reset_parameters",
        given=("__init__",),
        level=2,
        minutes=10,
        builds_on=("kaiming",),
        why="The same seed gives the same network here and in torch, because both draw the same numbers in the same "
        "order: first the weight, then the bias.",
        task="Fill self.weight and self.bias in place with uniform numbers within ±1/√in_features. The bias may be "
        "None, and in_features may be 0.",
        notice="The first loss of your run and of the library's are equal, because both drew the same numbers in the "
        "same order.",
        hints=(
            "init.kaiming_uniform_(self.weight, a=...) with a = √5 has the bound 1/√in_features, because its gain is "
            "√(1/3). That is how torch writes it; init.uniform_ works, too.",
            "If there is a bias: init.uniform_(self.bias, -bound, bound), after the weight.",
            "bound = 1 / math.sqrt(self.in_features) if self.in_features else 0",
        ),
        probes=(cases.RESET_PARAMETERS,),
        faults=("linear-bias-drawn-positive", "linear-weight-drawn-too-wide", "linear-bias-drawn-too-narrow"),
    ),
)
