"""Checks answers for grade.py: a process that reads one request a line from stdin, and writes one result a line.

It parses the students' code, which may crash the parser, and starts the processes in which that code runs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

from minitrain.learn.checking import check, drawn
from minitrain.learn.exercises import EXERCISES


def main() -> None:
    """Answer requests until stdin ends, or SIGTERM arrives."""
    signal.signal(signal.SIGTERM, _end)
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for line in sys.stdin:
        request = json.loads(line)
        stages = [
            {
                "name": stage.name,
                "passed": stage.passed,
                "text": stage.text.removeprefix(drawn(stage.curves)).strip("\n"),
            }
            if stage.curves
            else {"name": stage.name, "passed": stage.passed, "text": stage.text}
            for stage in check(
                EXERCISES[request["exercise"]],
                Path(request["name"]),
                source=request["source"],
                torch=request["torch"],
                limit=request["limit"],
            )
        ]
        print(json.dumps(stages), file=replies, flush=True)


def _end(*_: Any) -> NoReturn:
    """Leave the check by an exception, so that it ends the process of the student's code."""
    sys.exit(1)


if __name__ == "__main__":
    main()
