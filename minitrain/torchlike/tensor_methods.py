"""All of Tensor's methods that are torch's names for an operation; each is about a line: which operation it runs."""

from minitrain.torchlike.in_place_methods import InPlaceMethods
from minitrain.torchlike.matrix_methods import MatrixMethods
from minitrain.torchlike.reduction_methods import ReductionMethods


class TensorMethods(MatrixMethods, ReductionMethods, InPlaceMethods):
    """The base of Tensor."""
