"""minitrain run: PyTorch programs run unmodified, behave as under python, are checked, and are compared with torch."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from minitrain.cli import main
from minitrain.programs import Comparison, Outcome, ProgramError, Runner, Timing, busy, check, repeat
from minitrain.programs.compare import difference
from minitrain.programs.repeat import Round, torch_imports

COMMAND = [sys.executable, "-m", "minitrain", "run"]


def write(folder: Path, text: str, name: str = "program.py") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def ran(path: Path, *arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *options, str(path), *arguments], capture_output=True, text=True, timeout=120)


def test_imports_of_torch_find_minitrain_under_all_their_names(tmp_path: Path) -> None:
    program = write(
        tmp_path,
        """
        import torch, minitrain
        import torch.nn as nn
        import torch.nn.functional as F
        from torch import optim
        from torch.optim import SGD
        import torch.autograd

        assert torch is minitrain and nn is minitrain.nn and F is minitrain.nn.functional
        assert SGD is minitrain.optim.SGD is optim.SGD
        assert minitrain.__spec__.name == "minitrain" and minitrain.nn.__name__ == "minitrain.nn"
        model = nn.Linear(2, 1)
        print(isinstance(model(torch.ones(3, 2)), torch.Tensor))
        """,
    )
    done = ran(program)
    assert (done.stdout, done.stderr, done.returncode) == ("True\n", "", 0)


def test_a_program_sees_what_it_would_see_under_python(tmp_path: Path) -> None:
    write(tmp_path, "value = 3\n", "helper.py")
    program = write(
        tmp_path,
        """
        import pickle, sys
        from helper import value

        class Kept:
            pass

        print(__name__, __file__ == sys.argv[0], sys.argv[1:], value)
        print(type(pickle.loads(pickle.dumps(Kept()))) is Kept, sys.modules["__main__"].Kept is Kept)
        """,
    )
    arguments = ["--check", "-x", "a b"]  # behind the program's name they are its own
    ours = ran(program, *arguments)
    theirs = subprocess.run([sys.executable, str(program), *arguments], capture_output=True, text=True)
    assert ours.stdout == theirs.stdout == "__main__ True ['--check', '-x', 'a b'] 3\nTrue True\n"


@pytest.mark.parametrize(
    ("text", "status"),
    [("raise SystemExit", 0), ("raise SystemExit(3)", 3), ("import sys; sys.exit('no')", 1), ("1 / 0", 1), ("1 +", 1)],
)
def test_the_exit_status_and_the_errors_are_pythons(text: str, status: int, tmp_path: Path) -> None:
    program = write(tmp_path, f"def f():\n    {text}\nf()\n" if text != "1 +" else text)
    ours = ran(program)
    theirs = subprocess.run([sys.executable, str(program)], capture_output=True, text=True)
    assert ours.returncode == theirs.returncode == status
    assert ours.stderr == theirs.stderr


def test_ctrl_c_ends_it_as_it_ends_python(tmp_path: Path) -> None:
    program = write(tmp_path, "import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen(
        [*COMMAND, str(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert "program.py" in errors
    assert errors.endswith("KeyboardInterrupt\n")
    assert "minitrain" not in errors.replace(str(tmp_path), "")


def test_what_is_not_offered_is_explained_where_it_is_met(tmp_path: Path) -> None:
    program = write(
        tmp_path,
        """
        import torch
        for statement in (
            "torch.nn.LSTM",
            "from torch.nn import LSTM",
            "from torch.distributions import Normal",
            "torch.optim.LBFGS",
            "torch.nn.Linnear",
        ):
            try:
                exec(statement)
            except Exception as error:
                print(type(error).__name__, error)
        """,
    )
    lines = ran(program).stdout.splitlines()
    kinds = ["AttributeError", "ImportError", "ModuleNotFoundError", "AttributeError", "AttributeError"]
    assert [line.split()[0] for line in lines] == kinds
    assert all("minitrain does not offer torch." in line for line in lines)
    assert "recurrent" in lines[0]
    assert "did you mean Linear?" in lines[4]


def test_only_the_program_is_missing_if_nothing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run"])
    assert "the following arguments are required: program (see minitrain run --help)" in capsys.readouterr().err


def test_a_path_that_is_no_program_is_refused_in_a_line(tmp_path: Path) -> None:
    for path, text in ((tmp_path / "none.py", "cannot read"), (tmp_path, "is a folder")):
        done = ran(path)
        assert done.returncode == 2
        assert text in done.stderr
        assert done.stderr.count("\n") == 1


def test_import_minitrain_alone_leaves_torch_to_torch() -> None:
    code = "import minitrain, torch; assert torch is not minitrain; print(torch.__version__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.startswith("2.")


def test_a_notebooks_line_makes_torch_minitrain_and_says_so() -> None:
    code = "import minitrain.as_torch\nimport torch\nprint(torch.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "torch and torchvision are minitrain in this process, from here on.\nminitrain\n"
    late = subprocess.run(
        [sys.executable, "-c", "import torch\nimport minitrain.as_torch"], capture_output=True, text=True
    )
    assert "torch is imported already" in late.stderr


# --- check ------------------------------------------------------------------------------------------------------------


def test_check_lists_each_name_with_its_line_and_does_not_run_the_program(tmp_path: Path) -> None:
    program = write(
        tmp_path,
        """
        import torch
        import torch.nn as nn
        from torch.optim import SGD, LBFGS
        from torch.nn import functional as F
        from torch import distributions as D
        raise SystemExit("it ran")
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.rnn = nn.LSTM(3, 4)
                self.fc = nn.Linear(3, 4, bais=True)
            def forward(self, x):
                return F.relu(F.gumbel_softmax(self.fc(x.cuda())))
        """,
    )
    found = [(missing.line, missing.name) for missing in check(program)]
    assert found == [
        (4, "torch.optim.LBFGS"),
        (6, "torch.distributions"),
        (11, "torch.nn.LSTM"),
        (12, "torch.nn.Linear"),
        (14, ".cuda"),
        (14, "torch.nn.functional.gumbel_softmax"),
    ]
    done = ran(program, options=("--check",))
    assert done.returncode == 1
    assert done.stdout.count("\n") == 6
    assert "did you mean bias=?" in done.stdout


def test_check_does_not_follow_a_name_that_is_bound_to_something_else_too(tmp_path: Path) -> None:
    text = (
        "from torch import optim\nimport torch.nn.functional as F\noptim = optim.SGD([], lr=1)\noptim.step()\nF.lost\n"
    )
    assert [missing.name for missing in check(write(tmp_path, text))] == ["torch.nn.functional.lost"]


def test_check_finds_nothing_in_a_program_that_is_offered(tmp_path: Path) -> None:
    program = write(
        tmp_path, "import torch\nfrom torch import nn\nx = nn.Linear(2, 3)(torch.ones(1, 2)).sum().item()\n"
    )
    assert check(program) == []
    assert ran(program, options=("--check",)).returncode == 0


def test_check_knows_the_keywords_that_a_method_has_as_a_function(tmp_path: Path) -> None:
    text = "import torch\nx = torch.ones(2)\ntorch.add(input=x, other=x, out=x)\ntorch.sum(x, axis=0, keepdims=True)\n"
    assert check(write(tmp_path, text)) == []
    assert [missing.name for missing in check(write(tmp_path, text + "torch.add(x, x, ouput=x)\n"))] == ["torch.add"]


def test_check_refuses_what_is_not_python(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"program\.py, line 1 is not valid Python"):
        check(write(tmp_path, "1 +\n"))


# --- compare ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "ours", "first", "worst"),
    [
        ("a 1\nb 2\n", "a 1\nb 2\n", None, 0.0),
        ("loss 0.50001\n", "loss 0.50002\n", None, 2e-5),
        ("a 1\nb 2\n", "a 1\nb 3\n", (2, "b 2", "b 3"), 1 / 3),
        ("a\n", "b\n", (1, "a", "b"), 0.0),
        ("a\nb\n", "a\n", (2, "b", "(no such line)"), 0.0),
        ("nan inf -inf\n", "nan inf -inf\n", None, 0.0),
        ("loss nan\n", "loss 1.0\n", (1, "loss nan", "loss 1.0"), 0.0),
        ("dtype=torch.float64\n", "dtype=float64\n", None, 0.0),
        ("grad_fn=<AddmmBackward0>\n", "grad_fn=<LinearBackward0>\n", None, 0.0),
        ("[1.0],\n       grad_fn=<SelectBackward0>)\n2\n", "[1.0], grad_fn=<IndexBackward0>)\n2\n", None, 0.0),
        (
            "grad_fn=<AddmmBackward0>\n",
            "requires_grad=True\n",
            (1, "grad_fn=<AddmmBackward0>", "requires_grad=True"),
            0.0,
        ),
        ("<class 'torch.Tensor'> at 0x7f12\n", "<class 'minitrain.tensor.Tensor'> at 0x7fab\n", None, 0.0),
        (
            "<class 'torch.nn.Linear'>\n",
            "<class 'torch.nn.ReLU'>\n",
            (1, "<class 'torch.nn.Linear'>", "<class 'torch.nn.ReLU'>"),
            0.0,
        ),
        ("0.000001\n", "0.000002\n", None, 1e-4),
    ],
)
def test_the_first_line_that_differs_by_more_than_rounding_is_found(
    theirs: str, ours: str, first: object, worst: float
) -> None:
    found, apart = difference(theirs, ours)
    assert found == first
    assert apart == pytest.approx(worst, rel=0.01)


def test_compare_runs_both_and_says_where_they_differ(tmp_path: Path) -> None:
    program = write(
        tmp_path,
        """
        import sys, torch
        torch.manual_seed(0)
        print(torch.rand(2))
        if "differ" in sys.argv:
            print(torch.__name__)
        """,
    )
    same = ran(program, options=("--compare", "--threads", "1"))
    assert same.returncode == 0
    assert "same output" in same.stdout
    torchs, ours = (int(megabytes) for megabytes in re.findall(r"(\d+) MB", same.stdout))
    assert ours < torchs / 2
    different = ran(program, "differ", options=("--compare", "--threads", "1"))
    assert different.returncode == 1
    assert "Line 2 differs:\n  torch      torch\n  minitrain  minitrain\n" in different.stdout


def test_a_terminal_is_told_at_once_that_the_output_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = write(tmp_path, "print(1)")
    for terminal in (True, False):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        monkeypatch.setenv("COLUMNS", "500")
        assert main(["run", "--compare", "--threads", "1", str(program)]) == 0
        said = f"Running {program} on torch, then on minitrain. Its output is compared, not shown.\n"
        assert capsys.readouterr().err == said * terminal


def test_a_program_that_fails_on_both_is_not_just_the_same() -> None:
    failed = Outcome("", "OSError: no file", 1, 1.0, 10**6)
    verdict = Comparison(failed, failed, None, 0.0).verdict()
    assert verdict.splitlines()[0] == "same output, but both ended with status 1"


def test_accelerators_modules_are_imported_and_an_unknown_keyword_is_explained(tmp_path: Path) -> None:
    program = write(
        tmp_path,
        """
        import torch.backends.cudnn as cudnn
        import torch.cuda
        cudnn.benchmark = True
        print(torch.backends.cudnn.benchmark, torch.cuda.is_available(), flush=True)
        torch.nn.functional.dropout(torch.ones(2), prob=0.5)
        """,
    )
    done = ran(program)
    assert done.stdout == "True False\n"
    assert done.stderr.splitlines()[-2:] == [
        "TypeError: dropout() got an unexpected keyword argument 'prob'",
        "torch.nn.functional.dropout() got an unexpected keyword argument 'prob': minitrain does not offer it; "
        "it takes input, p, training, inplace.",
    ]


def test_a_notebook_is_refused_with_the_way_to_run_it(tmp_path: Path) -> None:
    path = tmp_path / "lesson.ipynb"
    path.write_text('{"cells": []}')  # which is valid Python
    done = ran(path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is a notebook: put `import minitrain.as_torch` into its first cell" in " ".join(done.stderr.split())


def test_a_program_by_a_relative_path_has_the_file_and_the_arguments_that_python_gives_it(tmp_path: Path) -> None:
    write(tmp_path, "import sys\nprint(__file__, sys.argv, sys.path[0], __name__)\n1 / 0\n")
    runs = [
        subprocess.run([sys.executable, *how, "program.py", "a"], cwd=tmp_path, capture_output=True, text=True)
        for how in ([], ["-m", "minitrain", "run"])
    ]
    assert runs[0].stdout == runs[1].stdout
    assert runs[0].stderr == runs[1].stderr
    assert runs[0].returncode == runs[1].returncode == 1


def test_a_module_runs_as_with_python_m(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    write(package, "print('the package')\n", "__init__.py")
    write(package, "import torch\nx = torch.ones(2)\n", "helper.py")
    write(
        package,
        """
        import os, sys, torch
        from . import helper
        assert torch.Tensor is type(helper.x)
        print(__name__, __package__, __spec__.name, os.path.realpath(__file__))
        print(sys.argv[1:], os.path.realpath(sys.path[0]))
        """,
        "train.py",
    )
    options = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 120}
    mine, pythons = (
        subprocess.run([*command, "-m", "package.train", "a", "-b"], **options)  # type: ignore[call-overload]
        for command in (COMMAND, [sys.executable])
    )
    assert (mine.stdout, mine.stderr, mine.returncode) == (pythons.stdout, pythons.stderr, 0)
    for name, text in (("package", "has no package.__main__"), ("missing.train", "No module named 'missing'")):
        done = subprocess.run([*COMMAND, "-m", name], **options)  # type: ignore[call-overload]
        assert done.returncode == 2
        assert text in done.stderr


# --- compare, repeated ------------------------------------------------------------------------------------------------


def rounds_of(*pairs: tuple[float, float], start: float = 0.1, **other: Outcome) -> list[Round]:
    """Rounds whose programs take these seconds on torch and on minitrain; other: the last round's, by side."""
    runs = [{"torch": outcome(theirs), "minitrain": outcome(ours)} for theirs, ours in pairs]
    runs[-1] |= other
    return [Round(program, dict.fromkeys(program, outcome(start))) for program in runs]


