"""torchvision.datasets: the image data sets of minitrain.data.datasets."""

from minitrain.data.datasets import CIFAR10, KMNIST, MNIST, Digits, FashionMNIST, VisionDataset
from minitrain.torchlike.not_offered import torch_names

__getattr__, __dir__ = torch_names(__name__)

__all__ = ["CIFAR10", "KMNIST", "MNIST", "Digits", "FashionMNIST", "VisionDataset"]
