"""torch.nn.utils: clipping gradients, and Parameters as one vector."""

from minitrain.nn.utils.clip_grad import clip_grad_norm, clip_grad_norm_, clip_grad_value_, get_total_norm
from minitrain.nn.utils.convert_parameters import parameters_to_vector, vector_to_parameters
from minitrain.torchlike.not_offered import torch_names

__getattr__, __dir__ = torch_names(__name__)

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "get_total_norm",
    "parameters_to_vector",
    "vector_to_parameters",
]
