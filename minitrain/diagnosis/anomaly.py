"""Anomaly detection: finds the operation that produced the first nan or infinity.

While detection is on, a Detector observes every operation, backward and update. An operation *produced* a nan if its
result has one and its inputs have none. It produced an infinity if its inputs had neither nan nor infinity. All other
operations only passed it on. If no operation produced a nan, the Detector reports where it came in.
"""

from __future__ import annotations

from minitrain.diagnosis.anomaly_detector import Detector
from minitrain.diagnosis.anomaly_journal import Journal
from minitrain.torchlike.grad_mode import anomaly_mode


class set_detect_anomaly:  # noqa: N801, torch's name
    """Switch detection on or off immediately, in this thread. As a context manager, it restores the previous mode.

    mode: True or False. check_nan: whether to raise AnomalyError at a nan or an infinity. If False, an error that a
    backward raises only gets a note that says where its forward was called.
    Raises TypeError if mode is not a bool.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        if not isinstance(mode, bool):
            raise TypeError(f"set_detect_anomaly expects a mode of True or False, but got {mode!r}")
        self._previous = anomaly_mode.watcher
        journal = self._previous.journal if isinstance(self._previous, Detector) else Journal()
        anomaly_mode.watcher = Detector(check_nan, journal) if mode else None

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        anomaly_mode.watcher = self._previous


class detect_anomaly:  # noqa: N801, torch's name
    """A context manager in which the first operation that produces a nan or an infinity raises AnomalyError.

        with minitrain.autograd.detect_anomaly():
            loss = loss_fn(model(X), y)
            loss.backward()
            optimizer.step()

    It watches forward, backward and the update. The report shows the operation and its formula, the layer and the
    parameter, the step, the line that called it, the range of the inputs, and the usual cause if the numbers show it.
    If no operation produced the nan, backward reports it, with the place where it came in: the data, a parameter, or a
    constant. A backward that raises changes no .grad; a step() that raises changes no parameter.

    check_nan: if False, an error that a backward raises only gets a note that says where its forward was called.
    Source: torch.autograd.detect_anomaly, which looks only for nan, only in backward, and warns when it is switched on.
    A training step takes about three times as long.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._check_nan = check_nan
        self._switches: list[set_detect_anomaly] = []

    def __enter__(self) -> None:
        self._switches.append(set_detect_anomaly(True, self._check_nan))

    def __exit__(self, *exception: object) -> None:
        self._switches.pop().__exit__()
