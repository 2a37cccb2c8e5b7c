"""What torch.autograd offers besides the tape: gradcheck, anomaly detection, Function, and print_tape."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from minitrain.autograd import functional
from minitrain.autograd.function import Function, print_tape
from minitrain.autograd.gradients import backward, grad
from minitrain.autograd.variable import Variable
from minitrain.torchlike.grad_mode import enable_grad, inference_mode, is_anomaly_enabled, no_grad, set_grad_enabled
from minitrain.torchlike.not_offered import module_getattr

if TYPE_CHECKING:
    from minitrain.diagnosis.anomaly import detect_anomaly, set_detect_anomaly
    from minitrain.diagnosis.anomaly_report import AnomalyError
    from minitrain.diagnosis.autopsy import Mistake, autopsy
    from minitrain.diagnosis.gradcheck import check_gradients, gradcheck
    from minitrain.diagnosis.gradcheck_report import GradcheckError
    from minitrain.diagnosis.loopcheck import check_loop

# The diagnosis is imported when it is first asked for: a training program does not need it.
_FROM_DIAGNOSIS = {
    "AnomalyError": "anomaly_report",
    "GradcheckError": "gradcheck_report",
    "Mistake": "autopsy",
    "autopsy": "autopsy",
    "check_gradients": "gradcheck",
    "check_loop": "loopcheck",
    "detect_anomaly": "anomaly",
    "gradcheck": "gradcheck",
    "set_detect_anomaly": "anomaly",
}
_explain = module_getattr(__name__, depth=2)


def __getattr__(name: str) -> Any:
    if name not in _FROM_DIAGNOSIS:
        return _explain(name)
    value = getattr(importlib.import_module(f"minitrain.diagnosis.{_FROM_DIAGNOSIS[name]}"), name)
    globals()[name] = value
    return value


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
