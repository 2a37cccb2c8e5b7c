"""Until the command's own handlers are set, Ctrl-C ends it with one line: imported first, since NumPy takes a while."""

import os
import signal
import sys

INTERRUPTED = b"minitrain: interrupted\n"


def _is_the_command() -> bool:
    """Whether this process is `minitrain` or `python -m minitrain`, not a program that imports the library."""
    arguments = getattr(sys, "argv", None) or [""]
    if arguments[0] == "-m":  # which Python has not replaced by the module's path yet
        return sys.orig_argv[-len(arguments)].removeprefix("-m") == "minitrain"
    return os.path.basename(arguments[0]) in ("minitrain", "minitrain.exe", "minitrain-script.py")


def _end(number: int, frame: object) -> None:
    os.write(2, INTERRUPTED)
    os._exit(128 + number)


if _is_the_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job ignores it
    signal.signal(signal.SIGINT, _end)
