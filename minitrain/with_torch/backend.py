"""The run on torch: the same model, data, order and log, on a CPU or a GPU, compiled, or on several processes."""

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
from minitrain.runs.backend import Backend, make_optimizer
from minitrain.runs.config import Config, ConfigError
from minitrain.tensor import Tensor
from minitrain.with_torch.choose_backend import find_compiler
from minitrain.with_torch.convert_state import load_optimizer_state, to_minitrain, to_torch
from minitrain.with_torch.cuda_graph import CapturedLoop
from minitrain.with_torch.distributed import Processes


def find_device(name: str) -> torch.device:
    """The device of this name; "auto" is the GPU if there is one. Raises ConfigError if there is none such.

    Of several processes on one machine (LOCAL_RANK, as torchrun sets it), each has a GPU of its own.
    """
    alone = int(os.environ.get("WORLD_SIZE", 1)) == 1
    # torch has no means for several processes to train together on mps.
    mps = torch.backends.mps.is_available() and alone
    available = {"cuda": torch.cuda.is_available(), "mps": mps, "cpu": True}
    if name == "auto":
        name = next(device for device, is_there in available.items() if is_there)
    if not available[name]:
        there = ", ".join(device for device, is_there in available.items() if is_there)
        raise ConfigError(
            f"there is no {name} device that this torch ({torch.__version__}) can use, only: {there}; "
            "leave --device away to take the fastest. `minitrain doctor` tells more."
        )
    if name != "cuda":
        return torch.device(name)
    number, count = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if number >= count:
        raise ConfigError(f"process {number} of this machine has no GPU of its own: there are {count}; start fewer")
    return torch.device("cuda", number)


