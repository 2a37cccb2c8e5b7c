"""The exercises of the track "Learning rate schedules"."""

from __future__ import annotations

import functools

from minitrain.learn import further_inputs as cases
from minitrain.learn import training_runs as programs
from minitrain.learn.exercises.exercise import Exercise

RATES = (
    "self.last_epoch is the epoch that begins, from 0. lr is the rate of the epoch before, base_lr the one of epoch 0. "
    "At epoch 0, lr is base_lr."
)

exercise = functools.partial(Exercise, track="Learning rate schedules", given=("__init__",))

EXERCISES = (
    exercise(
        name="step-lr",
        title="Smaller steps, stage by stage",
        target="optim.lr_scheduler.StepLR.next_lr",
        level=1,
        minutes=10,
        builds_on=("sgd",),
        notice="In the last stage each step is a quarter as long as in the first. The curve hardly falls any more: "
        "what is left of its jumps is how much the batches differ.",
        why="Large steps bring you near the valley, and small ones to its bottom. The oldest schedule just makes the "
        "steps smaller from time to time.",
        task="Return the rate of this epoch: every self.step_size epochs, the rate before is multiplied by self.gamma. "
        f"{RATES} Compute it from lr, so that a rate that the program has set in between is kept.",
        hints=(
            "self.last_epoch % self.step_size is 0 in epochs 0, step_size, 2 · step_size, ...",
            "In epoch 0 nothing is multiplied yet.",
            "lr * self.gamma if self.last_epoch > 0 and self.last_epoch % self.step_size == 0; otherwise lr.",
        ),
        probes=(cases.STEP_LR,),
        program=functools.partial(programs.schedule, "StepLR", step_size=40, gamma=0.5),
        faults=(
            "step-lr-every-epoch",
            "step-lr-at-once",
            "step-lr-from-the-initial-rate",
            "step-lr-one-too-late",
            "step-lr-subtracts",
        ),
    ),
    exercise(
        name="cosine",
        title="Down along a wave",
        target="optim.lr_scheduler.CosineAnnealingLR.next_lr",
        level=2,
        minutes=10,
        builds_on=("step-lr",),
        notice="The rate falls slowly at first, then fast, then slowly again, so the last steps of the training are "
        "the smallest.",
        why="No stages to choose, only the end: the rate follows half a cosine wave from its first value to the last. "
        "Most large models are trained like this.",
        task="Return the rate of this epoch: eta_min + (base_lr - eta_min) · (1 + cos(π · epoch / T_max)) / 2. "
        f"{RATES} The library computes it from lr, so that several schedulers can act on one optimizer. The check only "
        "wants the formula, also for epochs after T_max.",
        hints=(
            "epoch is self.last_epoch. The others are self.T_max and self.eta_min.",
            "math.cos takes radians: math.cos(math.pi * self.last_epoch / self.T_max) falls from 1 to -1.",
            "(1 + cos) / 2 falls from 1 to 0. It is multiplied by base_lr - eta_min, so that the rate begins at "
            "base_lr.",
        ),
        probes=(cases.COSINE,),
        program=functools.partial(programs.schedule, "CosineAnnealingLR", T_max=120),
        faults=(
            "cosine-not-halved",
            "cosine-in-degrees",
            "cosine-eta-min-added",
            "cosine-of-the-rate-before",
            "cosine-a-whole-wave",
            "cosine-stops-at-the-minimum",
        ),
    ),
)
