"""The exercises, in teaching order: a file for each track. learn/README.md shows how to add one."""

from __future__ import annotations

from minitrain.learn.exercises import (
    backward_passes,
    by_hand,
    convolution,
    embedding,
    find_the_bug,
    forward_passes,
    losses,
    normalization,
    numeric_gradients,
    optimizers,
    pooling,
    reading,
    regularization,
    schedules,
    tape,
    training,
)
from minitrain.learn.exercises.exercise import PACKAGE, Exercise, packed, unpacked

__all__ = ["EXERCISES", "PACKAGE", "Exercise", "packed", "unpacked"]

TRACKS = (
    forward_passes,
    backward_passes,
    tape,
    numeric_gradients,
    optimizers,
    training,
    losses,
    regularization,
    schedules,
    convolution,
    pooling,
    normalization,
    embedding,
    by_hand,
    reading,
    find_the_bug,
)
EXERCISES: dict[str, Exercise] = {exercise.name: exercise for track in TRACKS for exercise in track.EXERCISES}
