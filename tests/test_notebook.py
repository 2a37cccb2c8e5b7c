"""Notebooks of the exercises: their cells, the check of a cell, its page, and what is saved."""

import ast
import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from minitrain.learn import notebook, write_notebook
from minitrain.learn.checking import Stage, check
from minitrain.learn.exercises import EXERCISES, PACKAGE, Exercise
from minitrain.learn.formulas import FORMULAS, formula
from minitrain.learn.splice import find_piece
from minitrain.learn.workspace import LearnUsageError, Workspace, find, start
from minitrain.learn.write_notebook import as_text, code_of, write_notebooks
from tests.test_cli import minitrain

TRACKS: dict[str, list[Exercise]] = {}
for each in EXERCISES.values():
    TRACKS.setdefault(each.track, []).append(each)
QUICK = ("Numeric gradients", "The tape")  # executed in every test run; the others only with the slow tests
RELU = EXERCISES["relu-backward"]
RIGHT, STUB = code_of(RELU.solution()), code_of(RELU.stub())
WRONG = STUB.replace('raise NotImplementedError("write this part of ReLU.backward")', "return grad_y")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A folder just made, in the current directory."""
    monkeypatch.chdir(tmp_path)
    return start(None, EXERCISES).workspace


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., notebook.Result]:
    """Runs cells, the last of which checks relu-backward."""
    monkeypatch.setattr(notebook.checking, "check", functools.partial(check, torch=False))

    def run(*cells: str, name: str = "relu-backward", piece: object = None) -> notebook.Result:
        monkeypatch.setattr(notebook, "_history", lambda: ["", *cells])
        return notebook.check(name, piece)

    return run


# --- the notebooks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("track", TRACKS)
def test_a_notebook_has_four_cells_for_each_exercise(track: str) -> None:
    cells = {cell.id: cell for cell in nbformat.reads(as_text(track, TRACKS[track]), as_version=4).cells}
    assert len(cells) == 2 + 4 * len(TRACKS[track])
    for exercise in TRACKS[track]:
        text, code, call, hints = (cells[f"{exercise.name}-{part}"] for part in ("text", "code", "check", "hints"))
        assert text.cell_type == hints.cell_type == "markdown"
        assert exercise.title in text.source
        assert (formula(exercise.target) is None) or "\\text{shapes:}" in text.source
        assert notebook.as_file(exercise, code.source) == exercise.stub()
        top = ast.parse(call.source).body[0].value.args[1].id  # type: ignore[attr-defined]
        assert notebook.defines(code.source, top)
        assert hints.source.count("<details>") == len(exercise.hints)
        solved = code_of(exercise.solution())
        assert solved not in "\n".join(cell.source for cell in cells.values())


def test_the_formulas_are_of_pieces_of_the_library_and_can_be_typeset() -> None:
    for piece, content in FORMULAS.items():
        if re.fullmatch(r"ops\.[A-Z]\w*", piece):
            find_piece(PACKAGE, f"{piece}.forward")
        else:
            find_piece(PACKAGE, piece)
        assert content.count("{") == content.count("}"), piece
        assert content.count(r"\left(") == content.count(r"\right)"), piece
        assert "shapes:" in content, piece
        assert "{{" not in content.replace("{{\\", ""), piece


def test_every_exercise_on_an_operation_has_a_formula() -> None:
    operations = [x.name for x in EXERCISES.values() if re.fullmatch(r"ops\.[A-Z]\w*\.\w+", x.target)]
    assert [name for name in operations if formula(EXERCISES[name].target) is None] == []


def test_an_existing_notebook_is_kept(workspace: Workspace) -> None:
    path = workspace.folder / "training.ipynb"
    path.write_text("mine")
    written, kept = write_notebooks(workspace, ["training", "the-tape"])
    assert written == [workspace.folder / "the_tape.ipynb"]
    assert kept == [path]
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("trainig", "there is no track 'trainig'; did you mean training?"),
        ("", "there is no track ''"),
        ("f", "'f' could be forward_passes or find_the_bug"),
    ],
)
def test_an_unknown_track_is_refused(name: str, message: str, workspace: Workspace) -> None:
    with pytest.raises(LearnUsageError) as error:
        write_notebooks(workspace, [name])
    assert str(error.value).startswith(message)


def test_without_nbformat_the_message_names_the_extra(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_notebook, "find_spec", lambda name: None)
    with pytest.raises(LearnUsageError, match=re.escape('pip install -e ".[notebook]"')):
        write_notebooks(workspace, [])


def test_the_command_makes_the_folder_and_says_what_it_wrote(tmp_path: Path) -> None:
    result = minitrain("learn", "notebook", "training", "--dir", "mine", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout.startswith("wrote  mine/training.ipynb\n")
    again = minitrain("learn", "notebook", "training", "--dir", "mine", cwd=tmp_path)
    assert again.stdout == "kept   mine/training.ipynb (it exists: rename it to get a new one)\n"


# --- the check of a cell ----------------------------------------------------------------------------------------------


def test_a_right_cell_passes_and_its_code_and_result_are_saved(
    workspace: Workspace, run: Callable[..., notebook.Result]
) -> None:
    result = run(STUB, RIGHT, "1 + 1")
    assert result.passed
    assert [stage.name for stage in result.stages] == ["file", "gradcheck", "torch", "training"]
    assert "Next: flatten-backward, in this notebook" in repr(result)
    assert workspace.content(RELU) == RELU.solution().encode()
    standing = workspace.standing(RELU)
    assert (standing.status, standing.changed) == ("done", False)
    page = result._repr_html_()
    assert "Passed" in page
    assert page.count("<polyline") == 2
    assert "█" not in page
    ElementTree.fromstring(page.replace("&nbsp;", " "))  # well-formed


def test_a_wrong_cell_is_explained_with_its_number_and_lines(
    workspace: Workspace, run: Callable[..., notebook.Result]
) -> None:
    unwritten = run(RIGHT, STUB)
    line = STUB.splitlines().index('        raise NotImplementedError("write this part of ReLU.backward")') + 1
    assert f"Cell In[2], line {line}:" in repr(unwritten)
    assert "This is still to be written" in repr(unwritten)
    assert "Likely" in repr(run(WRONG))
    syntax = run(RIGHT, WRONG.replace("return grad_y", "return grad_y +"))  # the object is the right one's still
    assert not syntax.passed
    assert f"Cell In[2], line {line}:\n            return grad_y +" in repr(syntax)
    elsewhere = run("def helper(): pass", WRONG.replace("return grad_y", "return helper()"))
    assert "NameError: name 'helper' is not defined" in repr(elsewhere)
    assert "A check runs this cell alone." in repr(elsewhere)
    assert workspace.standing(RELU).status == "tried"
    assert "<polyline" not in elsewhere._repr_html_()


def test_an_edited_file_is_kept_before_a_cell_replaces_it(
    workspace: Workspace, run: Callable[..., notebook.Result]
) -> None:
    syntax = "class ReLU:\n  def\n"
    run(syntax)  # replaces the stub
    assert b"def\n" in (workspace.content(RELU) or b"")
    run(syntax + "# again\n")  # replaces what the check wrote
    path = workspace.file(RELU)
    assert list(path.parent.glob("*kept*")) == []
    path.write_text("# edited\n")
    result = run(syntax)
    kept = path.with_name("relu_backward.kept-1.py")
    assert kept.read_text() == "# edited\n"
    assert f"It is kept as {workspace.shown(kept)}." in repr(result)


def test_what_cannot_be_checked_is_explained(workspace: Workspace, run: Callable[..., notebook.Result]) -> None:
    from minitrain.ops.elementwise import ReLU

    for result, message in [
        (run("1", name="relu-backwrad"), "there is no exercise 'relu-backwrad'; did you mean relu-backward"),
        (run("1"), "no cell that defines ReLU was run"),
        (run("1", piece=ReLU), "this ReLU is the library's own"),
        (run("1", piece=dict), "is about ReLU, but it got the class dict"),
        (run("1", piece=3), "is about ReLU, but it got a int"),
    ]:
        assert not result.passed
        assert message in " ".join(repr(result).split())
        assert message.split("'")[0] in " ".join(result._repr_html_().split())
    assert workspace.standing(RELU).tries == 0


def test_without_a_folder_of_exercises_a_cell_is_checked_but_not_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., notebook.Result]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("class ReLU:\n  def\n")
    assert "this is not Python" in repr(result)
    assert "Your progress was not saved: there is no folder of exercises here" in repr(result)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_progress_file_is_reported_on_the_page(
    workspace: Workspace, run: Callable[..., notebook.Result]
) -> None:
    (workspace.folder / ".minitrain-learn.json").write_text("{")
    result = run("class ReLU:\n  def\n")
    assert "Your progress was not saved: minitrain-exercises/.minitrain-learn.json cannot be read" in repr(result)


def test_magics_do_not_move_the_lines() -> None:
    assert notebook.without_magics("%%time\n!ls\nx = 1 % 2\n") == "# %%time\n# !ls\nx = 1 % 2\n"


def test_the_picture_has_gaps_where_the_loss_is_not_finite_and_escapes_its_words() -> None:
    nan = float("nan")
    picture = notebook.curves_as_svg({"<yours>": [1.0, nan, 2.0, 3.0], "theirs": [1.0, 1.0, 1.0, 1.0]})
    tree = ElementTree.fromstring(picture)
    assert len(tree.findall("{*}polyline")) == 3
    page = notebook.Result("a<b", "", (Stage("file", False, "<script>"),), ("<b>",))._repr_html_()
    assert "<script>" not in page
    assert "<b>" not in page.replace('<b style="', "").replace("<b>a&lt;b</b>", "")


# --- in a kernel ------------------------------------------------------------------------------------------------------


WITHOUT_TORCH = """\
import functools
from minitrain.learn import checking
checking.check = functools.partial(checking.check, torch=False)
"""


def executed(track: str, folder: Path, *, solved: bool) -> Any:
    """The notebook of a track after all cells were run."""
    made = nbformat.reads(as_text(track, TRACKS[track], solved=solved), as_version=4)
    made.cells.insert(0, nbformat.v4.new_code_cell(WITHOUT_TORCH))  # to import torch takes longer than all the rest
    NotebookClient(made, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    return made


@pytest.mark.parametrize(
    "track", [pytest.param(track, marks=() if track in QUICK else pytest.mark.slow) for track in TRACKS]
)
@pytest.mark.parametrize("solved", [False, True])
@pytest.mark.filterwarnings("default")  # those of Jupyter's own packages
def test_a_notebook_runs_in_a_kernel(track: str, solved: bool, tmp_path: Path) -> None:
    workspace = start(str(tmp_path / "folder"), EXERCISES).workspace
    cells = {cell.id: cell for cell in executed(track, workspace.folder, solved=solved).cells}
    for number, exercise in enumerate(TRACKS[track]):
        (output,) = cells[f"{exercise.name}-check"].outputs
        assert output.output_type == "execute_result"
        text, page = output.data["text/plain"], output.data["text/html"]
        assert ("\nPassed.\n" in text) is solved, text
        assert solved or f"Cell In[{3 + 2 * number}], line " in text or exercise.bug, text
        assert "Traceback" not in text
        assert ("<svg" in page) is (solved and track != "Reading")  # where nothing is trained
        assert workspace.standing(exercise).status == ("done" if solved else "tried")
    assert json.loads((workspace.folder / ".minitrain-learn.json").read_bytes())["exercises"].keys() == {
        exercise.name for exercise in TRACKS[track]
    }
    assert find(str(workspace.folder), EXERCISES).next() is not None


def test_a_wrong_gradient_is_shown_beside_the_right_one(run: Callable[..., notebook.Result]) -> None:
    result = run(EXERCISES["relu-backward"].with_body("(y,) = ctx.saved_arrays\nreturn 2 * grad_y * (y > 0)"))
    stage = result.stages[-1]
    yours, right = stage.arrays.values()
    np.testing.assert_array_equal(yours, 2 * right)
    page = result._repr_html_()
    assert list(stage.arrays) == ["your dL/dx", "the library's"]
    assert page.count("<td") == 2 * right.size
    assert page.count("outline: 2px") == 2 * np.count_nonzero(right)
    for number in (*yours.flat, *right.flat):
        assert f">{number:.3g}</td>" in page


def test_arrays_of_any_shape_are_shown_as_tables() -> None:
    rng = np.random.RandomState(0)
    for shape, cells in {(): 1, (3,): 3, (2, 0): 0, (2, 3, 4): 12, (30, 40): 144}.items():
        page = notebook.arrays_as_tables({"yours": np.asarray(rng.randn(*shape)), "<b>": np.full(shape, np.nan)})
        assert page.count("<td") == 2 * cells
        assert "<b>" not in page
    assert notebook.arrays_as_tables({}) == ""
