"""torchvision beside a torch that was built without the operators torchvision asks for."""

from types import ModuleType


def import_torchvision() -> ModuleType:
    """Import torchvision and return it; its data sets and transforms work, whichever torch is installed.

    torchvision's published wheels bring compiled operators for torch's CUDA builds. Beside a CPU-only torch these
    do not load, and the import fails on describing two of them: 'operator torchvision::nms does not exist'. So
    they are declared first, names without an implementation, but only where the plain import fails.

    Raises:
        ImportError: torch or torchvision is not installed (pip install -e ".[torch]").
    """
    from torch import library

    try:
        import torchvision  # type: ignore[import-untyped]
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for operator in ("nms", "qnms"):
            library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision
    return torchvision  # type: ignore[no-any-return]
