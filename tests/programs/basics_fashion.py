"""The quickstart on Fashion-MNIST, whose files are in the folder that MINITRAIN_DATA names."""

import os

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets
from torchvision.transforms import Compose, Normalize, ToTensor

torch.manual_seed(0)
root = os.environ["MINITRAIN_DATA"]
transform = Compose([ToTensor(), Normalize((0.5,), (0.5,))])
training_data = datasets.FashionMNIST(root=root, train=True, download=False, transform=transform)
test_data = datasets.FashionMNIST(root=root, train=False, download=False, transform=ToTensor())
print(len(training_data), len(test_data), training_data.classes[:3])
image, label = training_data[0]
print(image.shape, image.mean(), label)

train_dataloader = DataLoader(Subset(training_data, range(1280)), batch_size=64, shuffle=True)
test_dataloader = DataLoader(Subset(test_data, range(512)), batch_size=128)
for X, y in test_dataloader:
    print(f"Shape of X [N, C, H, W]: {X.shape}")
    print(f"Shape of y: {y.shape} {y.dtype}")
    break

model = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
for epoch in range(2):
    model.train()
    for batch, (X, y) in enumerate(train_dataloader):
        loss = loss_fn(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if batch % 5 == 0:
            print(f"epoch {epoch} loss: {loss.item():>7f}")
    model.eval()
    with torch.no_grad():
        losses = [loss_fn(model((X - 0.5) / 0.5), y) for X, y in test_dataloader]
    print("test loss", torch.stack(losses).mean().item())
