"""The command `minitrain`, with faults at chosen moments: python -m tests.sabotage RULES train ...

RULES is JSON, a list of [event, text, number, action]: at that event's n-th time on a path that contains the text
(from 1 up), do this. The events, in the order in which a run meets them:

data        a data set is about to be loaded
batch       the parameters are about to be updated
test        a test pass is about to begin
half        half of a file's data is written, of a new file or of lines that are appended
written     a file is about to be flushed to the disk, all its data being written
rename      a file that is whole is about to get its name; renamed: it has it
remove      a file is about to be removed

The actions: a signal's name, or several joined by "+", sends this process itself those signals; "pause:FILE" makes
FILE and waits until it is removed again. ["break", what, 0, ""] makes a resumed run forget something, for tests that
show that this is noticed. ["wait", seconds, 0, ""] is how long the run waits for room. ["flip", text, n, ""] is a disk
that gives back another bit of the n-th file on such a path.
"""

import collections
import io
import json
import os
import pathlib
import signal
import sys
import time
from typing import Any


class Rules:
    """What is to happen when."""

    def __init__(self, rules: list[Any]) -> None:
        self._rules, self._counts = rules, collections.Counter[int]()
        self.pause = next((float(text) for event, text, *_ in rules if event == "wait"), 0.1)

    def about(self, event: str, path: object) -> bool:
        """Whether something is to happen at such an event on this path, some time."""
        return any(name == event and text in str(path) for name, text, *_ in self._rules)

    def hit(self, event: str, path: object = "") -> None:
        """Say that an event has come."""
        for i, (name, text, number, action) in enumerate(self._rules):
            if name == event and text in str(path):
                self._counts[i] += 1
                if self._counts[i] == number:
                    _flip(path) if event == "flip" else _act(action)


def _act(action: str) -> None:
    if action.startswith("pause:"):
        mark = pathlib.Path(action.removeprefix("pause:"))
        mark.touch()
        while mark.exists():
            time.sleep(0.005)
        return
    for name in action.split("+"):
        os.kill(os.getpid(), signal.Signals[name])
        time.sleep(0.01)  # in which the handler runs


def _flip(path: object) -> None:
    with open(str(path), "r+b") as file:
        file.seek(100)
        byte = file.read(1)[0]
        file.seek(100)
        file.write(bytes([byte ^ 1]))


class Halved(io.FileIO):
    """A file that is written in halves, with an event between them."""

    def __init__(self, path: pathlib.Path, mode: str, rules: Rules) -> None:
        super().__init__(path, mode)
        self._rules = rules

    def close(self) -> None:
        """Close it, after which the disk may do what it likes."""
        if not self.closed:
            self._rules.hit("flip", self.name)
        super().close()

    def write(self, data: Any) -> int:
        """Write all of it, if the disk has room for it."""
        half = len(data) // 2 if self._rules.about("half", self.name) else 0
        count = self._write(data[:half])
        if count == half:
            self._rules.hit("half", self.name)
            count += self._write(data[half:])
        return count

    def _write(self, data: Any) -> int:
        count = super().write(data)
        while 0 < count < len(data) and not self.readable():  # as Python's buffer does it, of a new file
            count += super().write(data[count:])
        return count


def sabotage(rules: Rules) -> None:
    """Have the functions that a run goes through tell the rules of it."""
    from minitrain.data.datasets import Digits
    from minitrain.runs import recorder
    from minitrain.runs.backend import Backend

    recorder.PAUSES = (rules.pause,) * 3  # type: ignore[assignment]  # the tests shall not wait for long

    def tell(owner: Any, name: str, before: str, after: str = "", path: Any = lambda *args: "") -> None:
        usual = getattr(owner, name)

        def telling(*args: Any, **kwargs: Any) -> Any:
            where = path(*args)
            rules.hit(before, where)
            result = usual(*args, **kwargs)
            rules.hit(after, where)
            return result

        setattr(owner, name, telling)

    tell(Digits, "__init__", "data")
    tell(recorder.Recorder, "before_update", "batch")
    tell(Backend, "test", "test")
    tell(os, "fsync", "written", path=lambda file: os.readlink(f"/proc/self/fd/{file}"))
    tell(pathlib.Path, "replace", "rename", "renamed", path=lambda part, target: target)
    tell(pathlib.Path, "unlink", "remove", path=lambda path: path)

    usual = pathlib.Path.open

    def open_halved(path: pathlib.Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if mode in ("xb", "r+b"):
            return Halved(path, mode, rules)
        return usual(path, mode, *args, **kwargs)

    pathlib.Path.open = open_halved  # type: ignore[method-assign,assignment]


def break_resuming(what: str) -> None:
    """Have a resumed run forget something."""
    from minitrain.data.loader import DataLoader
    from minitrain.runs.backend import Backend
    from minitrain.torchlike.random import Generator

    owner, name = {
        "place in the epoch": (DataLoader, "load_state_dict"),
        "momentum": (Backend, "load_optimizer_state"),
        "weights": (Backend, "load_state_dict"),
        "generator": (Generator, "set_state"),
    }[what]
    setattr(owner, name, lambda *args, **kwargs: None)


def main() -> int:
    """Plant the rules, then run the command."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores
    rules = json.loads(sys.argv[1])
    for event, what, *_ in rules:
        if event == "break":
            break_resuming(what)
    sabotage(Rules(rules))
    from minitrain import cli

    del sys.argv[1]
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
