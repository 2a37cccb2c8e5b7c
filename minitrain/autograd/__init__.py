"""What torch.autograd offers above the tape: Function, anomaly detection, and a picture of what backward will do."""

from minitrain.autograd.anomaly import AnomalyError, detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from minitrain.autograd.function import Function
from minitrain.autograd.graph import print_tape

__all__ = [
    "AnomalyError",
    "Function",
    "detect_anomaly",
    "is_anomaly_enabled",
    "print_tape",
    "set_detect_anomaly",
]
