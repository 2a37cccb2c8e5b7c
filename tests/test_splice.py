"""Pieces of the library, taken out and put back: what the learner gets, and what runs in the library's place."""

import ast
import inspect
import types
from pathlib import Path
from typing import Any

import pytest

from minitrain.learn.splice import Piece, SpliceError, body_of, find_piece, learner_file, splice

PACKAGE = Path(__file__).parents[1] / "minitrain"

MODULE = '''"""A module."""

from __future__ import annotations

import math
from collections.abc import Callable as Call

SCALE = 2


def helper(x: float) -> float:
    return x * SCALE


def area(
    r: float,
    *,
    exact: bool = True,
) -> float:
    """πr².

    Above 0.
    """
    # r: a length
    factor = math.pi if exact else 3

    # and now
    return factor * helper(r) * r / 2


class Shape:
    """A shape."""

    name = "shape"

    @staticmethod
    def make(kind: str) -> Shape:
        return Shape()

    def grow(self, by: Call[[], int]) -> str:
        if self.name:
            grown = [self.name for _ in range(by())]  # a comment
            return "".join(grown)
        return ""

    shrink = grow


def last() -> str:
    return Shape().shrink(lambda: 2)
'''


def piece(name: str, source: str = MODULE) -> Piece:
    return Piece("lib.shapes", Path("/lib/shapes.py"), source, name)


def run(code: list[types.CodeType]) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "lib.shapes"}
    for part in code:
        exec(part, namespace)
    return namespace


def spliced(name: str, text: str) -> dict[str, Any]:
    return run(splice(piece(name), text, "/home/me.py"))


def functions_of(codes: list[types.CodeType]) -> dict[str, tuple[Any, ...]]:
    """What every function uses, in the order of its use, by its qualified name, wherever it stands in its file."""
    found: dict[str, tuple[Any, ...]] = {}
    waiting = list(codes)
    while waiting:
        code = waiting.pop()
        waiting += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
        if code.co_flags & inspect.CO_NEWLOCALS:
            constants = [repr(x) for x in code.co_consts if not isinstance(x, types.CodeType)]
            found[code.co_qualname] = (code.co_names, code.co_varnames, code.co_freevars, constants)
    return found


# --- the learner's file -----------------------------------------------------------------------------------------------


def test_the_file_keeps_the_signature_the_docstring_and_the_comments_under_it() -> None:
    text = learner_file(piece("area"), 'raise NotImplementedError("write it")', introduction="area: of a circle")
    assert text == (
        '"""area: of a circle\n"""\n\n'
        "from __future__ import annotations\n\n"
        "import math\n\n"
        "from lib.shapes import helper\n\n\n"
        "def area(\n    r: float,\n    *,\n    exact: bool = True,\n) -> float:\n"
        '    """πr².\n\n    Above 0.\n    """\n'
        "    # r: a length\n"
        '    raise NotImplementedError("write it")\n'
    )


def test_a_method_comes_with_its_class_and_those_of_its_methods_that_are_given() -> None:
    text = learner_file(piece("Shape.grow"), "return self.name", introduction="grow")
    assert "    # Given, as it is in lib.shapes.\n    @staticmethod\n    def make(kind: str) -> Shape:\n" in text
    assert text.endswith("    def grow(self, by: Call[[], int]) -> str:\n        return self.name\n")
    assert "from collections.abc import Callable as Call" in text
    alone = learner_file(piece("Shape.grow"), "return self.name", introduction="grow", given=())
    assert "make" not in alone
    assert '    """A shape."""\n\n    def grow' in alone


def test_a_gap_takes_out_whole_statements_between_two_beginnings() -> None:
    text = learner_file(piece("Shape.grow"), "raise NotImplementedError", introduction="x", gap=("if self", "if self"))
    assert text.endswith('str:\n        raise NotImplementedError\n        return ""\n')
    text = learner_file(piece("area"), "raise NotImplementedError", introduction="x", gap=("# and now", "return"))
    assert text.endswith("3\n\n    raise NotImplementedError\n")
    assert body_of(piece("area"), ("factor", "factor")) == "factor = math.pi if exact else 3"


