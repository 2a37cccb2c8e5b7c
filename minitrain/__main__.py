"""`python -m minitrain` is the command `minitrain`."""

import sys

from minitrain.cli import main

sys.exit(main())
