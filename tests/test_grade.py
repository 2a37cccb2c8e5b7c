"""Grading: what counts as an answer, what is reported for it, and that no answer can harm the others."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from minitrain.learn.assignment import exercises_in, read_assignment, write_assignment
from minitrain.learn.exercises import EXERCISES
from minitrain.learn.grade import as_gradescope, as_json, diagnosis, grade
from minitrain.learn.submissions import students_in
from minitrain.learn.workspace import LearnUsageError, find
from minitrain.learn.write_notebook import as_text
from tests.test_cli import minitrain

RELU, NEG = EXERCISES["relu-backward"], EXERCISES["neg-backward"]


def answer(body: str) -> str:
    """neg-backward's file with this body, in one line."""
    stub = NEG.stub()
    return stub.replace('raise NotImplementedError("write this part of Neg.backward")', body)


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


# --- what was handed in -----------------------------------------------------------------------------------------------


def test_a_folder_with_exercises_is_one_students(tmp_path: Path) -> None:
    put(tmp_path / "ann" / "relu_backward.py", RELU.stub())
    put(tmp_path / "bob" / "backward_passes" / "relu_backward.py", RELU.stub())
    put(tmp_path / "notes.txt", "")
    assert list(students_in(tmp_path / "ann", EXERCISES)) == ["ann"]
    assert list(students_in(tmp_path / "bob", EXERCISES)) == ["bob"]
    assert {name: len(found) for name, found in students_in(tmp_path, EXERCISES).items()} == {"ann": 1, "bob": 1}


def test_renamed_files_and_notebooks_are_found_and_copies_count_once(tmp_path: Path) -> None:
    put(tmp_path / "ann" / "late_4711_homework.py", NEG.solution())
    put(tmp_path / "ann" / "deep" / "below" / "relu-backward.py", RELU.solution())
    put(tmp_path / "ann" / "mine.ipynb", as_text(RELU.track, [RELU], solved=True))
    put(tmp_path / "ann" / ".ipynb_checkpoints" / "relu_backward.py", RELU.stub())
    put(tmp_path / "ann" / "damaged.ipynb", "{")
    put(tmp_path / "ann" / "helper.py", "x = 1\n")
    found = students_in(tmp_path, EXERCISES)["ann"]
    places = {(x.exercise, x.place) for x in found}
    assert places == {("neg-backward", "late_4711_homework.py"), ("relu-backward", "deep/below/relu-backward.py")}


def test_in_a_notebook_the_last_definition_above_the_check_counts(tmp_path: Path) -> None:
    cells = ["class ReLU: 1\n", "class ReLU: 2\n", "check('relu-backward', ReLU)", "class ReLU: 3\n"]
    content = {"cells": [{"cell_type": "code", "source": [cell]} for cell in cells]}
    put(tmp_path / "mine.ipynb", json.dumps(content))
    ((only,),) = students_in(tmp_path, EXERCISES).values()
    assert (only.place, only.source, only.started) == ("mine.ipynb, cell 2", "class ReLU: 2\n", True)


def test_an_untouched_notebook_is_not_started(tmp_path: Path) -> None:
    put(tmp_path / "mine.ipynb", as_text("Find the bug", [EXERCISES["hunt-bias"], EXERCISES["hunt-nan"]]))
    (found,) = students_in(tmp_path, EXERCISES).values()
    assert [x.started for x in found] == [False, False]


def test_what_cannot_be_read_is_reported_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "relu_backward.py")
    (tmp_path / "neg_backward.py").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "exp_backward.py").mkdir()
    (tmp_path / "mul_backward.py").write_bytes(b"#" * (2**20 + 1))
    (tmp_path / "sgd.py").symlink_to("/etc/passwd")
    (found,) = students_in(tmp_path, EXERCISES).values()
    troubles = {x.exercise: x.trouble for x in found}
    assert all(x.source is None for x in found)
    assert troubles["relu-backward"].startswith("cannot be read: It is not a file, but a pipe")
    assert troubles["neg-backward"] == "cannot be read: it is not UTF-8 text"
    assert troubles["exp-backward"] == "cannot be read: Is a directory"
    assert troubles["mul-backward"].startswith("cannot be read: it has more than 1,048,576 bytes")
    assert troubles["sgd"] == "cannot be read: it is a link to another file"
    grades = grade(tmp_path, EXERCISES)
    assert {x.status for x in grades[tmp_path.name]} == {"unreadable"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no folder "),
        (lambda path: path.write_text(""), " is not a folder"),
        (lambda path: path.mkdir(), "there are no exercises in "),
        (lambda path: put(path / "ann" / "notes.txt", ""), "there are no exercises in "),
    ],
)
def test_a_folder_without_exercises_is_refused(make: object, message: str, tmp_path: Path) -> None:
    make(tmp_path / "folder")  # type: ignore[operator]
    with pytest.raises(LearnUsageError, match=message):
        grade(tmp_path / "folder", EXERCISES)


