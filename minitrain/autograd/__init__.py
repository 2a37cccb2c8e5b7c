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
from minitrain.torchlike.grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled
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
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "inference_mode",
    "is_anomaly_enabled",
    "no_grad",
    "print_tape",
    "set_detect_anomaly",
    "set_grad_enabled",
]