def outcome(seconds: float = 1.0, output: str = "loss 1\n", status: int = 0) -> Outcome:
    return Outcome(output, "ValueError: boom\n" * (status != 0), status, seconds, 100_000_000)


ALIKE = Comparison(outcome(), outcome(), None, 0.0)


def test_each_ratio_is_that_of_one_round_and_has_quartiles() -> None:
    # The medians 3 and 2 have the ratio 1.5, but the middle one of 2, 3 and 1.25 is 2.
    lines = str(Timing(ALIKE, rounds_of((2, 1), (3, 1), (5, 4)))).splitlines()
    assert lines[0].split() == ["median", "[quartiles]", "of", "3", "rounds"]
    assert lines[1:6] == [
        "whole program, s",
        "  torch              3.00 [2.50 to 4.00]",
        "  minitrain          1.00 [1.00 to 2.50]",
        "  torch / minitrain  2.00 [1.62 to 2.50]",
        "  minitrain is 2.00 times as fast",
    ]
    assert "Quartiles of fewer than 5 rounds are rough." in lines
    reversed_ratio = str(Timing(ALIKE, rounds_of((1, 2), (1, 3), (4, 5))))
    assert "torch is 2.00 times as fast" in reversed_ratio


def test_a_spread_on_both_sides_of_1_names_no_winner() -> None:
    text = str(Timing(ALIKE, rounds_of((2, 1), (1, 2), (1.1, 1), (1, 1.1))))
    assert text.count("no difference beyond the spread") == 2  # with start-up and without
    assert "times as fast" not in text
    once = str(Timing(ALIKE, rounds_of((2, 1))))
    assert "torch / minitrain  2.00\n  one round: the spread is unknown\n" in once
    assert "rough" not in once


