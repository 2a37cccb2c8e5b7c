"""What torch has and minitrain does not: one table with advice for each name, and the errors that show it."""

from __future__ import annotations

import dis
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import FrameType, MappingProxyType, ModuleType
from typing import Any, Self

from minitrain.first_use import on_first_use
from minitrain.torchlike.names import NUMPY_NAMES

RECURRENT = "recurrent layers are out of scope; unroll the steps in a loop of nn.Linear, or use torch."
ATTENTION = "attention and transformers are out of scope; use torch."
DEVICES = (
    "there is no device other than the CPU; leave the call out, or train on torch: minitrain train --backend torch."
)
COMPLEX = "complex numbers are out of scope; keep real and imaginary parts in two Tensors, or use torch."
SECOND = "gradients of gradients are out of scope; use torch."
PRETRAINED = "pretrained models are out of scope; build the model of nn layers, or use torch."
PROCESSES = "several processes are out of scope here; minitrain train --backend torch runs under torchrun."
COMPILED = "nothing is compiled here; run the model as it is, or use torch."
PICKLED = "files are read by a reader that builds arrays and plain containers only; save a state_dict."

# By torch's dotted name without the leading "torch."; a name stands for all that begins with it and a dot.
ADVICE: dict[str, str] = {
    **dict.fromkeys(
        ("nn.LSTM", "nn.GRU", "nn.RNN", "nn.RNNBase", "nn.LSTMCell", "nn.GRUCell", "nn.RNNCell"), RECURRENT
    ),
    **dict.fromkeys(("nn.utils.rnn",), RECURRENT),
    **dict.fromkeys(
        (
            "nn.MultiheadAttention",
            "nn.Transformer",
            "nn.TransformerEncoder",
            "nn.TransformerEncoderLayer",
            "nn.TransformerDecoder",
            "nn.TransformerDecoderLayer",
            "nn.functional.scaled_dot_product_attention",
            "nn.functional.multi_head_attention_forward",
            "nn.attention",
        ),
        ATTENTION,
    ),
    **dict.fromkeys(
        ("nn.Conv3d", "nn.MaxPool3d", "nn.BatchNorm3d", "nn.ConvTranspose3d"), "use the 2d layer, or torch."
    ),
    **dict.fromkeys(
        ("nn.ConvTranspose1d", "nn.functional.conv_transpose1d"),
        "use the 2d one on an image of one row, x.unsqueeze(2).",
    ),
    "nn.functional.gumbel_softmax": "add Gumbel noise -log(-log(rand)) to the logits and take softmax.",
    **dict.fromkeys(("nn.parallel", "distributed", "multiprocessing"), PROCESSES),
    "optim.LBFGS": "use Adam or SGD.",
    **dict.fromkeys(("optim.SparseAdam", "optim.ASGD", "optim.Rprop", "optim.Adafactor"), "use Adam."),
    "distributions": "distributions are out of scope; draw with torch.rand, randn, normal, bernoulli or multinomial.",
    **dict.fromkeys(("cuda", "mps", "xpu", "cudnn", "backends", "Tensor.cuda", "nn.Module.cuda"), DEVICES),
    "Tensor.pin_memory": DEVICES,
    **dict.fromkeys(("complex64", "complex128", "complex", "view_as_real", "view_as_complex", "fft"), COMPLEX),
    **dict.fromkeys(
        ("bfloat16", "Tensor.bfloat16", "nn.Module.bfloat16", "amp", "autocast", "GradScaler"),
        "NumPy has no bfloat16 and no fast 16-bit floats; use float32.",
    ),
    **dict.fromkeys(("autograd.functional.hessian", "autograd.functional.hvp", "func", "vmap"), SECOND),
    **dict.fromkeys(("compile", "jit", "fx", "quantization", "ao", "nn.Module.compile"), COMPILED),
    **dict.fromkeys(("export", "onnx"), "models are not exported; save a state_dict, which torch can load, too."),
    "hub": PRETRAINED,
    "vision.models": PRETRAINED,
    "utils.tensorboard": "write a CSV file, or use the tensorboard package with your numbers.",
    "profiler": "use Python's cProfile, or python -m benchmarks step.",
    "autograd.profiler": "use Python's cProfile, or python -m benchmarks step.",
    **dict.fromkeys(
        ("sparse", "sparse_coo_tensor", "sparse_csr_tensor", "Tensor.to_sparse"),
        "sparse Tensors are out of scope; use dense ones.",
    ),
    "optim.swa_utils": "average the state_dicts of several epochs yourself.",
    "optim.Muon": "use AdamW.",
    "nn.CTCLoss": "it trains recurrent layers, which are out of scope; use torch.",
    "linalg": "use numpy.linalg on x.numpy(); it has no gradient.",
    **dict.fromkeys(
        ("utils.data.DistributedSampler", "utils.data.distributed", "Tensor.share_memory_", "nn.Module.share_memory"),
        PROCESSES,
    ),
    "vision.transforms": "offered are crops, flips, rotations, ColorJitter, RandomErasing, Resize, Pad, Grayscale and "
    "the conversions.",
    **dict.fromkeys(("linalg.eig", "linalg.eigvals"), COMPLEX),
    "vision.datasets": "offered are MNIST, KMNIST, FashionMNIST, CIFAR10, ImageFolder and, of its own, Digits.",
}


