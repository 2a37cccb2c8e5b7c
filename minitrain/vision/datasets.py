"""torchvision.datasets: the image data sets of minitrain.data.datasets."""

from minitrain.data.datasets import CIFAR10, KMNIST, MNIST, Digits, FashionMNIST, VisionDataset
from minitrain.torchlike.not_offered import module_getattr

__getattr__ = module_getattr(__name__)

__all__ = ["CIFAR10", "KMNIST", "MNIST", "Digits", "FashionMNIST", "VisionDataset"]