def test_the_start_up_is_subtracted_within_each_round_unless_nothing_is_left() -> None:
    text = str(Timing(ALIKE, rounds_of((1.5, 0.75), start=0.5)))
    assert (
        "without start-up, s\n  torch              1.00\n  minitrain          0.250\n  torch / minitrain  4.00\n"
        in text
    )
    assert "\n  too short to be compared\n" in str(Timing(ALIKE, rounds_of((1.5, 0.5), start=0.5)))


def test_a_failed_run_of_a_round_is_reported_and_its_time_left_out() -> None:
    timing = Timing(ALIKE, rounds_of((2, 1), (2, 1), (90, 1), torch=outcome(90, status=1)))
    assert not timing.same
    assert timing.remarks(timing.rounds[-1]) == ["torch ended with status 1, its time is left out: ValueError: boom"]
    assert "\n  torch              2.00 [2.00 to 2.00] (2 runs)\n" in str(timing)
    assert "torch / minitrain  2.00 [2.00 to 2.00]" in str(timing)
    assert timing.figures()["torch"]["seconds"] == [2, 2, None]


def test_an_output_that_differs_from_run_to_run_gives_no_ratio() -> None:
    timing = Timing(ALIKE, rounds_of((2, 1), (2, 1), minitrain=outcome(output="loss 2\n")))
    assert not timing.same
    assert timing.remarks(timing.rounds[-1]) == ["minitrain printed other output than in its first run"]
    assert "No ratio: the output on minitrain differs from run to run.\nSet a seed, and do not print times." in str(
        timing
    )
    assert "torch / minitrain" not in str(timing)
    rounded = Timing(ALIKE, rounds_of((2, 1), (2, 1), minitrain=outcome(output="loss 1.00001\n")))
    assert rounded.same


