"""The torch backend: a run with the same model, data, order and log on a CPU, a GPU or several processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

import torch

from minitrain import nn, optim
from minitrain.data.dataset import Dataset
from minitrain.data.loader import DataLoader
from minitrain.loops import test_loop, train_loop
from minitrain.optim.param_groups import SWITCHES
from minitrain.runs.backend import Backend, make_optimizer
from minitrain.runs.config import Config, ConfigError
from minitrain.tensor import Tensor
from minitrain.with_torch.convert_state import load_optimizer_state, to_minitrain, to_torch
from minitrain.with_torch.cuda_graph import CapturedLoop
from minitrain.with_torch.distributed import Processes
from minitrain.with_torch.installed import find_compiler
from minitrain.with_torch.torchrun import world_size


def find_device(name: str) -> torch.device:
    """The device of this name; "auto" is the fastest one. Raises ConfigError if it is not available.

    Under torchrun each process of a machine (LOCAL_RANK) gets its own GPU.
    """
    # torch cannot train on mps with several processes.
    mps = torch.backends.mps.is_available() and world_size() == 1
    available = {"cuda": torch.cuda.is_available(), "mps": mps, "cpu": True}
    usable = [device for device, is_available in available.items() if is_available]
    if name == "auto":
        name = usable[0]
    if name not in usable:
        raise ConfigError(
            f"this torch ({torch.__version__}) can use no {name} device here, only: {', '.join(usable)}; leave out "
            "--device to use the fastest, or see `minitrain doctor`"
        )
    if name != "cuda":
        return torch.device(name)
    number, count = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if number >= count:
        raise ConfigError(f"process {number} of this machine has no GPU of its own, as there are {count}; start fewer")
    return torch.device("cuda", number)


class TorchBackend(Backend):
    """torch on one device, in one process or in each of those that torchrun started.

    Uses the configuration's device, compile and precision. Raises ConfigError if the device is not available, if it
    does not have the precision, or if torch.compile has no compiler.
    """

    optim = torch.optim

    def __init__(self, config: Config) -> None:
        self.device = find_device(config.device)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if config.precision == "tf32" and self.device.type != "cuda":
            raise ConfigError(f"--precision tf32 needs an NVIDIA GPU, but the device is {self.device.type}")
        if config.compile and self.device.type == "cpu" and find_compiler() is None:
            raise ConfigError("--compile needs a C++ compiler (g++, or CXX); install one, or leave out --compile")
        # For products of float32 matrices, "highest" means float32 and "high" means TF32.
        torch.set_float32_matmul_precision("high" if config.precision == "tf32" else "highest")
        self._compile, self._bf16 = config.compile, config.precision == "bf16"
        self.processes = Processes.started(self.device)
        # A captured step stops updating at the first nan or infinite loss, so it cannot continue after one. The graph
        # contains the learning rate, and assumes that the optimizer's state starts at 0.
        capturable = config.optimizer in ("sgd", "rmsprop", "adam", "adamw") and config.scheduler != "onecycle"
        alone = self.device.type == "cuda" and self.processes.count == 1
        self._captures = alone and config.on_nan == "stop" and capturable
        self._captured: CapturedLoop | None = None
        self.writes = self.processes.rank == 0
        # A compiled model ignores hooks that come later, and each of several processes has a slice of the outputs.
        self.sees_outputs = not self._compile and self.processes.count == 1
        if self.processes.count > 1:
            self.part_of_batch = f"the slice of process {self.processes.rank} of {self.processes.count}"

    def versions(self) -> dict[str, str | int]:
        """Of torch: its version, device, kernels and threads, and the number of processes."""
        return {
            **super().versions(),
            "torch": str(torch.__version__),
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type,
            "torch CPU kernels": torch.backends.cpu.get_cpu_capability(),
            "torch threads": torch.get_num_threads(),
            "processes": self.processes.count,
        }

    def loading(self) -> contextlib.AbstractContextManager[None]:
        """The first process loads first, so that only one downloads missing files."""
        return self.processes.first_process_first()

    def dataloader(self, dataset: Any, batch_size: int, shuffle: bool = False) -> Any:
        """minitrain's own batches as torch tensors; each of several processes gets a slice of each batch."""
        on_device = OnDevice(dataset, self.device)
        return self.processes.slices(DataLoader(on_device, batch_size=batch_size, shuffle=shuffle))

    def model(self, build: Callable[[Any], Any]) -> Any:
        """torch's model with the weights of minitrain's, drawn from minitrain's generator."""
        weights = build(nn).state_dict()
        with torch.device("meta"):  # so that torch draws no weights
            model = build(torch.nn)
        model = model.to_empty(device=self.device)
        model.load_state_dict(to_torch(weights))
        if self._compile:
            model.compile()
        return self.processes.averaging(_Bfloat16Products(model, self.device) if self._bf16 else model)

    def loss_fn(self) -> Any:
        return self.processes.mean_loss(torch.nn.CrossEntropyLoss)

    def optimizer(self, config: Config, model: Any) -> Any:
        """torch's own optimizer, fused where torch has such a form."""
        options: dict[str, Any] = {}
        if config.optimizer in ("sgd", "adam", "adamw") and self.device.type in ("cpu", "cuda"):
            options["fused"] = True
        if config.optimizer != "sgd" and self._captures:
            options["capturable"] = True
        return make_optimizer(config, model, torch.optim, **options)

    def train(
        self, dataloader: Any, model: Any, loss_fn: Any, optimizer: Any, observer: Any, first_batch: int = 0
    ) -> None:
        """train_loop; in one process on a GPU, its steps captured once and replayed. observer: a Stoppable."""
        if self._captures:
            if self._captured is None or not self._captured.is_for(model, loss_fn, optimizer):
                self._captured = CapturedLoop(model, loss_fn, optimizer)
            self._captured.train(dataloader, observer, first_batch)
            return
        with self.processes.communicating():
            self.processes.check_same(model, first_batch)
            whole_batches = self.processes.observer(dataloader, observer)
            train_loop(dataloader, model, loss_fn, optimizer, whole_batches, first_batch)

    def test(self, dataloader: Any, model: Any, loss_fn: Any, observer: Any) -> None:
        with self.processes.communicating(), torch.no_grad():
            test_loop(dataloader, model, loss_fn, self.processes.observer(dataloader, observer))

    def state_dict(self, model: Any) -> dict[str, Any]:
        """The parameters and buffers as minitrain's Tensors, under the bare model's names."""
        state: dict[str, Any] = to_minitrain(_unwrapped(model).state_dict())
        return state

    def load_state_dict(self, model: Any, state: dict[str, Tensor]) -> None:
        _unwrapped(model).load_state_dict(to_torch(state))

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """The optimizer's state as minitrain's optimizer would have it, without options that only torch has."""
        state: dict[str, Any] = to_minitrain(optimizer.state_dict())
        groups = [
            {name: value for name, value in group.items() if name not in SWITCHES} for group in state["param_groups"]
        ]
        return {**state, "param_groups": groups}

    def load_optimizer_state(self, optimizer: Any, state: dict[str, Any]) -> None:
        """Load such a state; options that only torch has keep their values."""
        load_optimizer_state(optimizer, state)
        if isinstance(optimizer, torch.optim.RMSprop) and optimizer.param_groups[0]["momentum"]:
            for param, remembered in optimizer.state.items():  # torch creates them only at the first step
                remembered.setdefault("momentum_buffer", torch.zeros_like(param))

    def watched(self, model: Any) -> Any:
        """The bare model; None if its steps are captured: a replay calls no hook, and leaves no state in between."""
        return None if self._captures else _unwrapped(model)

    def as_array(self, tensor: Any) -> Any:
        tensor = tensor.detach()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).cpu().numpy()

    def as_minitrain(self, tensor: Any) -> Tensor:
        copy: Tensor = to_minitrain(tensor)
        return copy

    def copy_optimizer_state(self, optimizer: Any, to: optim.Optimizer) -> None:
        load_optimizer_state(to, optimizer.state_dict())

    def end(self) -> None:
        """End this process, if it is one of several."""
        self.processes.end()

    def __exit__(self, error_type: type[BaseException] | None, error: Any, traceback: Any) -> None:
        """Disconnect from the other processes; if all stop for the same reason, only the first one returns."""
        self.processes.disconnect(error)


