"""What the process does with memory that is freed: it keeps it for the next arrays, in large pages."""

import numpy as np


def keep_freed_memory() -> None:
    """Have malloc keep freed memory, up to 64 MB of it, for whoever asks next.

    A training step makes the arrays that the step before has freed. C's malloc gives large ones back to the system at
    once and then gets new ones page by page, each of them cleared first: up to a sixth of a step's time. glibc's learns
    from the largest block that the process has freed, if it has at most 32 MB (mallopt(3), M_MMAP_THRESHOLD), that such
    sizes come and go: from the first block here. The second one then lies in the memory that is kept. NumPy asks for
    large pages wherever it makes a block of over 4 MB (madvise(2), MADV_HUGEPAGE), and the smaller arrays that come
    to lie there have them too: another thirtieth. Neither block is ever written to, so they take no memory. Another
    malloc, or one that was set by MALLOC_ variables, is left as it is.
    """
    np.empty(2**25 - 2**16, np.uint8)
    np.empty(2**25 - 2**17, np.uint8)