class TorchBackend(Backend):
    """torch, on one device, for one process or for each of those that torchrun starts.

    config: its device, compile and precision are used here.
    Raises ConfigError for a device that is not there, a precision that it has not, or without a compiler to compile.
    """

    def __init__(self, config: Config) -> None:
        self.device = find_device(config.device)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if config.precision == "tf32" and self.device.type != "cuda":
            raise ConfigError(f"precision tf32 needs an NVIDIA GPU, but the device is {self.device.type}; leave it out")
        if config.compile and self.device.type == "cpu" and find_compiler() is None:
            raise ConfigError("--compile needs a C++ compiler (g++, or CXX); install one, or leave --compile out")
        # Of float32 matrix products, "highest" is float32 itself, "high" TF32.
        torch.set_float32_matmul_precision("high" if config.precision == "tf32" else "highest")
        self._compile, self._narrow = config.compile, config.precision == "bf16"
        self.processes = Processes.started(self.device)
        # A captured step leaves out the update of a loss that is not finite, and all after it.
        self._captures = self.device.type == "cuda" and self.processes.count == 1 and config.on_nan == "stop"
        self._captured: CapturedLoop | None = None
        self.writes = self.processes.rank == 0
        if self.processes.count > 1:
            self.part_of_batch = f"the slice of process {self.processes.rank} of {self.processes.count}"

    def versions(self) -> dict[str, str | int]:
        """torch's version, what it computes on, with which code, and in how many processes."""
        return {
            **super().versions(),
            "torch": str(torch.__version__),
            "device": torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type,
            "torch CPU kernels": torch.backends.cpu.get_cpu_capability(),
            "torch threads": torch.get_num_threads(),
            "processes": self.processes.count,
        }

    def loading(self) -> contextlib.AbstractContextManager[None]:
        """The first process loads first, so that one alone downloads what is missing."""
        return self.processes.first_process_first()

    def dataloader(self, dataset: Any, batch_size: int, shuffle: bool = False) -> Any:
        """minitrain's own batches as torch's tensors; of several processes, each gets a slice of each batch."""
        on_device = OnDevice(dataset, self.device)
        return self.processes.shared(DataLoader(on_device, batch_size=batch_size, shuffle=shuffle))

    def model(self, build: Callable[[Any], Any]) -> Any:
        """torch's model with the weights that minitrain's has: drawn from minitrain's generator, bit for bit."""
        weights = build(nn).state_dict()
        with torch.device("meta"):  # where nothing is drawn or computed
            model = build(torch.nn)
        model = model.to_empty(device=self.device)
        model.load_state_dict(to_torch(weights))
        if self._compile:
            model.compile()
        return self.processes.in_step(_Narrow(model, self.device) if self._narrow else model)

    def loss_fn(self) -> Any:
        """Cross-entropy, its mean over a batch, whichever processes have parts of it."""
        return self.processes.mean_loss(torch.nn.CrossEntropyLoss)

    def optimizer(self, config: Config, model: Any) -> Any:
        """torch's own, in one pass over all parameters where torch has such a form."""
        options: dict[str, Any] = {}
        if config.optimizer != "rmsprop" and self.device.type in ("cpu", "cuda"):
            options["fused"] = True
        if config.optimizer != "sgd" and self._captures:
            options["capturable"] = True
        return make_optimizer(config, model, torch.optim, **options)

    def train(
        self, dataloader: Any, model: Any, loss_fn: Any, optimizer: Any, observer: Any, first_batch: int = 0
    ) -> None:
        """train_loop; alone on a GPU, the same steps captured once and replayed. observer: a Stoppable."""
        if self._captures:
            if self._captured is None or not self._captured.is_for(model, loss_fn, optimizer):
                self._captured = CapturedLoop(model, loss_fn, optimizer)
            self._captured.train(dataloader, observer, first_batch)
            return
        with self.processes.together():
            self.processes.check_same(model, first_batch)
            of_the_whole = self.processes.observer(dataloader, observer)
            train_loop(dataloader, model, loss_fn, optimizer, of_the_whole, first_batch)

    def test(self, dataloader: Any, model: Any, loss_fn: Any, observer: Any) -> None:
        """test_loop without gradients. observer: a Stoppable."""
        with self.processes.together(), torch.no_grad():
            test_loop(dataloader, model, loss_fn, self.processes.observer(dataloader, observer))

    def state_dict(self, model: Any) -> dict[str, Any]:
        """The parameters and buffers as minitrain's Tensors, under the names that they have without any wrapper."""
        state: dict[str, Any] = to_minitrain(_unwrapped(model).state_dict())
        return state

    def load_state_dict(self, model: Any, state: dict[str, Tensor]) -> None:
        """The same, back into the model's own memory."""
        _unwrapped(model).load_state_dict(to_torch(state))

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """What torch's optimizer remembers, as minitrain's would, without torch's choices among implementations."""
        state: dict[str, Any] = to_minitrain(optimizer.state_dict())
        groups = [
            {name: value for name, value in group.items() if name not in optim.SWITCHES}
            for group in state["param_groups"]
        ]
        return {**state, "param_groups": groups}

    def load_optimizer_state(self, optimizer: Any, state: dict[str, Any]) -> None:
        """The same, back into torch's optimizer, which keeps its own choices."""
        load_optimizer_state(optimizer, state)
        if isinstance(optimizer, torch.optim.RMSprop) and optimizer.param_groups[0]["momentum"]:
            for param, remembered in optimizer.state.items():  # torch makes the buffers at the first step alone
                remembered.setdefault("momentum_buffer", torch.zeros_like(param))

    def as_minitrain(self, tensor: Any) -> Tensor:
        """A copy, in the computer's memory."""
        copy: Tensor = to_minitrain(tensor)
        return copy

    def copy_optimizer_state(self, optimizer: Any, to: optim.Optimizer) -> None:
        """What torch's optimizer remembers, and its options now, into one of minitrain's."""
        load_optimizer_state(to, optimizer.state_dict())

    def end(self) -> None:
        """End one of several processes."""
        self.processes.end()

    def __exit__(self, error_type: type[BaseException] | None, error: Any, traceback: Any) -> None:
        """Part from the other processes; where all stop for the same reason, all but the first end here."""
        self.processes.part(error)


def _unwrapped(model: Any) -> Any:
    for wrapper in (torch.nn.parallel.DistributedDataParallel, _Narrow):
        if isinstance(model, wrapper):
            model = model.module
    return model


class OnDevice(Dataset[Any]):
    """A data set of minitrain's, whose batches are torch's: on the CPU in the same memory, else kept on the device."""

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
        """Images (N, C, H, W) and labels (N,); N may be 0, as of a process that a short batch has nothing for."""
        if self.tensors is not None:
            first, stop = (indices[0], indices[-1] + 1) if indices else (0, 0)
            if first >= 0 and indices == [*range(first, stop)]:
                return tuple(part[first:stop] for part in self.tensors)  # nothing is copied
            rows = torch.tensor(indices, device=self._device)
            return tuple(part.index_select(0, rows) for part in self.tensors)
        batch = self.dataset.collated_batch(indices or [0])
        return tuple(torch.from_numpy(part.array)[: len(indices)] for part in batch)


class _Narrow(torch.nn.Module):
    """A model whose matrix products are computed in bfloat16, and whose results are float32 again."""

    def __init__(self, module: torch.nn.Module, device: torch.device) -> None:
        super().__init__()
        self.module, self._device_type = module, device.type

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Without the cache of narrowed weights, which must not outlive the capture of a graph.
        with torch.autocast(self._device_type, torch.bfloat16, cache_enabled=False):
            y: torch.Tensor = self.module(x)
        return y.float()
