"""The exercises of the track "Reading": predict what backward does with a small program."""

from __future__ import annotations

import functools

from minitrain.learn import reading_inputs as cases
from minitrain.learn.exercises.exercise import Exercise

READ = (
    "Read program, and write down what it does, without running it. Return a plain dict or list, as the docstring of "
    "prediction says. The check then runs the program, and shows the first place where the two differ. Afterwards, run "
    "the program yourself and change it."
)

exercise = functools.partial(Exercise, track="Reading", program=None, task=READ)

EXERCISES = (
    exercise(
        name="read-shapes",
        title="Which shape has each gradient?",
        target="learn.reading.GradientShapes.prediction",
        level=1,
        minutes=5,
        builds_on=("sum-backward",),
        notice="Each gradient has the shape of its Tensor, however large the result was. So an optimizer can always "
        "subtract it.",
        why="If you know a gradient's shape in advance, you find half of all mistakes before the program runs.",
        hints=(
            "Which of the Tensors require a gradient? The others have none.",
            "Broadcasting repeats b, row and scale. Their gradients are added up again.",
            "Every .grad has the shape of its own Tensor: W is [3, 4]. A single number has the shape [].",
        ),
        probes=(cases.GRADIENT_SHAPES,),
        faults=(
            "read-shapes-of-the-batch",
            "read-shapes-of-the-data",
            "read-shapes-without-the-one",
            "read-shapes-transposed",
            "read-shapes-of-a-number",
        ),
    ),
    exercise(
        name="read-none-or-zero",
        title="None is not zero",
        target="learn.reading.NoneOrZero.prediction",
        level=2,
        minutes=10,
        builds_on=("relu-backward", "receive-grad", "read-shapes"),
        notice="None means that no gradient arrived; zero means that one arrived, and was 0. An optimizer skips the "
        "first; with momentum or weight decay, it may still move the second.",
        why="A parameter that does not learn has a .grad of None or of zeros. The two have different causes, and you "
        "look for them in different places.",
        hints=(
            "For each Tensor, ask two questions. Does the walk back from the loss arrive there? If so, what does it "
            "bring?",
            "A Tensor that the loss does not depend on, or only through detach(), is never reached: None.",
            "relu of a negative number, and a product with 0, are on the tape like everything else. What they send "
            "back is 0.",
            "Only leaves keep a .grad. h is the result of an operation.",
        ),
        probes=(cases.NONE_OR_ZERO,),
        faults=(
            "read-none-behind-relu",
            "read-zero-behind-detach",
            "read-zero-where-unused",
            "read-none-times-zero",
            "read-numbers-in-between",
        ),
    ),
    exercise(
        name="read-tape",
        title="What does print_tape show?",
        target="learn.reading.Tape.prediction",
        level=2,
        minutes=15,
        builds_on=("used-twice", "read-none-or-zero"),
        notice="The tape contains h once, and two operations send it a gradient. That is the whole difference between "
        "a chain and a graph.",
        why="print_tape lists what backward will visit. If you can predict it, you know what the library recorded "
        "while your program ran.",
        hints=(
            "Every operation with an input that requires a gradient is recorded. Which five are there?",
            "The list begins with the last operation, the sum. y = u * h was made just before it, so #2 is a "
            "MulBackward0.",
            "#2 sends its first gradient to the operation that made u, and its second to the one that made h.",
            "x requires no gradient: None. The leaves are numbered as the list meets them: first b, and then w.",
        ),
        probes=(cases.TAPE,),
        faults=(
            "read-tape-in-program-order",
            "read-tape-h-is-copied",
            "read-tape-data-gets-a-gradient",
            "read-tape-leaves-by-creation",
        ),
    ),
    exercise(
        name="read-order",
        title="In which order does backward go?",
        target="learn.reading.VisitingOrder.prediction",
        level=3,
        minutes=10,
        builds_on=("walk-back", "read-tape"),
        notice="The newest operation that waits always comes first. Nothing that was made later is left then, so each "
        "gradient is complete when its operation is visited.",
        why="A walk that visits an operation too early passes on only a part of its gradient. The order is the one "
        "thing that backward must get right.",
        hints=(
            "backward starts at the loss, and sees only what the loss was computed from.",
            "u was used by v and by s. Both must be visited before u.",
            "Of those that wait, the one that was made last is visited first. In the program it is nearest to the end.",
        ),
        probes=(cases.VISITING_ORDER,),
        faults=(
            "read-order-depth-first",
            "read-order-forward",
            "read-order-visits-all",
            "read-order-visits-twice",
        ),
    ),
)
