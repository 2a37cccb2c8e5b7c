"""torchvision.datasets: the image data sets of minitrain.data.datasets."""

from minitrain.data.datasets import CIFAR10, KMNIST, MNIST, Digits, FashionMNIST, VisionDataset

__all__ = ["CIFAR10", "KMNIST", "MNIST", "Digits", "FashionMNIST", "VisionDataset"]
