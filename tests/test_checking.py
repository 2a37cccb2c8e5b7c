"""What a check says of files that learners write, hostile ones among them; and that nothing they do breaks it."""

import importlib
import io
import json
import math
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitrain.learn import check_process as child
from minitrain.learn import checking, child_process
from minitrain.learn.checking import Stage, check
from minitrain.learn.compare_values import CLOSE, difference
from minitrain.learn.exercises import EXERCISES, Exercise, packed, unpacked
from minitrain.learn.screen import ASCII, STAGE_WIDTH, plot, wrapped
from minitrain.learn.splice import Piece

RELU, MUL, WALK = EXERCISES["relu-backward"], EXERCISES["mul-backward"], EXERCISES["walk-back"]
RIGHT = "(y,) = ctx.saved_arrays\nreturn grad_y * (y > 0)"

Checked = Callable[..., list[Stage]]


@pytest.fixture
def checked(tmp_path: Path) -> Checked:
    """Check a body, or a whole text, as the file of an exercise."""

    def checked(
        body: str = "", exercise: Exercise = RELU, *, text: str | bytes | None = None, name: str = "mine.py", **how: Any
    ) -> list[Stage]:
        path = tmp_path / name
        text = exercise.with_body(textwrap.dedent(body).strip()) if text is None else text
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return list(check(exercise, path, **{"torch": False, "limit": 20.0} | how))

    return checked


class Here:
    """Stands in for a child process: runs the learner's methods in this process, in place of the library's."""

    def __init__(self, exercise: Exercise, piece: Piece, code: Any, stages: list[str], limit: float) -> None:
        self._exercise, self._piece, self._code, self._stages = exercise, piece, code, list(stages)
        self.arrays: dict[str, Any] = {}

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def printed(self) -> str:
        return ""

    def answer(self) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            try:
                self._put_in(patch)
                answer, data = self._exercise.run(self._stages.pop(0))
            except BaseException as error:
                return json.loads(json.dumps({"error": child.described(error)}))
        self.arrays = unpacked(data) if data else self.arrays
        return json.loads(json.dumps(answer))

    def _put_in(self, patch: pytest.MonkeyPatch) -> None:
        names: dict[str, Any] = {"__name__": self._piece.module}
        for code in self._code:
            exec(code, names)
        theirs = names[self._piece.class_name]
        library = getattr(importlib.import_module(self._piece.module), self._piece.class_name)
        for name, method in vars(theirs).items():
            if isinstance(method, staticmethod):
                patch.setattr(library, name, method)