def _unwrapped(model: Any) -> Any:
    for wrapper in (torch.nn.parallel.DistributedDataParallel, _Bfloat16Products):
        if isinstance(model, wrapper):
            model = model.module
    return model


class OnDevice(Dataset[Any]):
    """A minitrain data set as torch batches: they share its memory on the CPU; otherwise it is kept on the device."""

    def __init__(self, dataset: Any, device: torch.device) -> None:
        self.dataset, self._device = dataset, device
        self.tensors: tuple[torch.Tensor, ...] | None = None
        if device.type != "cpu":
            everything = dataset.collated_batch([*range(len(dataset))])
            self.tensors = tuple(torch.from_numpy(part.array).to(device) for part in everything)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        return tuple(part[0] for part in self.collated_batch([index]))

    def collated_batch(self, indices: list[int]) -> tuple[torch.Tensor, ...]:
        """Images (N, C, H, W) and labels (N,). N is 0 for a process that gets nothing of a short batch."""
        if self.tensors is not None:
            first, stop = (indices[0], indices[-1] + 1) if indices else (0, 0)
            if first >= 0 and indices == [*range(first, stop)]:
                return tuple(part[first:stop] for part in self.tensors)  # nothing is copied
            rows = torch.tensor(indices, device=self._device)
            return tuple(part.index_select(0, rows) for part in self.tensors)
        batch = self.dataset.collated_batch(indices or [0])
        return tuple(torch.from_numpy(part.array)[: len(indices)] for part in batch)


class _Bfloat16Products(torch.nn.Module):
    """A model that multiplies matrices in bfloat16; its results are float32 again."""

    def __init__(self, module: torch.nn.Module, device: torch.device) -> None:
        super().__init__()
        self.module, self._device_type = module, device.type

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # No cache of bfloat16 weights: it must not outlive the capture of a CUDA graph.
        with torch.autocast(self._device_type, torch.bfloat16, cache_enabled=False):
            y: torch.Tensor = self.module(x)
        return y.float()
