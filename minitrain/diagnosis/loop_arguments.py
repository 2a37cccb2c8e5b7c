"""What a loop is checked with: a small problem of our own or the program's objects, shortened and put back afterwards.

The program's objects are those that the loop is called with, and those that its code names: globals, variables of
the functions around it, attributes of its object.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import itertools
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from minitrain import nn, optim
from minitrain.data.dataset import TensorDataset
from minitrain.data.loader import DataLoader
from minitrain.data.loader_base import LoaderBase
from minitrain.diagnosis.loop_observer import LoopObserver, params_of, parts_of, size_of
from minitrain.optim.lr_scheduler import LambdaLR, LRScheduler
from minitrain.random import fork_rng, manual_seed
from minitrain.tensor import Tensor, increment_version, wrap
from minitrain.torchlike.random import Generator

BATCHES, MANY_BATCHES = 5, 65  # observed; if no step comes in so many (gradients may be accumulated)
BATCH_SIZE, LAST = 6, 4  # of the small problem, and of its last batch
EPOCHS = 2  # of the small problem, for loops that take a number: the second one begins as the first one ended
ENOUGH = 4 * MANY_BATCHES  # batches, over all passes; then the run ends

ROLES = {
    "dataloader": "dataloader data_loader loader train_loader train_dataloader trainloader training_loader test_loader "
    "test_dataloader testloader val_loader val_dataloader valloader valid_loader validation_loader eval_loader "
    "train_dl test_dl val_dl valid_dl dl batches iterator train_iterator train_iter data_iter test_iter",
    "model": "model net network module classifier mlp cnn nn_model",
    "loss_fn": "loss_fn criterion loss_function loss_func loss objective lossfn loss_criterion crit cost_fn cost",
    "optimizer": "optimizer optim opt optimiser optimizer_ trainer",
    "scheduler": "scheduler lr_scheduler sched",
    "X": "X x inputs input images image features imgs img xb x_batch batch_x input_batch X_batch",
    "y": "y targets target labels label yb y_batch batch_y Y target_batch",
    "batch": "batch samples sample",
    "epoch": "epoch epoch_index epoch_idx e",
    "epochs": "epochs num_epochs n_epochs max_epochs",
    "device": "device",
    "batch_size": "batch_size bs",
    "accumulation_steps": "accumulation_steps accum_steps accumulate grad_accumulation_steps accum_iter "
    "gradient_accumulation_steps n_accumulate",
}
ROLE_OF = {name: role for role, names in ROLES.items() for name in names.split()}
# How the required arguments are read if their names say nothing.
ORDERS = {
    4: ("dataloader", "model", "loss_fn", "optimizer"),
    3: ("dataloader", "model", "loss_fn"),
    5: ("X", "y", "model", "loss_fn", "optimizer"),
}


class Enough(BaseException):
    """Ends the run of a loop that makes many passes. (Not an Exception: the loop may catch those.)"""


class Batches:
    """The first batches of a data loader, which tell the observer when the loop gets one.

    Its length, and that of its dataset, are those of these batches; everything else is the data loader's own.
    """

    def __init__(self, loader: Any, batches: list[Any], number: int) -> None:
        self._loader, self._batches, self._number = loader, batches, number
        self.observer: LoopObserver | None = None
        self.dataset = _Shortened(getattr(loader, "dataset", batches), sum(map(size_of, batches)))

    def __iter__(self) -> Iterator[Any]:
        for number, batch in enumerate(self._batches, start=1):
            if self.observer is not None:
                if len(self.observer.batches) >= ENOUGH:
                    raise Enough
                self.observer.begin_batch(batch, self._number, number)
            yield batch

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: Any) -> Any:
        return self._batches[index]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


class _Shortened:
    """A data set that says that it has so many samples."""

    def __init__(self, dataset: Any, size: int) -> None:
        self._dataset, self._size = dataset, size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: Any) -> Any:
        return self._dataset[index]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dataset, name)


# --- a small problem --------------------------------------------------------------------------------------------------


def small_loader(batches: int) -> DataLoader[Any]:
    """Pictures [1, 28, 28] of ten classes with noise, in batches of BATCH_SIZE; the last batch has LAST."""
    rng = np.random.RandomState(0)
    size = (batches - 1) * BATCH_SIZE + LAST
    labels = rng.permutation(np.arange(size) % 10)
    pictures = rng.uniform(0, 1, (10, 1, 28, 28))[labels] + rng.normal(0, 0.3, (size, 1, 28, 28))
    data = TensorDataset(wrap(pictures.astype(np.float32)), wrap(labels))
    return DataLoader(data, batch_size=BATCH_SIZE)


def small_model() -> nn.Module:
    """784 pixels, 8 hidden units with Dropout, 10 scores."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 10))


