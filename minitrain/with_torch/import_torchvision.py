"""import_torchvision: makes torchvision importable beside a torch that lacks operators torchvision expects."""

from types import ModuleType


def import_torchvision() -> ModuleType:
    """Import torchvision and return it; its data sets and transforms work with any installed torch.

    torchvision's published wheels contain compiled operators for torch's CUDA builds. Beside a CPU-only torch these
    do not load, and the import fails at the description of two of them: 'operator torchvision::nms does not exist'.
    If the plain import fails like that, declare the two first, without an implementation.

    Raises ImportError if torch or torchvision is not installed (pip install -e ".[torch]").
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