@pytest.fixture
def told(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> Checked:
    """As checked, in this process: for operations, where the check's process itself is not what is tested."""
    monkeypatch.setattr(checking, "Child", Here)
    return checked


def line_of(part: str, exercise: Exercise, body: str) -> int:
    return 1 + next(i for i, line in enumerate(exercise.with_body(body).splitlines()) if part in line)


# --- a right file -----------------------------------------------------------------------------------------------------


def test_a_right_file_passes_stage_by_stage(checked: Checked) -> None:
    stages = checked(RIGHT)
    assert [(stage.name, stage.passed) for stage in stages] == [
        ("file", True),
        ("gradcheck", True),
        ("torch", True),
        ("training", True),
    ]
    assert "36 derivatives equal the measured ones" in stages[1].text
    assert "skipped" in stages[2].text
    assert "All 120 losses agree" in stages[3].text
    assert max(len(line) for stage in stages for line in stage.text.splitlines()) <= 79


def test_torch_is_compared_with_in_a_process_of_its_own_and_asked_once(checked: Checked) -> None:
    child_process._TORCHS.pop(RELU.name, None)
    assert "10 results equal torch's" in checked(RIGHT, torch=True)[2].text
    before = child_process._TORCHS[RELU.name]
    assert "10 results equal torch's" in checked(RIGHT, torch=True)[2].text
    assert child_process._TORCHS[RELU.name] is before


def test_a_difference_from_torch_fails_the_check(told: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    label = "x (3, 4)\ndL/dx"
    monkeypatch.setitem(child_process._TORCHS, RELU.name, {label: RELU.expected[label] + 1e-3})
    stages = told(RIGHT, torch=True)
    assert not stages[-1].passed
    assert stages[-1].name == "torch"
    assert "where torch has" in stages[-1].text


def test_without_torch_one_line_says_so(told: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "find_spec", lambda name: None)
    assert told(RIGHT, torch=True)[2] == Stage("torch", True, "skipped: torch is not installed")


def test_a_torch_that_is_broken_is_passed_over(told: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(child_process._TORCHS, RELU.name, "torch cannot be used: ImportError: no libtorch")
    stages = told(RIGHT, torch=True)
    assert stages[2].passed
    assert "skipped: torch cannot be used" in stages[2].text


def test_what_is_printed_is_shown_and_only_the_beginning_of_much(checked: Checked) -> None:
    stages = checked("print('the gradient', grad_y.shape)\n" + RIGHT)
    assert "Output:\n  | the gradient (3, 4)\n" in stages[1].text
    stages = checked("for _ in range(200):\n    print('x' * 200)\n" + RIGHT)
    assert stages[-1].passed
    assert len(stages[1].text) < 2000
    assert "more lines]" in stages[1].text


# --- files that cannot be run -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (RELU.with_body("return grad_y").replace("grad_y\n", "(grad_y\n"), "'(' was never closed"),
        (RELU.with_body("return grad_y").replace("return", "  return"), "indent"),
        ("", "the class ReLU is missing"),
        (RELU.stub().replace("class ReLU", "class Relu"), "There is Relu: did you mean that?"),
        (RELU.stub().replace("grad_y: Array", "dy"), "Keep the parameters"),
        (b"\xff\xfe\x00", "not UTF-8 text"),
        (b"x = '\0'", "null bytes"),
    ],
)
def test_a_file_that_cannot_be_run_fails_the_first_stage(checked: Checked, text: str | bytes, message: str) -> None:
    (stage,) = checked(text=text)
    assert (stage.name, stage.passed) == ("file", False)
    assert message in " ".join(stage.text.split())
    assert "mine.py" in stage.text


def test_a_file_that_is_not_there_fails_the_first_stage(tmp_path: Path) -> None:
    (stage,) = check(RELU, tmp_path / "nothing.py")
    assert (stage.name, stage.passed) == ("file", False)
    assert "does not exist" in " ".join(stage.text.split())
    (stage,) = check(RELU, tmp_path)
    assert "cannot be read" in " ".join(stage.text.split())


# --- code that goes wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("x = 1\nreturn grad_y * Y", "* Y", "NameError: name 'Y' is not defined"),
        ("import sys\nsys.exit(3)", "sys.exit", "remove exit() and quit()"),
        ("import os\nos._exit(3)", "os._exit", "ended with status 3"),
        ("import os\nos.abort()", "os.abort", "The Python interpreter crashed here"),
        ("import ctypes\nctypes.string_at(0)", "ctypes.string_at", "The Python interpreter crashed here"),
        ("return input()", "input()", "A check has no keyboard"),
        ("return np.ones((10**6, 10**6))", "np.ones", "more memory than a check may use"),
    ],
)
def test_what_goes_wrong_is_said_with_the_line(checked: Checked, body: str, line: str, message: str) -> None:
    stages = checked(body)
    assert [stage.passed for stage in stages] == [True, False]
    text = " ".join(stages[-1].text.split())
    assert message in text
    assert f"mine.py, line {line_of(line, RELU, body)}" in text


@pytest.mark.parametrize(
    ("body", "line", "message"),
    [
        ("return [1 / 0 for _ in [1]]", "1 / 0", "ZeroDivisionError: division by zero"),
        ("grad_y[0] = 0\nreturn grad_y", "grad_y[0]", "must not write into them"),
        ("(y,) = ctx.saved_arrays\ny *= grad_y\nreturn y", "y *=", "must not write into them"),
        ("pass", "def backward", "returned None"),
        ("return list(grad_y)", "return list", "returned a list for dL/dx; expected an array"),
        ("return grad_y, grad_y", "return grad_y, grad_y", "must return a tuple with a gradient for each input (x)"),
        ("return grad_y.astype(object)", "astype", "with dtype object; expected real numbers"),
        ("from minitrain import tensor\nreturn tensor(grad_y)", "return tensor", "returned a Tensor"),
        ("return ReLU.backward(ctx, grad_y)", "return ReLU", "The function calls itself without end"),
        ("raise KeyboardInterrupt", "raise", "KeyboardInterrupt"),
        ("class E(Exception):\n    def __str__(self):\n        1 / 0\nraise E", "raise E", "E"),
    ],
)
def test_an_error_is_explained_with_its_line(told: Checked, body: str, line: str, message: str) -> None:
    stages = told(body)
    assert [stage.passed for stage in stages] == [True, False]
    text = " ".join(stages[-1].text.split())
    assert message in text
    assert f"mine.py, line {line_of(line, RELU, body)}" in text


