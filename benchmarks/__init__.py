"""Measurements of minitrain against torch. Run them from the clone: python -m benchmarks."""

import sys
from types import TracebackType


def _interrupted_while_importing(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        print("benchmarks: interrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


# Only for the command: argv[0] is -m until Python knows the file of __main__, whose imports take a second.
if sys.argv[:1] == ["-m"] and sys.orig_argv[-len(sys.argv)].removeprefix("-m") == "benchmarks":
    sys.excepthook = _interrupted_while_importing