def small_arguments(loop: Callable[..., Any], given: Mapping[str, Any], batches: int) -> dict[str, Any]:
    """An argument of the small problem for each parameter without a default and not given, by the parameter's name.

    Raises TypeError for parameters whose meaning cannot be guessed.
    """
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = [p for p in inspect.signature(loop).parameters.values() if p.kind not in kinds]
    required = [p.name for p in parameters if p.default is p.empty and p.name not in given]
    roles = {name: ROLE_OF.get(name, ROLE_OF.get(name.lower(), "")) for name in required}
    if "" in roles.values() or len(set(roles.values())) < len(required):
        if "data" in roles and len([role for role in roles.values() if not role]) == 1:
            roles["data"] = "X" if "y" in roles.values() else "dataloader"
        elif len(required) in ORDERS and not any(roles.values()):
            roles = dict(zip(required, ORDERS[len(required)], strict=True))
    unknown = [name for name, role in roles.items() if not role]
    if unknown:
        raise TypeError(
            f"check_loop does not know what to pass as {', '.join(unknown)}. Pass what your program passes: "
            f"check_loop({getattr(loop, '__name__', 'loop')}, {', '.join(required)})."
        )
    manual_seed(0)
    model = small_model()
    # A step so small that one batch's loss does not depend on whether the others were used.
    optimizer = optim.SGD(model.parameters(), lr=1e-3)
    optional = {ROLE_OF.get(p.name, ""): p.name for p in parameters if p.default is not p.empty}
    X, y = next(iter(small_loader(batches)))
    made = {
        "model": model,
        "loss_fn": nn.CrossEntropyLoss(),
        "optimizer": optimizer,
        "scheduler": LambdaLR(optimizer, lambda _: 1.0) if "scheduler" in roles.values() else None,
        "X": X,
        "y": y,
        "batch": (X, y),
        "epoch": 0,
        "epochs": EPOCHS,
        "device": "cpu",
        "batch_size": BATCH_SIZE,
        "accumulation_steps": 2,
    }
    arguments = {name: small_loader(batches) if role == "dataloader" else made[role] for name, role in roles.items()}
    if "epochs" in optional and optional["epochs"] not in given:
        arguments[optional["epochs"]] = EPOCHS
    return arguments


# --- the program's objects --------------------------------------------------------------------------------------------


