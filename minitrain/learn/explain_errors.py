"""Explains what went wrong in a learner's code: the line, the exception, and what it usually means."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minitrain.learn.screen import wrapped
from minitrain.learn.splice import Piece

READ_ONLY = (
    "Other code also uses the inputs and what forward saved, so you must not write into them. Make a new array: "
    "x = x * 2 instead of x *= 2. To change only parts of an array, start with a copy."
)
NONE_SAVED = (
    "Something here is None. It may be an optional input, such as a bias. Or forward did not save it, because no input "
    "that needs it requires a gradient (see ctx.needs_input_grad)."
)
NO_GRADIENT = "A parameter that got no gradient has .grad None. Check for it before you use .grad."
LEFT_FOR_BACKWARD = (
    "backward reads what it needs from ctx, so forward must save it there. Save arrays with "
    "ctx.save_for_backward(...), in the order in which backward reads them from ctx.saved_arrays. Save anything else "
    "as an attribute, ctx.shape = ..."
)
WHAT_FORWARD_SAVED = (
    "backward gets what forward saved, and forward is given here: {saved}. Take as many arrays from ctx.saved_arrays, "
    "in the same order."
)
SHAPES = "The shapes do not fit: (n, k) @ (k, m) is (n, m), with the same k in both."
BROADCAST = (
    "NumPy compares shapes from the right: two sizes must be equal, or one of them 1. A sum, mean or maximum over an "
    "axis removes it; keepdims=True keeps it, with size 1."
)
QUEUED_TWICE = (
    "No gradient is left for this node, because it was queued twice. A node that is waiting already only gets the new "
    "gradient added to its own; then continue with the next input, without queueing it again."
)
NOT_SET = (
    "No line before this one has set that name. If the line is given, your part has to set it. A typing error, or a "
    "missing import, looks the same."
)
MEMORY = "This needs more memory than a check may use."
RECURSION = "The function calls itself without end, or more often than Python allows. A loop has no such limit."
EXIT = "The check cannot continue when its process exits: remove exit() and quit()."
KEYBOARD = "A check has no keyboard: remove input() and breakpoint(). What you print() is shown."
CIRCULAR = "This file becomes part of a module that the imported module needs. Import it inside the function."
# The exception's type, a part of its message, a part of the line, and the explanation.
EXPLANATIONS = (
    ("ValueError", "read-only", "", READ_ONLY),
    ("ValueError", "values to unpack", "saved_arrays", LEFT_FOR_BACKWARD),
    ("AttributeError", "'Context' object has no attribute", "", LEFT_FOR_BACKWARD),
    ("AttributeError", "'NoneType'", ".grad.", NO_GRADIENT),
    ("TypeError", "'NoneType'", "", NONE_SAVED),
    ("AttributeError", "'NoneType'", "", NONE_SAVED),
    ("UFuncTypeError", "dtype('O')", "", NONE_SAVED),
    ("ValueError", "matmul: Input operand", "", SHAPES),
    ("ValueError", "could not be broadcast together", "", BROADCAST),
    ("KeyError", "", "pending.pop", QUEUED_TWICE),
    ("NameError", "is not defined", "", NOT_SET),
    ("UnboundLocalError", "", "", NOT_SET),
    ("MemoryError", "", "", MEMORY),
    ("RecursionError", "", "", RECURSION),
    ("SystemExit", "", "", EXIT),
    ("EOFError", "", "", KEYBOARD),
    ("BdbQuit", "", "", KEYBOARD),
    ("ImportError", "partially initialized", "", CIRCULAR),
)


class LearnerFile:
    """A learner's file, and where in it an error happened."""

    def __init__(self, path: Path, source: str, piece: Piece, limit: float) -> None:
        self.path, self.source, self.piece, self.limit = path, source, piece, limit
        self._tree = ast.parse(source)

    def explain(self, answer: Mapping[str, Any]) -> str | None:
        """Explain why the child process has no result; None if it has one."""
        if "refused" in answer:
            return wrapped(answer["refused"])
        if "died" in answer:
            return self._death(answer)
        return self._error(answer["error"]) if "error" in answer else None

    def _error(self, error: Mapping[str, Any]) -> str:
        case = "".join(f"Case: {note}\n" for note in error["notes"])
        kind, message = error["type"], _plain(error["message"])
        if kind == "ContractError":
            line = self._where_it_returns(error["function"] or self.piece.name)
            return case + (place(self.path, line, self.source) if line else "") + wrapped(message)
        lines = [(line, name, shapes) for file, line, name, shapes in error["frames"] if file == str(self.path)]
        if not lines:
            file, line, name, _ = error["frames"][-1]
            what = f"{kind}: {message}" if message else kind
            return case + wrapped(
                f"{what}\nThe library raised this in {file}, line {line}, in {name}, using your piece's results."
            )
        line, name, shapes = lines[-1]
        if kind == "NotImplementedError" and "raise NotImplementedError" in _line(self.source, line):
            text = "This is still to be written. Replace that line with your code; the docstring says what to write."
            return place(self.path, line, self.source) + wrapped(text)
        text = case + place(self.path, line, self.source, name) + wrapped(f"{kind}: {message}" if message else kind)
        callers = list(dict.fromkeys(str(number) for number, *_ in lines[:-1] if number != line))
        if callers:
            text += f"\n(called from line {', '.join(callers[-3:])})"
        for known, part, code, explanation in EXPLANATIONS:
            if kind == known and part in message and code in _line(self.source, line):
                saved = [x.strip() for x in self.source.splitlines() if "ctx.save_for_backward(" in x]
                if explanation == LEFT_FOR_BACKWARD and name == "backward" == self.piece.function_name and saved:
                    explanation = WHAT_FORWARD_SAVED.format(saved=saved[0])
                if explanation in (SHAPES, BROADCAST) and shapes:
                    explanation += f" Here: {shapes}."
                return f"{text}\n{wrapped(explanation)}"
        return text

    def _death(self, answer: Mapping[str, Any]) -> str:
        words = answer["died"]
        file = str(self.path).encode("ascii", "backslashreplace").decode("ascii")
        found = re.search(rf'File "{re.escape(file[:490])}.*", line (\d+) in (\S+)', words)
        line, name = (int(found[1]), found[2]) if found else (None, "")
        where = place(self.path, line, self.source, name) if line else ""
        if words.startswith("Timeout"):
            where = where or "The code did not return to this file, or never called it. "
            return where + wrapped(f"This was still running after {self.limit:g} s. Does every loop end?")
        if words.startswith("Fatal Python error"):
            return where + wrapped(f"The Python interpreter crashed here: {words.splitlines()[0]}.")
        exits = [
            node.lineno
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Attribute | ast.Name)
            and (node.attr if isinstance(node, ast.Attribute) else node.id) in ("_exit", "abort", "kill", "execv")
        ]
        where = place(self.path, exits[0], self.source) if exits else ""
        text = f"The process of the check ended with status {answer['status']} before it had a result."
        errors = answer.get("errors", "").strip()
        return where + wrapped(text + (f"\n{errors}" if errors else ""))

    def _where_it_returns(self, function: str) -> int | None:
        """The line of the function's return; if it has none or several, the line of its def."""
        holder, _, name = function.rpartition(".")
        nodes: list[ast.stmt] = self._tree.body
        if holder:
            nodes = [x for node in nodes if isinstance(node, ast.ClassDef) and node.name == holder for x in node.body]
        for node in nodes:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                returns = [x.lineno for x in ast.walk(node) if isinstance(x, ast.Return)]
                return returns[0] if len(returns) == 1 else node.lineno
        return None


def _plain(message: str) -> str:
    """NumPy's message without the signature of its C function, and without addresses in memory."""
    return re.sub(r", with gufunc signature \S+|(?<=\w) object at 0x\w+", "", message)


def place(path: Path, line: int | None, source: str, name: str = "") -> str:
    """A place in the learner's file: its name, the line number, and the line's text."""
    if line is None:
        return f"{path.name}:\n"
    text = _line(source, line).strip()
    return f"{path.name}, line {line}{f', in {name}' if name else ''}:\n" + (f"    {text}\n" if text else "")


def _line(source: str, number: int) -> str:
    lines = source.splitlines()
    return lines[number - 1] if 0 < number <= len(lines) else ""
