"""check_optimizer under torch.autograd's roof; it is in diagnosis/optimcheck.py."""

from minitrain.diagnosis.optimcheck import check_optimizer, formula, record

__all__ = ["check_optimizer", "formula", "record"]