# --- the grades -------------------------------------------------------------------------------------------------------


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The command lines of the processes that this test has started, and that these have started."""
    mark = f"MINITRAIN_TEST={uuid.uuid4()}"
    monkeypatch.setenv(*mark.split("="))

    def running() -> list[str]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark.encode() in (process / "environ").read_bytes():
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        return found

    return running


def test_no_answer_harms_the_others(tmp_path: Path, running: Callable[[], list[str]]) -> None:
    bodies = {
        "ann": "return -grad_y",
        "bob": "return grad_y",
        "dan": "while True: pass",
        "eve": "while True: print('x' * 1000)",
        "gus": "import os, signal; os.kill(os.getppid(), signal.SIGKILL); os.kill(os.getpid(), 9)",
        "hal": "return -grad_y",
    }
    for name, body in bodies.items():
        put(tmp_path / name / "neg_backward.py", answer(body))
    put(tmp_path / "cyd" / "neg_backward.py", NEG.stub())
    (tmp_path / "fay").mkdir()
    grades = grade(tmp_path, EXERCISES, {"neg-backward": 3}, limit=6, torch=False)  # a start of the process counts, too
    results = {name: result for name, (result,) in grades.items()}
    assert {name: result.status for name, result in results.items()} == {
        "ann": "passed",
        "bob": "failed",
        "cyd": "not started",
        "dan": "failed",
        "eve": "failed",
        "fay": "missing",
        "gus": "failed",
        "hal": "passed",
    }
    assert (results["ann"].points, results["bob"].points, results["bob"].of) == (3, 0, 3)
    assert results["bob"].stage == "gradcheck"
    assert results["bob"].diagnosis.startswith("sign")
    assert "still running after 6 s" in results["dan"].diagnosis
    assert "\n" not in results["eve"].diagnosis
    assert len(results["eve"].text) < 10_000
    assert results["gus"].stage
    assert running() == []
    written = json.loads(json.dumps(as_json(grades, "1")))
    assert [student["points"] for student in written["students"]] == [3, 0, 0, 0, 0, 0, 0, 3]
    with pytest.raises(LearnUsageError, match="8 students' folders"):
        grade(tmp_path, EXERCISES, one=True)
    one = as_gradescope({"bob": grades["bob"]}, EXERCISES)
    (test,) = one["tests"]
    assert (one["score"], test["score"], test["max_score"], test["status"]) == (0, 0, 3, "failed")
    assert "Likely" in test["output"]


def test_of_several_answers_one_that_passes_counts(tmp_path: Path) -> None:
    put(tmp_path / "neg_backward.py", answer("return grad_y"))
    put(tmp_path / "mine.ipynb", as_text(NEG.track, [NEG], solved=True))
    ((result,),) = grade(tmp_path, EXERCISES, torch=False).values()
    assert (result.status, result.place) == ("passed", "mine.ipynb, cell 4")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "Case: x\n  worst: 1\n  Likely: sign. The\n    sign is wrong.\n  Or: other.",
            "sign. The sign is wrong.",
        ),
        ("Likely: uphill: The step\nis wrong.\nAlso: more", "uphill: The step is wrong."),
        ("a.py, line 3:\n    x\nNameError: x", "a.py, line 3: x NameError: x"),
    ],
)
def test_the_diagnosis_is_one_line(text: str, line: str) -> None:
    assert diagnosis(text) == line


def test_the_command_prints_a_table_and_writes_the_files(tmp_path: Path) -> None:
    put(tmp_path / "ann" / "neg_backward.py", answer("return grad_y"))
    options = ["--json", "grades.json", "--gradescope", "results.json", "--no-torch"]
    result = minitrain("learn", "grade", "ann", *options, cwd=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    first, second, *_ = result.stdout.splitlines()
    assert first.split() == ["student", "exercise", "result", "stage", "diagnosis"]
    assert second.startswith("ann      neg-backward  failed       gradcheck  sign")
    assert result.stdout.endswith("\nann      0 of 1 passed, 0 of 1 points\n")
    assert json.loads((tmp_path / "grades.json").read_text())["students"][0]["student"] == "ann"
    assert json.loads((tmp_path / "results.json").read_text())["tests"][0]["name"].startswith("neg-backward: ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nowhere"], "there is no folder nowhere"),
        ([".", "--json", "no/grades.json"], "there is no directory "),
        ([".", "--gradescope", ""], "--gradescope must name a file"),
        ([".", "--timeout", "0"], "--timeout must be a number of seconds up to 3600, but got 0"),
        ([".", "--timeout", "nan"], "--timeout must be"),
        ([".", "--assignment", "none.json"], "cannot read none.json (No such file or directory)"),
    ],
)
def test_bad_usage_is_reported_before_anything_is_checked(options: list[str], message: str, tmp_path: Path) -> None:
    put(tmp_path / "ann" / "neg_backward.py", NEG.solution())
    result = minitrain("learn", "grade", *options, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith(f"minitrain: error: {message}")
    assert result.stderr.count("\n") == 1


def test_ctrl_c_ends_everything_in_one_line(tmp_path: Path, running: Callable[[], list[str]]) -> None:
    put(tmp_path / "neg_backward.py", answer("while True: pass"))
    command = [sys.executable, "-m", "minitrain", "learn", "grade", ".", "--no-torch"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any("check_process.py" in line for line in running()) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "minitrain: interrupted\n"
    assert running() == []


# --- assignments ------------------------------------------------------------------------------------------------------


def test_an_assignment_has_its_exercises_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written = minitrain("learn", "assignment", "neg-b", "relu-backward", "--dir", "hw", "--points", "5", cwd=tmp_path)
    assert written.returncode == 0
    assert "2 exercises, 10 points, in hw." in written.stdout
    folder = tmp_path / "hw"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    python = {"backward_passes/neg_backward.py", "backward_passes/relu_backward.py"}
    assert files == {*python, "README.md", "assignment.json", ".minitrain-learn.json"}
    assert "| neg-backward | Your first backward pass | 1 | 5 | 5 |" in (folder / "README.md").read_text()
    assert read_assignment(folder / "assignment.json") == {"neg-backward": 5, "relu-backward": 5}
    listed = minitrain("learn", "list", cwd=folder)
    assert "0 of 2 done" in listed.stdout
    assert minitrain("learn", "start", cwd=folder).stdout.startswith("0 new exercises")
    assert minitrain("learn", "notebook", cwd=folder).stdout.startswith("wrote  backward_passes.ipynb\n\n")
    assert "relu-forward" not in (folder / "backward_passes.ipynb").read_text().replace("builds on relu-forward", "")
    assert list(exercises_in(folder)) == ["neg-backward", "relu-backward"]
    assert find(str(folder), EXERCISES).standing(NEG).status == "new"
    grades = grade(folder, EXERCISES, read_assignment(folder / "assignment.json"))
    assert [x.status for x in grades["hw"]] == ["not started", "not started"]


def test_an_assignment_overwrites_nothing(tmp_path: Path) -> None:
    put(tmp_path / "hw" / "mine.txt", "")
    with pytest.raises(LearnUsageError, match="is not empty"):
        write_assignment(["relu-backward"], str(tmp_path / "hw"), 1)
    with pytest.raises(LearnUsageError, match="there is no exercise 'relu-bakward'; did you mean"):
        write_assignment(["relu-bakward"], str(tmp_path / "new"), 1)
    with pytest.raises(LearnUsageError, match="points"):
        write_assignment(["relu-backward"], str(tmp_path / "new"), 0)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not the file of an assignment: it is not JSON"),
        ("[]", "its format is not"),
        ('{"format": "minitrain assignment 1", "exercises": {}}', "it has no exercises"),
        ('{"format": "minitrain assignment 1", "exercises": {"relu-backward": "5"}}', "not a whole number"),
        ('{"format": "minitrain assignment 1", "exercises": {"no-such": 5}}', "names the exercise 'no-such'"),
    ],
)
def test_a_damaged_assignment_is_refused(text: str, message: str, tmp_path: Path) -> None:
    put(tmp_path / "assignment.json", text)
    with pytest.raises(LearnUsageError, match=message):
        exercises_in(tmp_path)