@pytest.mark.parametrize("gap", [("nothing", "return"), ("return", "return")])
def test_a_gap_that_is_not_there_once_is_an_error(gap: tuple[str, str]) -> None:
    with pytest.raises(LookupError, match="should have one line that begins with"):
        learner_file(piece("Shape.grow"), "pass", introduction="x", gap=gap)


def test_pieces_are_found_by_their_dotted_names() -> None:
    found = find_piece(PACKAGE, "nn.layers.Linear.reset_parameters")
    assert (found.module, found.name) == ("minitrain.nn.layers", "Linear.reset_parameters")
    assert find_piece(PACKAGE, "ops.unbroadcast").class_name == ""
    for missing in ("ops.ReLU.sideways", "ops.NoSuch.backward", "nothing.at_all"):
        with pytest.raises(LookupError):
            find_piece(PACKAGE, missing)


# --- in the library's place -------------------------------------------------------------------------------------------


def test_the_learners_function_takes_the_place_of_the_librarys_wherever_it_is_used() -> None:
    body = 'return "mine" * by()'
    assert run(splice(piece("Shape.grow"), learner_file(piece("Shape.grow"), body, introduction="x"), "f"))[
        "last"
    ]() == ("minemine")


@pytest.mark.parametrize("module", ["ops.elementwise", "tape", "nn.init", "loops"])
def test_the_librarys_own_body_put_back_makes_the_same_module(module: str) -> None:
    path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    source = path.read_text("utf-8")
    right = functions_of([compile(source, str(path), "exec", dont_inherit=True)])
    tree = ast.parse(source)
    names = [x.name for x in tree.body if isinstance(x, ast.FunctionDef)]
    for holder in tree.body:
        if isinstance(holder, ast.ClassDef):
            names += [f"{holder.name}.{x.name}" for x in holder.body if isinstance(x, ast.FunctionDef)][-1:]
    assert names
    for name in names:
        piece = find_piece(PACKAGE, f"{module}.{name}")
        text = learner_file(piece, body_of(piece), introduction="as it is")
        assert functions_of(splice(piece, text, "mine.py")) == right, name


def test_an_error_in_the_learners_code_has_the_learners_file_and_line() -> None:
    text = (
        "class Shape:\n"
        "    def grow(self, by):\n"
        "        def inner(x):\n"
        "            return [\n"
        "                (lambda y: y / 0)(x)\n"
        "                for x in [x]\n"
        "            ]\n"
        "        return inner(by())\n"
    )
    with pytest.raises(ZeroDivisionError) as raised:
        spliced("Shape.grow", text)["last"]()
    places = [(str(entry.path), entry.lineno + 1) for entry in raised.traceback]
    mine = [line for path, line in places if path.endswith("me.py")]
    assert mine[0] == 8
    assert mine[-1] == 5
    line_of_last = MODULE.splitlines().index("    return Shape().shrink(lambda: 2)") + 1
    codes = {code.co_filename for code in splice(piece("Shape.grow"), text, "/home/me.py")}
    assert codes == {"/lib/shapes.py", "/home/me.py"}
    assert raised.traceback[1].lineno + 1 == line_of_last
    assert raised.traceback[1].frame.code.raw.co_filename == "/lib/shapes.py"


def test_imports_and_helpers_come_along() -> None:
    text = (
        "import cmath\nfrom lib.shapes import helper as twice, SCALE\n\n"
        "ONE = 1\n\ndef own(x):\n    return twice(x) + ONE\n\n"
        "def area(r, *, exact=True):\n    return own(r) + cmath.inf * 0 if exact is None else own(r)\n\n"
        "CALLED = area(3)\n"
    )
    namespace = spliced("area", text)
    assert namespace["area"](3) == 7
    assert namespace["CALLED"] == 7