class Objects:
    """What a loop works with: its loaders, modules, optimizers, schedulers and data, each once, as they are found.

    models: the modules with parameters that are not parts of others. namespaces, cells: where the loop finds them.
    """

    def __init__(self, loop: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        self.namespaces: list[tuple[Any, set[str] | None]] = []
        self.cells: list[types.CellType] = []
        owner = getattr(loop, "__self__", None)
        function = inspect.unwrap(getattr(loop, "__func__", loop))
        if owner is not None and not isinstance(owner, types.ModuleType) and hasattr(owner, "__dict__"):
            self.namespaces.append((vars(owner), None))
        self._follow(function, set())
        named = [*arguments.items(), *[(name, value) for _, name, value in self._places()]]
        self._names: dict[int, str] = {id(value): name for name, value in reversed(named)}
        found = [value for _, value in named]
        lists = [x[:MANY_BATCHES] for x in found if isinstance(x, list) and is_loader(x)]
        data = [[x] for x in found if isinstance(x, Tensor)] + [batch for batches in lists for batch in batches]
        self.data = [x for part in data for x in (part.values() if isinstance(part, dict) else part)]
        self.loaders = _each_once(x for x in found if is_loader(x))
        self.optimizers = _each_once(x for x in found if is_optimizer(x))
        self.schedulers = _each_once(x for x in found if isinstance(x, LRScheduler))
        self.modules = _each_once(x for x in found if isinstance(x, nn.Module))
        if isinstance(owner, nn.Module):
            self.modules = _each_once([owner, *self.modules])
        below = {id(part) for module in self.modules for part in list(module.modules())[1:]}
        with_parameters = [m for m in self.modules if any(True for _ in m.parameters())]
        self.models = [m for m in with_parameters if id(m) not in below and "Loss" not in type(m).__name__]

    def called(self, thing: Any) -> str:
        """The name under which the loop knows it."""
        return self._names.get(id(thing), "")

    def _follow(self, function: Any, seen: set[int]) -> None:
        """The global names and the cells that a function's code uses, and the functions that it calls."""
        code = getattr(function, "__code__", None)
        if code is None or id(function) in seen:
            return
        seen.add(id(function))
        names, waiting = set(), [code]
        while waiting:
            each = waiting.pop()
            names |= set(each.co_names)
            waiting += [constant for constant in each.co_consts if isinstance(constant, types.CodeType)]
        namespace = function.__globals__
        if not namespace.get("__name__", "").startswith("minitrain."):
            self.namespaces.append((namespace, names))
            for name in names:
                if isinstance(namespace.get(name), types.FunctionType):
                    self._follow(namespace[name], seen)
        for cell in function.__closure__ or ():
            self.cells.append(cell)
            with contextlib.suppress(ValueError):  # an empty cell
                if isinstance(cell.cell_contents, types.FunctionType):
                    self._follow(cell.cell_contents, seen)

    def _places(self) -> Iterator[tuple[Any, Any, Any]]:
        """(namespace or cell, name, value) of everything in reach."""
        for namespace, names in self.namespaces:
            for name in list(namespace) if names is None else sorted(names & namespace.keys()):
                yield namespace, name, namespace[name]
        for cell in self.cells:
            with contextlib.suppress(ValueError):
                yield cell, "cell_contents", cell.cell_contents

    @contextlib.contextmanager
    def replaced(self, replacements: Mapping[int, Any]) -> Iterator[None]:
        """Within it, the loop finds a replacement for each object with such an id."""
        changed = [(where, name, value) for where, name, value in self._places() if id(value) in replacements]
        try:
            for where, name, value in changed:
                _put(where, name, replacements[id(value)])
            yield
        finally:
            for where, name, value in changed:
                _put(where, name, value)

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """Put everything back at the end: values, gradients, modes, optimizer states, rates, random streams."""
        parts = _each_once(part for module in self.modules for part in module.modules())
        attributes = [(part, {**vars(part)}) for part in parts]
        registered = [(own, {**own}) for part in parts for own in (part._parameters, part._buffers, part._modules)]
        tensors: list[Tensor] = [x for own, _ in registered[:] for x in own.values() if isinstance(x, Tensor)]
        tensors += [p for optimizer in self.optimizers for p in params_of(optimizer)]
        tensors = _each_once([*tensors, *[x for x in self.data if isinstance(x, Tensor)]])
        values = [(x, x.array, x.array.copy(order="K")) for x in tensors]
        grads = [
            (x, x._grad, None if x._grad is None else x._grad.array.copy(order="K"), x.requires_grad) for x in tensors
        ]
        states = [(optimizer, *_optimizer_state(optimizer)) for optimizer in self.optimizers]
        schedules = [(scheduler, copy.copy(vars(scheduler))) for scheduler in self.schedulers]
        try:
            with fork_rng():
                yield
        finally:
            for own, before in registered:
                own.clear()
                own.update(before)
            for part, attribute in attributes:
                vars(part).clear()
                vars(part).update(attribute)
            for x, array, copied in values:
                x.array = array
                if not np.array_equal(array, copied, equal_nan=array.dtype.kind == "f"):
                    array[...] = copied
                    increment_version(x)
            for x, grad, copied_grad, requires_grad in grads:
                x._grad, x._requires_grad = grad, requires_grad
                if grad is not None and copied_grad is not None:
                    grad.array[...] = copied_grad
            for optimizer, attribute, groups, state in states:
                vars(optimizer).clear()
                vars(optimizer).update(attribute)
                if not groups:
                    continue
                optimizer.param_groups[:] = [group for group, _ in groups]
                for group, options in groups:
                    group.clear()
                    group.update(options)
                optimizer.state.clear()
                optimizer.state.update(state)
            for scheduler, attribute in schedules:
                vars(scheduler).clear()
                vars(scheduler).update(attribute)


def _optimizer_state(optimizer: Any) -> tuple[dict[str, Any], list[tuple[dict[str, Any], dict[str, Any]]], Any]:
    """Its attributes, its groups with copies of their options, and a copy of its state.

    An optimizer without groups has its state in its attributes.
    """
    if not isinstance(optimizer, optim.Optimizer):
        params = {id(p) for p in params_of(optimizer)}
        return {name: _kept(value, params) for name, value in vars(optimizer).items()}, [], {}
    groups = [(group, {**group, "params": [*group["params"]]}) for group in optimizer.param_groups]
    state = {param: {name: _copied(value) for name, value in kept.items()} for param, kept in optimizer.state.items()}
    return {**vars(optimizer)}, groups, state


def _kept(value: Any, params: set[int]) -> Any:
    """A copy of the arrays and Tensors in it; the parameters, and other objects, are themselves."""
    if isinstance(value, np.ndarray) or (isinstance(value, Tensor) and id(value) not in params):
        return _copied(value)
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(_kept(x, params) for x in value)
    return {name: _kept(x, params) for name, x in value.items()} if type(value) is dict else value


def _copied(value: Any) -> Any:
    return wrap(value.array.copy(order="K")) if isinstance(value, Tensor) else copy.deepcopy(value)


def _put(where: Any, name: str, value: Any) -> None:
    if isinstance(where, dict):
        where[name] = value
    else:
        setattr(where, name, value)


def _each_once(things: Any) -> list[Any]:
    return list({id(thing): thing for thing in things}.values())


def is_optimizer(x: Any) -> bool:
    """Whether it is an Optimizer, or an object of another class with step() and parameters."""
    if isinstance(x, optim.Optimizer):
        return True
    other = isinstance(x, type | nn.Module | LRScheduler) or not hasattr(x, "__dict__")
    return not other and callable(getattr(x, "step", None)) and bool(params_of(x))


def is_loader(x: Any) -> bool:
    """Whether it is something that gives batches: a DataLoader, a list of batches, or another object with a length."""
    if isinstance(x, LoaderBase):
        return True
    if isinstance(x, list):
        return bool(x) and all(parts_of(batch)[0] is not None for batch in x)
    return hasattr(type(x), "__iter__") and hasattr(x, "dataset") and hasattr(type(x), "__len__")


def shortened(loader: Any, count: int, number: int, cut: bool) -> Batches:
    """The first `count` batches of a data loader. cut: whether to shorten the last one if all are of one size.

    The data loader's position and generators stay as they were; so does the default generator.
    """
    generators = [
        (generator, generator.get_state())
        for holder in (loader, getattr(loader, "sampler", None))
        if isinstance(generator := getattr(holder, "generator", None), Generator)
    ]
    source = copy.copy(loader)
    if isinstance(loader, LoaderBase):
        source._position = copy.copy(loader._position)
    try:
        with fork_rng():
            batches = list(itertools.islice(iter(source), count))
    finally:
        for generator, state in generators:
            generator.set_state(state)
    if cut and not getattr(loader, "drop_last", False) and len(batches) > 1:
        last = _half(batches[-1])
        if size_of(batches[-1]) == size_of(batches[0]) > 2 and last is not None:
            batches[-1] = last
    return Batches(loader, batches, number)


def _half(batch: Any) -> Any:
    """The first half of a batch's rows; None if not all its parts are Tensors of the same length."""
    if not isinstance(batch, tuple | list) or not all(isinstance(x, Tensor) and x.array.ndim for x in batch):
        return None
    if len({len(x.array) for x in batch}) > 1:
        return None
    return type(batch)([x[: len(x.array) // 2] for x in batch])