@pytest.mark.usefixtures("parsing_one_at_a_time")
def test_a_loop_without_end_is_ended_and_its_line_named(checked: Checked) -> None:
    began = time.monotonic()
    checked("pass")
    limit = math.ceil(4 * (time.monotonic() - began))  # seconds; enough to come to the loop, however slow the machine
    loops = {
        "mine.py": "while True:\n    x = 1",
        "ein größeres Übel, 日本.py": "print('here')\nwhile True:\n    x = sum(range(9999))",
    }
    with ThreadPoolExecutor() as together:
        stages = together.map(lambda item: checked(item[1], name=item[0], limit=limit)[-1], loops.items())
        for (name, body), stage in zip(loops.items(), stages, strict=True):
            assert f"still running after {limit} s" in stage.text
            loop = line_of("while True", RELU, body)
            assert f"{name}, line {loop}, " in stage.text or f"{name}, line {loop + 1}, " in stage.text
            assert ("Output:\n  | here" in stage.text) == ("here" in body)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_memory_is_limited(checked: Checked) -> None:
    assert "more memory than a check may use" in checked(f"return np.empty({child.MEMORY // 8})")[-1].text


def test_a_thread_that_never_ends_does_not_hold_the_check(checked: Checked) -> None:
    body = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n" + RIGHT
    assert checked(body)[-1].passed


def test_shapes_and_values_are_told_with_the_case(told: Checked) -> None:
    assert "its gradient has shape [], but expected [3, 4]" in " ".join(told("return grad_y.sum()")[-1].text.split())
    wrong_at_0 = (
        "(y,) = ctx.saved_arrays\nreturn np.where(y < 0, 0, grad_y) * (y != 0) + grad_y * (ctx.at_0 & (y == 0))"
    )
    text = RELU.with_body(wrong_at_0).replace("ctx.save_for", "ctx.at_0 = x == 0\n        ctx.save_for")
    stage = told(text=text)[-1]
    assert not stage.passed
    assert stage.text.startswith("Case: some x are 0\ndL/dx at [0, 0] is ")
    assert "where the library has 0" in stage.text


def test_the_autopsy_is_part_of_what_is_said(told: Checked) -> None:
    assert "mask-inverted" in told("(y,) = ctx.saved_arrays\nreturn grad_y * (y <= 0)")[-1].text


def test_an_input_that_asks_for_no_gradient_is_explained(told: Checked) -> None:
    stage = told("a, b = ctx.saved_arrays\nreturn grad_y * b, grad_y * a", MUL)[-1]
    assert "requires no gradient" in stage.text
    assert "Something here is None" in stage.text
    assert "which requires a gradient" in " ".join(told("return None, None", MUL)[-1].text.split())


def test_what_a_given_backward_misses_is_told_to_who_writes_forward(told: Checked) -> None:
    text = " ".join(told("return ((x - target) ** 2).mean()", EXERCISES["mse-forward"])[-1].text.split())
    assert "(difference,) = ctx.saved_arrays" in text
    assert "forward must save it there" in text
    linear = "ctx.save_for_backward(x, weight)\nreturn x @ weight.T"
    text = told(linear, EXERCISES["linear-forward"])[-1].text
    assert "'Context' object has no attribute 'shape'" in " ".join(text.split())
    assert "forward must save it there" in " ".join(text.split())