def test_a_busy_machine_gives_times_but_no_ratio() -> None:
    rounds = rounds_of((2, 1), (2, 1))
    assert "torch / minitrain" in str(Timing(ALIKE, rounds, slowdowns=(1.0, 9.0, 1.5)))  # a short disturbance
    timing = Timing(ALIKE, rounds, slowdowns=(1.0, 2.5, 1.6))
    assert str(timing).endswith(
        "No ratio: the machine was busy: fixed work took 1.6 times\n"
        "its best time. Measure again while nothing else runs."
    )
    assert str(timing).startswith("Measured on a busy machine, so times are too long:\n    ")
    assert "busy" not in str(Timing(ALIKE, rounds))
    assert "torch / minitrain" not in str(timing)
    assert "\n  torch              2.00 [2.00 to 2.00]\n" in str(timing)
    assert timing.same
    assert timing.figures()["slowdowns"] == [1.0, 2.5, 1.6]


def test_fixed_work_is_done_by_no_more_threads_than_there_are_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy, "cpus", lambda: 1)
    monkeypatch.setattr(busy, "ThreadPoolExecutor", lambda threads: pools.append(threads) or executor(threads))
    pools: list[int] = []
    executor = ThreadPoolExecutor
    busy.fixed_work(8)
    assert pools == [1]


