"""Grades folders of answers: checks each answer as `minitrain learn check` does, several at a time.

Each answer is checked in a process of its own below a worker process (grade_process.py). Whatever a student's code
does, it ends with a line in the table, and the other answers are checked as if it were not there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from minitrain.learn.exercises import PACKAGE
from minitrain.learn.submissions import Answer, students_in
from minitrain.learn.workspace import LearnUsageError
from minitrain.runs.environment import cpus
from minitrain.runs.messages import one_line

if TYPE_CHECKING:
    from minitrain.learn.exercises import Exercise
    from minitrain.learn.screen import Screen

FORMAT = "minitrain grade 1"
LIMIT = 10.0  # seconds for each stage of a check
PATIENCE = 120.0  # seconds beyond the limits of the stages, then the worker is ended
GRACE = 3.0  # seconds in which a worker can end the process that it has started
FURTHER = ("Or:", "Also:", "Output:", "Finding out why")  # how the lines after a diagnosis begin
LONGEST_LINE = 160  # characters of the table, where it is not printed on a terminal

Status = Literal["passed", "failed", "not started", "missing", "unreadable"]


@dataclasses.dataclass(frozen=True)
class Grade:
    """The result of an exercise of a student.

    place: the file or cell; "" if it is missing. stage: where it failed, "" otherwise. diagnosis: in one line.
    text: the report of that stage. points: what it gets, of so many.
    """

    exercise: str
    place: str
    status: Status
    stage: str
    diagnosis: str
    text: str
    points: int
    of: int
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every stage passed."""
        return self.status == "passed"


Grades = dict[str, list[Grade]]  # by student


def grade(
    folder: Path,
    exercises: Mapping[str, Exercise],
    points: Mapping[str, int] | None = None,
    *,
    limit: float = LIMIT,
    torch: bool = True,
    one: bool = False,
) -> Grades:
    """Grade one student's folder, or each folder in it; shows a progress bar on a terminal.

    points: the exercises that count, and their points; None: those that any student handed in, with 1 point each.
    limit: the time limit of each stage of a check, in seconds. torch: whether to compare with torch, if installed.
    one: grade one student only, for Gradescope.
    Raises LearnUsageError if there is nothing to grade, or more than one.
    """
    from tqdm import tqdm

    if not folder.is_dir():
        raise LearnUsageError(f"{folder} is not a folder" if folder.exists() else f"there is no folder {folder}")
    students = students_in(folder, exercises)
    if one and len(students) != 1:
        raise LearnUsageError(f"Gradescope grades one submission, but {folder} has {len(students)} students' folders")
    handed_in = {answer.exercise for answers in students.values() for answer in answers}
    counted = points or {name: 1 for name in exercises if name in handed_in}
    tasks = [
        (student, answer)
        for student, answers in students.items()
        for answer in answers
        if answer.exercise in counted and answer.started and answer.source is not None
    ]
    checked: dict[tuple[str, str], list[Grade]] = {}
    with (
        tqdm(total=len(tasks), unit="check", disable=None, leave=False) as bar,
        contextlib.closing(_check_all(tasks, limit, torch)) as results,
    ):
        for student, answer, stages, seconds in results:
            result = _graded(answer, stages, counted[answer.exercise], seconds)
            checked.setdefault((student, answer.exercise), []).append(result)
            bar.update()
    return {
        student: [
            _best(checked.get((student, name), []), [x for x in answers if x.exercise == name], name, worth)
            for name, worth in counted.items()
        ]
        for student, answers in students.items()
    }


def _graded(answer: Answer, stages: Sequence[Mapping[str, Any]], worth: int, seconds: float) -> Grade:
    last = stages[-1]
    text, passed = str(last["text"]), bool(last["passed"])
    return Grade(
        answer.exercise,
        answer.place,
        "passed" if passed else "failed",
        "" if passed else str(last["name"]),
        "" if passed else diagnosis(text),
        "" if passed else text,
        worth if passed else 0,
        worth,
        round(seconds, 2),
    )


def _best(results: Sequence[Grade], answers: Sequence[Answer], name: str, worth: int) -> Grade:
    """The grade of an exercise: of several answers, such as a file and a notebook's cell, one that passed counts."""
    if results:
        return next((result for result in results if result.passed), results[-1])
    for answer in answers:
        if answer.source is None:
            return Grade(name, answer.place, "unreadable", "file", answer.trouble, answer.trouble, 0, worth, 0.0)
    place = answers[0].place if answers else ""
    return Grade(name, place, "not started" if answers else "missing", "", "", "", 0, worth, 0.0)


def diagnosis(text: str) -> str:
    """A stage's report in a line: the likely mistake, if the report knows one, or else all of it but the case."""
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.strip().startswith("Likely:"):
            rest = lines[number + 1 :]
            deep = _indent(line)
            ends = [i for i, x in enumerate(rest) if x.lstrip().startswith(FURTHER) or 0 < deep >= _indent(x)]
            return one_line("\n".join([line, *rest[: min(ends, default=len(rest))]])).removeprefix("Likely: ")
    return one_line("\n".join(line for line in lines if not line.startswith("Case: ")))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


# --- the workers ------------------------------------------------------------------------------------------------------

Checked = tuple[str, Answer, list[dict[str, Any]], float]