PLAIN_STACK = """
pending = [(root, grad)]
while pending:
    node, g = pending.pop()
    if not isinstance(node, Node):
        node.variable.receive_grad(g, owned=False)
        continue
    for (edge, _), gradient in zip(node.next_functions, node.input_gradients(g)):
        if edge is not None and gradient is not None:
            pending.append((edge, gradient))
"""
LEAVES_AT_ONCE = (
    EXERCISES["walk-back"]
    .solution()
    .replace(
        "        for (edge, _), input_grad in",
        "        for (edge, _), input_grad in zip(node.next_functions, input_gradients):\n"
        "            if isinstance(edge, AccumulateGrad) and input_grad is not None and edge not in pending:\n"
        "                edge.variable.receive_grad(input_grad * 0, owned=False)\n"
        "        for (edge, _), input_grad in",
    )
)


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("walk-back", PLAIN_STACK, "more than 40 visits, but there are only 40 nodes. Visit each node once"),
        ("used-twice", "pass", "KeyError: <ExpBackward0> No gradient is left for this node, because it was queued twi"),
        (
            "mse-backward",
            "(x, target) = ctx.saved_arrays\nreturn x, target",
            "forward is given here: ctx.save_for_backward(difference). Take as many",
        ),
        (
            "softmax-backward",
            "(y,) = ctx.saved_arrays\nreturn y * (grad_y - (grad_y * y).sum(axis=ctx.dim))",
            "keepdims=True keeps it, with size 1. Here: grad_y (3, 4), y (3, 4).",
        ),
        ("softmax-backward", "(y,) = ctx.saved_arrays\nreturn y * (grad_y - (grad_y * y).sum())", "over everything"),
        ("unbroadcast", "return grad", "Likely: sum-missing"),
        ("xavier", "return tensor", "how many of the weight's numbers were never written, with options {} is 2400"),
    ],
)
def test_what_beginners_write_is_explained(
    checked: Checked, monkeypatch: pytest.MonkeyPatch, name: str, body: str, words: str
) -> None:
    if EXERCISES[name].target.startswith("ops.") and EXERCISES[name].piece.class_name:
        monkeypatch.setattr(checking, "Child", Here)
    stages = checked(body.strip(), EXERCISES[name])
    assert not stages[-1].passed
    assert words in " ".join(stages[-1].text.split())


def test_a_walk_that_gives_leaves_their_gradient_on_the_way_is_found(checked: Checked) -> None:
    assert EXERCISES["walk-back"].solution() != LEAVES_AT_ONCE
    stages = checked(text=LEAVES_AT_ONCE, exercise=EXERCISES["walk-back"])
    assert "a backward that raised half-way (leaves come last): no; expected yes" in " ".join(stages[-1].text.split())


def test_matrices_that_do_not_fit_are_told_in_plain_words(told: Checked) -> None:
    stage = told("a, b = ctx.saved_arrays\nreturn grad_y @ b, a.T @ grad_y", EXERCISES["matmul-backward"])[-1]
    assert "with the same k in both. Here: grad_y (3, 5), a (3, 4), b (4, 5)." in " ".join(stage.text.split())
    assert "gufunc" not in stage.text


def test_a_gradient_that_is_no_tensor_is_told(checked: Checked) -> None:
    stage = checked("self._grad = grad.copy()", EXERCISES["receive-grad"])[-1]
    assert "x.grad is of type ndarray after backward; expected a Tensor" in stage.text
    assert "def receive_grad" in stage.text


def test_an_error_that_the_library_raises_for_what_the_piece_gave_is_told(checked: Checked) -> None:
    stage = checked("pass", WALK)[-1]
    assert "no gradient arrived" in " ".join(stage.text.split())


def test_a_wrong_forward_is_told_by_its_values_first(told: Checked) -> None:
    body = "ctx.save_for_backward(x)\nreturn np.minimum(x, 0)"
    assert "y at [0, 0] is" in told(body, EXERCISES["relu-forward"])[-1].text
    body = "y = np.maximum(x, 0).astype(np.float64)\nctx.save_for_backward(y)\nreturn y"
    assert "y has dtype float64, where the library has float32" in " ".join(
        told(body, EXERCISES["relu-forward"])[-1].text.split()
    )


def test_a_forward_that_saves_the_wrong_array_is_told_what_backward_makes_of_it(told: Checked) -> None:
    body = "y = np.exp(x - x.max(axis=dim, keepdims=True))\ny = y / y.sum(axis=dim, keepdims=True)\nctx.dim = dim\n"
    text = told(body + "ctx.save_for_backward(x)\nreturn y", EXERCISES["softmax-forward"])[-1].text
    assert text.startswith("y is right. But backward")
    assert "entries wrong" in text
    assert told(body + "ctx.save_for_backward(y)\nreturn y", EXERCISES["softmax-forward"])[-1].passed


