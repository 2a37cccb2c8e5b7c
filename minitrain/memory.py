"""What the process does with memory that is freed: it keeps it for the next arrays."""

import numpy as np


def keep_freed_memory() -> None:
    """Have malloc keep freed memory, up to 64 MB of it, for whoever asks next.

    A training step makes the arrays that the step before has freed. C's malloc gives large ones back to the system at
    once and then gets new ones page by page, each of them cleared first: up to a sixth of a step's time. glibc's learns
    from the largest block that the process has freed, if it has at most 32 MB (mallopt(3), M_MMAP_THRESHOLD), that such
    sizes come and go. The block freed here was never written to, so it took no memory. Another malloc, or one that was
    set by MALLOC_ variables, is left as it is.
    """
    np.empty(2**25 - 2**16, np.uint8)