def _check_all(tasks: Sequence[tuple[str, Answer]], limit: float, torch: bool) -> Generator[Checked]:
    """Check the answers in as many worker processes as there are CPUs; yields each result as soon as it is known.

    Ends the workers, and what they have started, when it is closed.
    """
    count = min(cpus(), len(tasks))
    workers = [Worker() for _ in range(count)]
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    results: queue.SimpleQueue[Checked | BaseException] = queue.SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def run(student: str, answer: Answer) -> None:
        worker = idle.get()
        began = time.monotonic()
        try:
            results.put((student, answer, worker.check(answer, limit, torch), time.monotonic() - began))
        except BaseException as error:
            results.put(error)
        finally:
            idle.put(worker)

    pool = ThreadPoolExecutor(max(count, 1))
    try:
        for student, answer in tasks:
            pool.submit(run, student, answer)
        for _ in tasks:
            result = results.get()
            if isinstance(result, BaseException):
                raise result
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.close()
        pool.shutdown()


class Worker:
    """A process that checks one answer after another, and is started again if an answer brings it down."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._closed = False
        self._lock = threading.Lock()

    def check(self, answer: Answer, limit: float, torch: bool) -> list[dict[str, Any]]:
        """The stages of the check of an answer, as far as it came."""
        process = self._running()
        if process is None or process.stdin is None or process.stdout is None:
            return [_broken("the check was interrupted")]
        request = {
            "exercise": answer.exercise,
            "name": answer.name,
            "source": answer.source,
            "limit": limit,
            "torch": torch,
        }
        timer = threading.Timer(4 * limit + PATIENCE, self.end)
        timer.daemon = True
        timer.start()
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            stages: list[dict[str, Any]] = json.loads(process.stdout.readline())
        except (OSError, ValueError):  # it has ended, within the answer or before it
            self.end()
            return [
                _broken(f"the process of the check ended with status {process.returncode}; is the code very large?")
            ]
        finally:
            timer.cancel()
        return stages

    def _running(self) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._closed:
                return None
            if self._process is None or self._process.poll() is not None:
                paths = [str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-X", "utf8", str(Path(__file__).with_name("grade_process.py"))],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    encoding="utf-8",
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
                    start_new_session=True,  # Ctrl-C is for the command alone
                )
            return self._process

    def close(self) -> None:
        """End the process, and start no other."""
        with self._lock:
            self._closed = True
        self.end()

    def end(self) -> None:
        """End the process, which first ends the process that it has started."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(OSError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # the rest of a request cannot be written any more
                if stream is not None:
                    stream.close()


def _broken(text: str) -> dict[str, Any]:
    return {"name": "file", "passed": False, "text": text}


# --- the results ------------------------------------------------------------------------------------------------------


def show(grades: Grades, screen: Screen) -> None:
    """Print the table: who, what, whether it passed, at which stage it failed, the diagnosis; then the sums."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else LONGEST_LINE
    who = max(map(len, [*grades, "student"]))
    what = max([len(result.exercise) for results in grades.values() for result in results] + [len("exercise")])
    screen.print(f"{'student':<{who}}  {'exercise':<{what}}  {'result':<11}  {'stage':<9}  diagnosis")
    for student, results in grades.items():
        for result in results:
            line = f"{student:<{who}}  {result.exercise:<{what}}  "
            status = screen.paint(f"{result.status:<11}", "green" if result.passed else "red")
            room = max(width - len(line) - 24 - 1, 20)
            told = textwrap.shorten(result.diagnosis, room, placeholder=" ...")
            screen.print(f"{line}{status}  {result.stage:<9}  {told}".rstrip())
    screen.print()
    for student, results in grades.items():
        passed, points, of = _sums(results)
        screen.print(f"{student:<{who}}  {passed} of {len(results)} passed, {points} of {of} points")


def _sums(results: Sequence[Grade]) -> tuple[int, int, int]:
    """How many passed, the points, and the most that could be."""
    return sum(x.passed for x in results), sum(x.points for x in results), sum(x.of for x in results)


def as_json(grades: Grades, version: str) -> dict[str, Any]:
    """The grades as JSON values."""
    students = []
    for student, results in grades.items():
        passed, points, of = _sums(results)
        exercises = [dataclasses.asdict(result) for result in results]
        students.append({"student": student, "passed": passed, "points": points, "of": of, "exercises": exercises})
    return {"format": FORMAT, "minitrain": version, "students": students}


def as_gradescope(grades: Grades, exercises: Mapping[str, Exercise]) -> dict[str, Any]:
    """The grades of the only student in the format of Gradescope's results.json.

    Source: https://gradescope-autograders.readthedocs.io/en/latest/specs/, "Output Format".
    """
    (results,) = grades.values()
    passed, points, _ = _sums(results)
    return {
        "score": points,
        "output": f"{passed} of {len(results)} exercises passed",
        "output_format": "text",
        "visibility": "visible",
        "execution_time": round(sum(result.seconds for result in results)),
        "tests": [
            {
                "name": f"{result.exercise}: {exercises[result.exercise].title}",
                "score": result.points,
                "max_score": result.of,
                "status": "passed" if result.passed else "failed",
                "output": result.text or result.status,
                "output_format": "text",
                "visibility": "visible",
            }
            for result in results
        ],
    }