def test_a_piece_that_only_training_finds_wrong_fails_there(told: Checked) -> None:
    body = "(y,) = ctx.saved_arrays\nreturn grad_y * (y > 0) * (2 if y.shape == (25, 16) else 1)"
    stage = told(body)[-1]
    assert (stage.name, stage.passed) == ("training", False)
    words = r"First difference: batch 3 has 2\.2590\d, where the library has 2\.2741\d\."
    assert re.search(words, stage.text)
    raising = told("if grad_y.shape == (25, 16):\n    raise ValueError('here')\n" + RIGHT)[-1]
    assert (raising.name, raising.passed) == ("training", False)
    assert "ValueError: here" in raising.text
    infinite = told("(y,) = ctx.saved_arrays\nreturn grad_y * (y > 0) / (y.shape != (25, 16))")[-1]
    assert "detect_anomaly" in infinite.text


def test_what_stands_around_the_piece_is_run_and_its_errors_are_told(told: Checked) -> None:
    text = RELU.with_body(RIGHT)
    assert (
        f"line {len(text.splitlines()) + 2}, in <module>" in told(text=text.rstrip() + "\n\nprint(nothing)\n")[-1].text
    )
    assert (
        "No module named 'nonsense'"
        in told(text=text.replace("import numpy", "import nonsense\nimport numpy"))[-1].text
    )
    assert told(text=text.replace("(y > 0)", "gate(y)") + "\n\ndef gate(y):\n    return y > 0\n")[-1].passed