def test_files_of_earlier_versions_may_import_what_has_moved_unless_they_use_what_is_gone() -> None:
    text = (
        "from lib.shapes import Base, gone\nfrom lib import helper as twice\nfrom lib.older import vanished\n"
        "class Shape(Base):\n    def grow(self, by: gone) -> gone:\n        return twice(by())\n"
    )
    nested = Piece("lib.shapes.plane", Path("/lib/shapes/plane.py"), MODULE, "Shape.grow")
    text = text.replace("from lib import", "from lib.shapes import")
    assert run(splice(nested, text, "/home/me.py"))["last"]() == 4
    text += "    @staticmethod\n    def make(kind):\n        return gone\n"
    assert isinstance(run(splice(nested, text, "/home/me.py"))["Shape"].make("x").name, str)


def test_what_the_file_does_when_it_is_run_is_not_done() -> None:
    text = 'def area(r, *, exact=True):\n    return 1\n\nif __name__ == "__main__":\n    raise SystemExit\n'
    assert spliced("area", text)["area"](1) == 1


def test_other_methods_of_the_class_are_the_learners_too_and_those_left_out_stay() -> None:
    text = (
        'class Shape:\n    kind = "new"\n    def grow(self, by):\n        return self.more()\n'
        "    def more(self):\n        return self.kind\n"
    )
    namespace = spliced("Shape.grow", text)
    assert namespace["last"]() == "new"
    assert isinstance(namespace["Shape"].make("x"), namespace["Shape"])
    made = "    @staticmethod\n    def make(kind):\n        return kind\n"
    assert spliced("Shape.grow", GOOD + made)["Shape"].make("x") == "x"


GOOD = "class Shape:\n    def grow(self, by):\n        return 1\n"


@pytest.mark.parametrize(
    ("name", "text", "line", "message"),
    [
        ("area", "def area(r, *, exact=True)\n    return 1\n", 1, "not Python"),
        ("area", "x = 1\ndef area(r, *, exact=True):\n\treturn 1\n        return 2\n", 4, "not Python"),
        ("area", "return 1\n", 1, "outside function"),
        ("area", "x = '\0'\n", None, "null bytes"),
        ("area", "(" * 500 + ")" * 500, 1, "not Python"),
        ("area", "", None, "the function area is missing"),
        ("area", "def aera(r, *, exact=True):\n    return 1\n", None, "There is aera: did you mean that?"),
        ("area", "def area(r):\n    return 1\n", 1, r"takes \(r, \*, exact\), but here it takes \(r\)"),
        ("area", "x = 1\ndef area(s, *, exact=True):\n    return 1\n", 2, "Keep the parameters"),
        ("area", "async def area(r, *, exact=True):\n    return 1\n", 1, "plain function"),
        ("area", "class area:\n    pass\n", 1, "plain function"),
        ("area", "area = lambda r, *, exact=True: 1\n", None, "missing"),
        ("area", "def area(r, *, exact=True): ...\n\ndef area(r, *, exact=True): ...\n", 3, "a second time"),
        ("Shape.grow", "x = 1\n", None, "the class Shape is missing"),
        ("Shape.grow", "def Shape(): ...\n", 1, "must be a class"),
        ("Shape.grow", "class Shape:\n    pass\n", 1, "the method Shape.grow is missing"),
        ("Shape.grow", GOOD + GOOD, 4, "a second time"),
        ("Shape.grow", GOOD + "    def grow(self, by):\n        return 2\n", 4, "a second time"),
        ("Shape.grow", "class Shape:\n    async def grow(self, by): ...\n", 2, "async"),
        ("Shape.grow", GOOD + "    def make(kind):\n        return 2\n", 4, "@staticmethod is missing above make"),
        ("Shape.grow", "def helper(x):\n    return 1\n" + GOOD, 1, "already has a helper"),
        (
            "Shape.grow",
            "from lib.shapes import nothing\n" + GOOD.replace("return 1", "return nothing"),
            1,
            "has no nothing",
        ),
    ],
)
def test_a_file_that_cannot_stand_in_is_told_why_and_where(
    name: str, text: str, line: int | None, message: str
) -> None:
    with pytest.raises(SpliceError, match=message) as raised:
        splice(piece(name), text, "me.py")
    assert raised.value.line == line
