"""What an exercise is: a piece of the library that the learner writes, and how it is checked."""

from __future__ import annotations

import dataclasses
import functools
import io
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minitrain.learn import training_runs as programs
from minitrain.learn.check_inputs import OPERATIONS
from minitrain.learn.measurements import Probe, nan_in_new_memory
from minitrain.learn.splice import Piece, body_of, find_piece, learner_file
from minitrain.mistakes.catalogue import CATALOGUE
from minitrain.ops import Array

PACKAGE = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True)
class Exercise:
    """One exercise: a piece of the library that the learner writes.

    name: lower case, with dashes; it also names the learner's file. track: the group of exercises that it belongs to.
    title: a few words. target: the piece, for example "ops.ReLU.backward".
    level: 1 (a first step) to 3 (needs thought). minutes: about how long it takes. builds_on: the names of exercises
        whose idea it uses, all of them earlier ones.
    notice: one sentence on what to notice after a pass: what the curve or the numbers show.
    why: what the piece is good for, in a sentence or two.
    task: what to write; what the check requires beyond the docstring, and what it does not require.
    hints: from a nudge to nearly the answer. notice: what a pass shows, in a sentence.
    faults: wrong solutions: names of mistakes in the catalogue, made in the target. Each must fail the check.
    probes: what the check computes with the piece, see measurements.py; (): the cases of check_inputs.py for its
        operation. program: the training run at the end of the check; None if
        nothing can be trained with the piece.
    given: the names of the class's other methods to show; None shows all.
    gap: how the learner's first and last statements begin; None: the learner writes the whole body.
    bug: the mistake of the catalogue that the learner's file contains; "": the body is left out.
    script: the code that runs when the learner runs the file.
    """

    name: str
    track: str
    title: str
    target: str
    level: Literal[1, 2, 3]
    minutes: int
    why: str
    task: str
    hints: tuple[str, ...]
    faults: tuple[str, ...]
    builds_on: tuple[str, ...] = ()
    notice: str = ""
    probes: tuple[Probe, ...] = ()
    program: Callable[[], programs.Losses] | None = programs.classify
    given: tuple[str, ...] | None = None
    gap: tuple[str, str] | None = None
    bug: str = ""
    script: str = ""

    def __post_init__(self) -> None:
        if not self.probes:
            object.__setattr__(self, "probes", (OPERATIONS[self.target.split(".")[1]],))

    @functools.cached_property
    def piece(self) -> Piece:
        """The piece in the library's source."""
        return find_piece(PACKAGE, self.target)

    def stub(self) -> str:
        """The learner's file before any work is done on it."""
        if self.bug:
            return self.wrong(self.bug)
        return self.with_body(f'raise NotImplementedError("write this part of {self.piece.name}")')

    def solution(self) -> str:
        """The same file with the library's body."""
        return self.with_body(body_of(self.piece, self.gap))

    def wrong(self, mistake: str) -> str:
        """The same file with a mistake of the catalogue."""
        return self.with_body(CATALOGUE[mistake].body, whole=True)

    def with_body(self, body: str, *, whole: bool = False) -> str:
        """The same file with another body.

        whole: replace the whole body, even where the learner writes only a part of it.
        """
        check = f"Check it: minitrain learn check {self.name}\nStuck?    minitrain learn hint {self.name}"
        script = textwrap.indent(textwrap.dedent(self.script).strip(), "    ")
        parts = [f"{self.name}: {self.title}", *[textwrap.fill(text, 100) for text in (self.why, self.task)], check]
        return learner_file(
            self.piece,
            body,
            introduction="\n\n".join(parts),
            given=self.given,
            gap=None if whole else self.gap,
            program=f'if __name__ == "__main__":\n{script}' if script else "",
        )

    def arrays(self) -> dict[str, Array]:
        """The results of the probes. An exception has those before it as its `arrays`."""
        arrays: dict[str, Array] = {}
        with np.errstate(all="ignore"):
            try:
                for probe in self.probes:
                    arrays.update(probe.arrays())
            except Exception as error:
                error.arrays = arrays  # type: ignore[attr-defined]
                raise
        return arrays

    @functools.cached_property
    def expected(self) -> dict[str, Array]:
        """The results with the library's piece."""
        return self.arrays()

    @functools.cached_property
    def expected_losses(self) -> programs.Losses:
        """The losses of the training run with the library's piece."""
        return self.program() if self.program is not None else []

    def run(self, stage: str) -> tuple[dict[str, Any], bytes]:
        """The answer of a child process: "values" and "training" use the learner's piece, "torch" uses torch."""
        if stage == "training":
            return {"losses": self.program() if self.program is not None else []}, b""
        if stage == "torch":
            from minitrain.with_torch import exercise_references as twins

            return {}, packed({label: array for probe in self.probes for label, array in probe.twin(twins)})
        with nan_in_new_memory(str(PACKAGE)) as lines:
            answer, arrays = self._values()
        return {**answer, "new_memory": lines[-1:]}, arrays

    def _values(self) -> tuple[dict[str, Any], bytes]:
        try:
            arrays = packed(self.arrays())
        except RuntimeError:  # a report may know the mistake that made it raise
            wrong = next((found.wrong for probe in self.probes if (found := probe.report()).wrong is not None), None)
            if wrong is None:
                raise
            return {"wrong": wrong}, b""
        right, measured = [], 0
        for probe in self.probes:
            found = probe.report()
            if found.wrong is not None:
                return {"wrong": found.wrong}, arrays
            right += [found.right] if found.right else []
            measured += found.measured
        return {"wrong": None, "right": "\n".join(right), "measured": measured}, arrays


def packed(arrays: Mapping[str, Array]) -> bytes:
    """The arrays in NumPy's file format."""
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def unpacked(data: bytes) -> dict[str, Array]:
    """The arrays that packed() wrote."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)