@pytest.fixture
def small_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for programs, whose torch is a few lines and imported at once; minitrain's side is as always."""
    folder = tmp_path / "small"
    folder.mkdir()
    write(
        folder,
        """
        from types import SimpleNamespace as Space
        operators = []
        library = Space(define=lambda name, schema: operators.append(name))
        backends = Space(
            mkl=Space(is_available=lambda: True), cpu=Space(get_cpu_capability=lambda: "SMALL")
        )
        """,
        "torch.py",
    )
    write(
        folder,
        """
        from torch import operators
        if "torchvision::nms" not in operators:
            raise RuntimeError("operator torchvision::nms does not exist")
        """,
        "torchvision.py",
    )
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    return tmp_path


def repeated(program: Path, *arguments: str, rounds: int = 1) -> tuple[Timing, list[str]]:
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[Round.__module__], "fixed_work", lambda threads: (1.1, 1.0))
        return repeat(program, arguments, Runner(3), rounds=rounds, report=said.append), said


def test_rounds_alternate_with_equal_threads_and_a_side_that_sleeps_is_slower(small_torch: Path) -> None:
    log = small_torch / "log"
    program = write(
        small_torch,
        f"""
        import os, time, torch
        with open({str(log)!r}, "a") as file:
            print(torch.__name__, os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"], file=file)
        if torch.__name__ == "minitrain":
            time.sleep(2)
        """,
    )
    timing, said = repeated(program, rounds=2)
    theirs, ours = "torch 3 3", "minitrain 3 3"
    assert log.read_text().splitlines() == [theirs, ours, theirs, ours, ours, theirs]
    assert said[0] == "same output"
    assert [re.sub(r"[\d.]+ s", "T", line) for line in said[1:]] == [
        f"round {n} of 2: torch T, minitrain T" for n in (1, 2)
    ]
    assert timing.same
    assert all(ended.whole("minitrain") >= 2 for ended in timing.rounds)
    assert timing.slowdowns == pytest.approx([1.1] * 3)  # before each round and after the last
    assert re.search(r"\n  torch is [\d.]+ times as fast\n", str(timing))