def test_a_check_that_is_given_up_ends_its_process(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(RELU.with_body("while True:\n    pass"), encoding="utf-8")
    threads = threading.active_count()
    running = check(RELU, path, torch=False)
    assert next(running).name == "file"
    running.close()
    with pytest.raises(StopIteration):
        next(running)
    for thread in threading.enumerate()[threads:]:
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_the_process_has_the_package_that_asks_and_nothing_of_the_folder_it_is_started_in(
    checked: Checked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "minitrain.py").write_text("raise SystemExit")
    (tmp_path / "json.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    assert checked(RIGHT)[-1].passed


def test_a_child_that_cannot_start_is_told(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    stage = checked(RIGHT)[-1]
    assert not stage.passed
    assert "ended with status 1" in stage.text


# --- code that harms --------------------------------------------------------------------------------------------------

# Starts processes of every kind, and notes the number of each: in the check's group, in a session of its own, a fork,
# and a fork of a fork in a session of its own.
STARTS_OTHERS = """
import os, signal, subprocess, sys, time
def note(pid):
    with open({notes!r}, "a") as file:
        file.write(f"{{pid}}\\n")
if not os.path.exists({notes!r}):
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    note(subprocess.Popen(sleep).pid)
    note(subprocess.Popen(sleep, start_new_session=True, stdin=-3, stdout=-3, stderr=-3).pid)
    for own in (False, True):
        if os.fork() == 0:
            if own:
                os.setsid()
            if not own or os.fork() == 0:
                note(os.getpid())
                time.sleep(60)
            os._exit(0)
    while open({notes!r}).read().count("\\n") < 4:
        time.sleep(0.01)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="sessions are searched in /proc")
@pytest.mark.parametrize(
    ("ends", "passed", "message"),
    [
        (RIGHT, True, ""),
        ("os._exit(3)", False, "ended with status 3 before it had a result"),
        ("if not hasattr(ReLU, 'forked'):\n    ReLU.forked = os.fork()\n" + RIGHT, True, ""),
    ],
)
def test_no_process_is_left_behind(checked: Checked, tmp_path: Path, ends: str, passed: bool, message: str) -> None:
    notes = tmp_path / "pids"
    stage = checked(STARTS_OTHERS.format(notes=str(notes)) + ends)[-1]
    assert (stage.name, stage.passed) == (("training", True) if passed else ("gradcheck", False)), stage.text
    assert message in " ".join(stage.text.split())
    pids = notes.read_text().split()
    assert len(set(pids)) == 4
    deadline = time.monotonic() + 20  # a killed process takes a moment to end; these would run for a minute
    while left := [pid for pid in pids if is_running(int(pid))]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_printed_lines_ignored_signals_and_a_cancelled_timer_do_not_extend_the_time(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "GRACE", 0.5)
    body = """
    import faulthandler, signal, time
    faulthandler.cancel_dump_traceback_later()
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    import sys
    while True:
        sys.stdout._left = 100
        print("y")
        time.sleep(0.05)
    """
    began = time.monotonic()
    stage = checked(body, limit=3)[-1]
    assert time.monotonic() - began < 2 * (3 + 0.5) + 3  # the import and the values have a deadline each
    assert not stage.passed
    assert "still running after 3 s" in stage.text


SEND = "import os, sys\nsend = lambda data: os.write(sys.stdout._channel.descriptor, data)\n"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("send(bytes([30]) + b'{not json' + bytes([10]))\n", "wrote something that is not an answer"),
        ("send(b'garbage')\n", "wrote something that is not an answer"),
        ("send(bytes([30]))\n[send(b'x' * 1000000) for _ in range(700)]\n", "wrote more than 16 MiB to the check"),
    ],
)
def test_what_is_written_to_the_checks_own_pipe_fails_the_check(checked: Checked, body: str, message: str) -> None:
    stage = checked(SEND + body + RIGHT)[-1]
    assert (stage.name, stage.passed) == ("gradcheck", False)
    assert message in " ".join(stage.text.split())


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_allocations_without_bound_end_in_a_message(checked: Checked) -> None:
    stage = checked("kept = []\nwhile True:\n    kept.append(np.zeros(10**7))")[-1]
    assert "more memory than a check may use" in stage.text


def sent(answer: dict[str, Any], arrays: bytes = b"") -> bytes:
    """An answer as a child process writes it."""
    return child.BEGIN + json.dumps({"bytes": len(arrays)} | answer).encode() + b"\n" + arrays


def heard(data: bytes) -> list[dict[str, Any]]:
    return [answer for answer, _ in child_process.read_answers(io.BytesIO(data))]


PRINTED = {"printed": "x", "cut": False}
ERROR = {"type": "E", "message": "", "frames": [["f.py", 1, "f", ""]], "notes": [], "function": ""}
VALUES = {"stage": "values", "wrong": None, "right": "", "measured": 1, "new_memory": []}
REFUSED = {"refused": child_process.NOT_AN_ANSWER}
TOO_LONG = {"refused": child_process.TOO_LONG}


def test_answers_are_read_up_to_the_last_words() -> None:
    arrays = {"a": np.eye(2)}
    data = sent(PRINTED) + sent(VALUES, packed(arrays)) + sent({"stage": "training", "error": ERROR}) + b"Timeout!"
    answers = list(child_process.read_answers(io.BytesIO(data)))
    assert [answer for answer, _ in answers] == [
        PRINTED,
        VALUES,
        {"stage": "training", "error": ERROR},
        {"died": "Timeout!"},
    ]
    np.testing.assert_array_equal(answers[1][1]["a"], np.eye(2))
    assert heard(b"") == [{"died": ""}]


def compressed() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, a=np.zeros(10**6))
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"garbage", REFUSED),
        (b"Trash", REFUSED),
        (sent({"stage": "training", "losses": [1]}), REFUSED),
        (sent({"stage": "training", "losses": None}), REFUSED),
        (sent({"stage": "training"}), REFUSED),
        (sent(VALUES | {"wrong": 5}), REFUSED),
        (sent(VALUES | {"new_memory": ["1"]}), REFUSED),
        (sent({"stage": "values", "error": ERROR | {"frames": []}}), REFUSED),
        (sent({"stage": "values", "error": ERROR | {"frames": [["f.py", "1", "f", ""]]}}), REFUSED),
        (sent(VALUES | {"bytes": -1}), REFUSED),
        (sent(VALUES | {"bytes": "1"}), REFUSED),
        (sent(VALUES, b"PK damaged"), REFUSED),
        (sent(VALUES, compressed()), REFUSED),
        (child.BEGIN + b"[" * 10**5 + b"\n", REFUSED),
        (child.BEGIN + b"[1]\n", REFUSED),
        (sent(VALUES | {"bytes": 10**30}), TOO_LONG),
        (sent(PRINTED | {"printed": "x" * child_process.LARGEST}), TOO_LONG),
    ],
)
def test_what_is_no_answer_is_refused(data: bytes, expected: dict[str, str]) -> None:
    assert heard(sent(PRINTED) + data + sent(VALUES)) == [PRINTED, expected]


@given(st.binary(), st.integers(0, 400))
def test_whatever_is_written_the_answers_can_be_judged(garbage: bytes, place: int) -> None:
    data = sent(PRINTED) + sent(VALUES, packed({"a": np.eye(2)}))
    for answer in heard(data[:place] + garbage + data[place:]):
        assert answer.keys() & {"printed", "stage", "died", "refused"}


# --- the parts --------------------------------------------------------------------------------------------------------


def test_arrays_come_through_as_they_were() -> None:
    arrays = {"a": np.eye(3), "b\nc": np.zeros((0, 2), np.float32), "d": np.array("text"), "e": np.array(np.nan)}
    back = unpacked(packed(arrays))
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize(
    ("got", "right", "words"),
    [
        ([1.0, 2.0], [1.0, 2.0], None),
        ([1.0, np.nan], [1.0, np.nan], None),
        ([1.0, 2.0], [1.0, 3.0], "z at [1] is 2, where it has 3. 1 of 2 numbers differ."),
        ([1.0, np.nan], [1.0, 3.0], "z at [1] is nan"),
        (1.0, 2.0, "z is 1, where it has 2."),
        ([[1.0]], [1.0], "z has shape [1, 1], where it has [1]."),
        ([True, False], [True, True], "z: yes, no; expected yes, yes."),
    ],
)
def test_a_difference_is_found_and_said(got: Any, right: Any, words: str | None) -> None:
    found = difference({"case\nz": np.array(got)}, {"case\nz": np.array(right)}, CLOSE, "it has")
    assert (found is None) == (words is None)
    if words is not None:
        assert found is not None
        assert found.startswith(f"Case: case\n{words}")
    assert difference({}, {"z": np.array(1)}, CLOSE, "it has") == "There is no result for z."


def test_a_curve_is_drawn_between_its_bounds() -> None:
    assert plot([3, 0, 1], 0, 3, width=9, height=3, blocks=" #").splitlines() == [
        "     3 #",
        "       # #",
        "     0 ###",
    ]
    assert plot([0, 1], 0, 1, width=9, height=1).splitlines() == ["     1 ▁█"]
    assert plot([1, 1], 1, 1, width=9, height=1, blocks=ASCII) == "     1 .."
    assert plot([0.0, float("nan")], 0, 1, width=9, height=1, blocks=" #") == "     1 #x"
    assert plot([0, 2, 1, 1], 0, 1, width=2, height=1) == "     1 ██"  # pairs are averaged
    assert len(plot([0.0] * 1000, 0, 1, width=60, height=1)) == 67


def test_the_curves_are_drawn_in_ascii_where_the_output_has_no_more(
    told: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    stage = told(RIGHT)[-1]
    assert stage.name == "training"
    assert stage.text.isascii()


def test_lines_are_wrapped_and_keep_their_indent() -> None:
    lines = wrapped("short\n  " + "word " * 30 + "\n    and more\n\nend").splitlines()
    assert max(map(len, lines)) <= STAGE_WIDTH
    assert lines[0] == "short"
    assert lines[1].startswith("  word")
    assert lines[2].startswith("    word")
    assert "and more" in lines[3]
    assert lines[-2:] == ["", "end"]


def test_what_is_printed_is_handed_on_up_to_a_limit() -> None:
    class Heard(child.Channel):
        def __init__(self) -> None:
            super().__init__(-1)
            self.heard: list[Any] = []

        def send(self, answer: Any, arrays: bytes = b"") -> None:
            self.heard.append(answer)

    heard = Heard()
    printed = child.Printed(heard)
    print("a" * (child.PRINTED_AT_MOST - 1), file=printed, end="")
    print("bc", file=printed)
    assert [answer["printed"][-1] for answer in heard.heard] == ["a", "b"]
    assert [answer["cut"] for answer in heard.heard] == [False, True]
    assert printed.writable()


def test_the_child_can_be_run_with_the_librarys_own_piece() -> None:
    ended = subprocess.run(
        [sys.executable, "-P", child.__file__], input=b"", capture_output=True, check=False
    )  # nothing asked for
    assert ended.returncode == 1
    assert b"EOFError" in ended.stderr
