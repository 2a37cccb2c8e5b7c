"""All of Tensor's methods that are torch's names for an operation; each is about a line: which operation it runs."""

from minitrain.torchlike.matrix_methods import MatrixMethods
from minitrain.torchlike.metadata_methods import MetadataMethods
from minitrain.torchlike.reduction_methods import ReductionMethods


class TensorMethods(MatrixMethods, ReductionMethods, MetadataMethods):
    """The base of Tensor."""
