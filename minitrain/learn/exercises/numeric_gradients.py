"""The exercises of the track "Numeric gradients": derivatives by finite differences."""

from __future__ import annotations

import functools

from minitrain.learn import check_inputs as cases
from minitrain.learn import training_runs as programs
from minitrain.learn.exercises.exercise import Exercise

exercise = functools.partial(Exercise, track="Numeric gradients")

EXERCISES = (
    exercise(
        name="move-and-look",
        title="A derivative without any calculus",
        target="diagnosis.finite_differences._Measured.around",
        given=("value", "step"),
        level=1,
        minutes=10,
        why="You can try out what a derivative means: change a number a little, and see how the results change. Every "
        "gradient in these exercises is compared with such a measurement.",
        task="flat[j] is the number (or numbers) to move. Return self.value() after moving it up by step, "
        "self.value() after moving it down by step, and the distance between the two positions: the upper flat[j] "
        "minus the lower one, as they were rounded. Then restore flat[j], even if value() raises.",
        notice="The network of this curve learned without any backward pass: every one of its gradients was measured "
        "with your piece.",
        hints=(
            "before = flat[j] remembers the number. flat[j] = before + step; then up = self.value().",
            "The distance is not exactly 2 · step, because before + step is rounded. Read flat[j] after each move.",
            "try: ... finally: flat[j] = before restores it whatever happens.",
        ),
        probes=(cases.AROUND, cases.MEASURED),
        program=programs.by_differences,
        faults=("around-moves-one-way", "around-does-not-restore", "around-distance-doubled"),
    ),
    exercise(
        name="central-differences",
        title="The whole Jacobian, entry by entry",
        target="diagnosis.finite_differences._Measured.jacobian",
        given=("value", "step", "around"),
        level=2,
        minutes=10,
        builds_on=("move-and-look",),
        why="Measuring n derivatives takes 2 n runs of the function; one backward gives all of them. That is why "
        "backpropagation was worth inventing, and why differences are used only for checking.",
        task="Return dy/dx, (x.size, y.size). Row j holds the derivatives of all results with respect to entry j of "
        "array. self.around(array.flat, j, step) moves the entry and measures; self.step(x) is how far to move x.",
        notice="The curve starts at 1.1, which is ln 3 for three equally likely digits, and falls with measured "
        "gradients alone.",
        hints=(
            "One row for each j in range(array.size).",
            "up, down, distance = self.around(array.flat, j, self.step(float(array.flat[j])))",
            "Row j is (up - down) / distance. self.value().size is the number of results.",
        ),
        probes=(cases.MEASURED,),
        program=programs.by_differences,
        faults=("jacobian-one-sided-distance", "jacobian-sign"),
    ),
)