def test_outputs_that_differ_are_shown_and_give_times_but_no_ratio(small_torch: Path) -> None:
    program = write(small_torch, "import torch\nprint(1.0 + (torch.__name__ == 'torch'))\n")
    timing, said = repeated(program)
    assert said[0].startswith("Line 1 differs:\n  torch      2.0\n  minitrain  1.0")
    assert not timing.same
    assert "No ratio: the outputs differ, so the two may not do the same work." in str(timing)
    assert "torch / minitrain" not in str(timing)
    assert timing.figures()["torch"]["seconds"][0] > 0


def test_a_program_that_fails_on_one_side_is_not_timed(small_torch: Path) -> None:
    program = write(small_torch, "import torch\nassert torch.__name__ == 'torch', 'here'\n")
    timing, said = repeated(program)
    assert said == ["minitrain ended with: AssertionError: here"]
    assert (timing.same, timing.rounds) == (False, [])
    assert str(timing) == "Not timed: the program must end with status 0 on both."


def test_a_torchvision_that_torch_does_not_know_is_helped(small_torch: Path) -> None:
    program = write(small_torch, "import sys, torchvision\nprint(__name__, sys.argv[1:], __file__, sys.path[0])\n")
    timing, said = repeated(program, "a", "b")
    assert said[0] == "same output"
    assert timing.comparison.torch.output == f"__main__ ['a', 'b'] {program} {small_torch}\n"
    assert timing.rounds[0].start("torch") > 0


def test_the_start_up_has_only_the_programs_imports_of_torch() -> None:
    program = b"""
from __future__ import annotations
import torch.nn as nn, os
import torchvision.transforms as T
from torch.utils.data import DataLoader
from .torch import this
import numpy
print("not this")
"""
    assert torch_imports(program).splitlines() == [
        "import torch",
        "import torchvision.transforms as T",
        "from torch.utils.data import DataLoader",
    ]


def test_the_command_repeats_and_writes_json(small_torch: Path) -> None:
    program = write(small_torch, "import sys, torch\nprint(sys.argv[1:])\n")
    options = ("--compare", "--repeat", "1", "--threads", "1", "--json", str(small_torch / "times.json"))
    done = ran(program, "--epochs", "3", options=options)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^same output\nround 1 of 1: torch [\d.]+ s, minitrain [\d.]+ s\n", done.stdout)
    assert re.search(
        r", 1 thread for each\nminitrain .*, NumPy .*\ntorch .*: MKL, CPU capability SMALL\n$", done.stdout
    )
    assert max(map(len, done.stdout.splitlines()[:-3])) <= 60
    written = json.loads((small_torch / "times.json").read_text())
    assert written["program"] == [str(program), "--epochs", "3"]
    assert len(written["slowdowns"]) == 2
    assert [*written["minitrain"]] == ["seconds", "start_up_seconds", "peak_memory_mb"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("--repeat 3 x.py", "--repeat needs --compare"),
        ("--threads 3 x.py", "--threads needs --compare"),
        ("--compare --json x.json x.py", "--json needs --repeat"),
        ("--compare --repeat 0 x.py", "--repeat must be at least 1, but got 0"),
        ("--compare --threads -1 x.py", "--threads must be at least 1, but got -1"),
        ("--compare --repeat 2 x.py", "cannot read x.py: No such file or directory"),
    ],
)
def test_a_wrong_use_of_repeat_is_refused(
    line: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", *line.split()]) == 2
    assert capsys.readouterr().err == f"minitrain: error: {error}\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_rounds_at_once_and_the_program_with_them(small_torch: Path, number: signal.Signals) -> None:
    program = write(
        small_torch,
        """
        import os, time, torch
        names = open("names", "a")
        print(os.getpid(), file=names, flush=True)
        if sum(1 for _ in open("names")) == 4:  # in the first round
            print("last", file=names, flush=True)
            time.sleep(100)
        """,
    )
    command = [*COMMAND, "--compare", "--repeat", "3", str(program)]
    names = small_torch / "names"
    with subprocess.Popen(
        command, cwd=small_torch, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            while not (names.exists() and "last" in names.read_text()):
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, err) == (128 + number, "minitrain: interrupted\n")
    assert out == "same output\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int(names.read_text().split()[-2]), 0)
