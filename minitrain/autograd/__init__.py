"""What torch.autograd offers besides the tape: gradcheck, anomaly detection, Function, print_tape, and draw_tape."""

from typing import TYPE_CHECKING

from minitrain.autograd.function import Function, print_tape
from minitrain.autograd.gradients import backward, grad
from minitrain.autograd.variable import Variable
from minitrain.torchlike.grad_mode import enable_grad, inference_mode, is_anomaly_enabled, no_grad, set_grad_enabled
from minitrain.torchlike.not_offered import torch_names

if TYPE_CHECKING:
    from minitrain.autograd import functional
    from minitrain.diagnosis.anomaly import detect_anomaly, set_detect_anomaly
    from minitrain.diagnosis.anomaly_report import AnomalyError
    from minitrain.diagnosis.autopsy import Mistake, autopsy
    from minitrain.diagnosis.gradcheck import check_gradients, gradcheck
    from minitrain.diagnosis.gradcheck_report import GradcheckError
    from minitrain.diagnosis.loopcheck import check_loop
    from minitrain.study.tape_picture import draw_tape

__getattr__, __dir__ = torch_names(
    __name__,
    {
        "minitrain.autograd": "functional",
        "minitrain.diagnosis.anomaly": "detect_anomaly set_detect_anomaly",
        "minitrain.diagnosis.anomaly_report": "AnomalyError",
        "minitrain.diagnosis.autopsy": "Mistake autopsy",
        "minitrain.diagnosis.gradcheck": "check_gradients gradcheck",
        "minitrain.diagnosis.gradcheck_report": "GradcheckError",
        "minitrain.diagnosis.loopcheck": "check_loop",
        "minitrain.study.tape_picture": "draw_tape",
    },
)

__all__ = [
    "AnomalyError",
    "Function",
    "GradcheckError",
    "Mistake",
    "Variable",
    "autopsy",
    "backward",
    "check_gradients",
    "check_loop",
    "detect_anomaly",
    "draw_tape",
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
