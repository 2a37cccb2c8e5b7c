"""python -m benchmarks: choose a suite and print its measurements with the machine they were made on."""

import argparse
import os
import sys

from benchmarks import epoch, imports
from benchmarks.measuring import machine
from minitrain.data import DataError


def main() -> int:
    """Run the suite that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suite", choices=["epoch", "import"], help="what to measure")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender runs (5)")
    parser.add_argument("--epochs", type=int, default=2, help="of the epoch suite's programs (2)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="for each contender (all CPUs)")
    arguments = parser.parse_args()
    for name in ("rounds", "epochs", "threads"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be at least 1, but got {getattr(arguments, name)}")
    try:
        print(machine(arguments.threads))
        if arguments.suite == "epoch":
            epoch.main(arguments.rounds, arguments.epochs, arguments.threads)
        else:
            imports.main(arguments.rounds, arguments.threads)
    except (DataError, ImportError, RuntimeError) as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
