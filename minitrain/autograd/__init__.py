"""What torch.autograd offers above the tape: gradcheck, anomaly detection, Function, and a picture of the tape."""

from minitrain.autograd.anomaly import AnomalyError, detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from minitrain.autograd.autopsy import Mistake, autopsy
from minitrain.autograd.function import Function
from minitrain.autograd.gradcheck import check_gradients, gradcheck
from minitrain.autograd.graph import print_tape
from minitrain.autograd.report import GradcheckError

__all__ = [
    "AnomalyError",
    "Function",
    "GradcheckError",
    "Mistake",
    "autopsy",
    "check_gradients",
    "detect_anomaly",
    "gradcheck",
    "is_anomaly_enabled",
    "print_tape",
    "set_detect_anomaly",
]