def torch_name(module: str, name: str) -> str:
    """A name in one of minitrain's modules, as torch calls it: nn.LSTM. minitrain.data has torchvision's names, too."""
    dotted = ".".join([*module.split(".")[1:], name])
    if dotted.startswith("data."):
        return f"utils.{dotted}" if advice(f"utils.{dotted}") else dotted.replace("data", "vision", 1)
    return dotted


def advice(name: str) -> str:
    """What to do about a name of torch's that is not offered; empty if the table has nothing for it."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if (found := ADVICE.get(".".join(parts[:end]))) is not None:
            return found
    return ""


def explanation(name: str, offered: Iterable[str] = ()) -> str:
    """The message for a name that is not offered: what it is, and the nearest thing that is.

    name: as torch calls it, without "torch.". offered: the names beside it that are offered.
    """
    shown = name.replace("vision", "torchvision", 1) if name.startswith("vision") else f"torch.{name}"
    told = advice(name)
    if not told:
        near = nearest(name.rpartition(".")[2], offered, most=3, cutoff=0.75)
        told = f"did you mean {' or '.join(near)}?" if near else "use torch for it (minitrain run --on torch)."
    return f"minitrain does not offer {shown}: {told}"


def nearest(name: str, offered: Iterable[str], most: int = 1, cutoff: float = 0.6) -> list[str]:
    """The names that are spelled most like this one."""
    import difflib  # here, since only errors need it

    return difflib.get_close_matches(name, list(offered), most, cutoff)


def torch_names(
    module: str, elsewhere: Mapping[str, str] = MappingProxyType({})
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """on_first_use for a module of torch's names: a name that is found nowhere raises an error with advice."""
    return on_first_use(module, elsewhere, _missing)


def _missing(module: str, name: str, frame: FrameType) -> Exception:
    """An AttributeError with the explanation; an ImportError if the frame is at an import statement."""
    offered = vars(sys.modules[module]).get("__all__", ())
    text = f"module {module!r} has no attribute {name!r}: {explanation(torch_name(module, name), offered)}"
    if not name.startswith("__") and _is_importing(frame):
        return ImportError(text, name=name)
    return AttributeError(text)


def _is_importing(frame: FrameType) -> bool:
    """Whether the frame is at `from module import name`, which would replace an AttributeError by a text of its own."""
    return dis.opname[frame.f_code.co_code[frame.f_lasti]] == "IMPORT_FROM"


def check_keywords(function: Callable[..., Any], called: str, keywords: Iterable[str]) -> None:
    """Raise TypeError, with the names that are offered, for a keyword that the function does not take."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    offered = [name for name in parameters if name not in ("self", "cls")]
    also = set(_keywords_of_wrappers(function))
    for name in keywords:
        if name not in parameters and name not in also:
            raise unknown_keyword(called, name, offered) from None


def unknown_keyword(called: str, name: str, offered: Sequence[str]) -> TypeError:
    """The error for a keyword that is not among those offered."""
    near = nearest(name, offered)
    hint = f"did you mean {near[0]}=?" if near else f"it takes {', '.join(offered)}."
    return TypeError(f"{called}() got an unexpected keyword argument {name!r}: minitrain does not offer it; {hint}")


class ChecksKeywords:
    """The base of classes whose constructor explains a keyword that it does not take."""

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Check the keywords of minitrain's own classes."""
        if options and cls.__module__.startswith("minitrain."):
            check_keywords(cls.__init__, f"{cls.__name__}.__init__", options)
        return super().__new__(cls)


UNKNOWN = r"(?:\w+\.)*(\w+)\(\) got an unexpected keyword argument '(\w+)'$"


def explain_keyword(error: TypeError, function: Callable[..., Any]) -> None:
    """Raise the error that explains it, if Python's error is about a keyword that this function does not take."""
    found = re.match(UNKNOWN, str(error))
    if found is not None and found[1] == function.__name__:
        check_keywords(function, found[1], [found[2]])


def _keywords_of_wrappers(function: Any) -> Iterator[str]:
    """What the functions around it take by name: out= of torch.add, which wraps Tensor.add; axis= for dim=."""
    while hasattr(function, "__wrapped__"):
        kinds = inspect.signature(function, follow_wrapped=False).parameters.values()
        yield from (p.name for p in kinds if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
        function = function.__wrapped__
        yield from (
            numpys for numpys, torchs in NUMPY_NAMES.items() if torchs in inspect.signature(function).parameters
        )


class MissingFinder:
    """Asked last: explains an import of a module that minitrain does not have, such as minitrain.distributions."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None for others' modules."""
        if not fullname.startswith("minitrain."):
            return None
        module, _, name = fullname.rpartition(".")
        text = explanation(torch_name(module, name))
        raise ModuleNotFoundError(f"No module named {fullname!r}: {text}", name=fullname)
