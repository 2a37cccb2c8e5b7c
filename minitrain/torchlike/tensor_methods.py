"""All of Tensor's methods that are torch's names for an operation; each is about a line: which operation it runs."""

from minitrain.first_use import Method
from minitrain.torchlike.matrix_methods import MatrixMethods
from minitrain.torchlike.metadata_methods import MetadataMethods
from minitrain.torchlike.reduction_methods import ReductionMethods


class TensorMethods(MatrixMethods, ReductionMethods, MetadataMethods):
    """The base of Tensor. The methods here are torch's functions: x.svd() is torch.svd(x)."""

    bernoulli, multinomial = Method("minitrain.sampling", "bernoulli"), Method("minitrain.sampling", "multinomial")
    cholesky, slogdet = Method("minitrain.linalg", "cholesky"), Method("minitrain.linalg", "slogdet")
    pinverse, qr = Method("minitrain.linalg", "pinv"), Method("minitrain.linalg", "old_qr")
    svd = Method("minitrain.linalg", "old_svd")
