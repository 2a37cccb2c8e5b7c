"""What torch.autograd offers besides the tape: gradcheck, anomaly detection, Function, and print_tape."""

from minitrain.autograd import functional
from minitrain.autograd.function import Function, print_tape
from minitrain.autograd.gradients import backward, grad
from minitrain.autograd.variable import Variable
from minitrain.diagnosis.anomaly import detect_anomaly, is_anomaly_enabled, set_detect_anomaly
from minitrain.diagnosis.anomaly_report import AnomalyError
from minitrain.diagnosis.autopsy import Mistake, autopsy
from minitrain.diagnosis.gradcheck import check_gradients, gradcheck
from minitrain.diagnosis.gradcheck_report import GradcheckError
from minitrain.torchlike.not_offered import module_getattr

__getattr__ = module_getattr(__name__)

__all__ = [
    "AnomalyError",
    "Function",
    "GradcheckError",
    "Mistake",
    "Variable",
    "autopsy",
    "backward",
    "check_gradients",
    "detect_anomaly",
    "functional",
    "grad",
    "gradcheck",
    "is_anomaly_enabled",
    "print_tape",
    "set_detect_anomaly",
]
