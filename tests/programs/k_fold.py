"""K-fold cross-validation with SubsetRandomSampler: every example is validated once."""

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset

torch.manual_seed(0)
np.random.seed(0)
x = torch.rand(100, 5)
y = (x[:, 0] > x[:, 1]).long()
dataset = TensorDataset(x, y)
indices = np.random.permutation(len(dataset))
folds = np.array_split(indices, 4)


def reset_weights(m):
    if hasattr(m, "reset_parameters"):
        m.reset_parameters()


def evaluate(model, loader):
    model.eval()
    hits = 0
    with torch.no_grad():
        for xb, yb in loader:
            hits += (model(xb).argmax(1) == yb).sum().item()
    return hits / len(loader.sampler)


model = nn.Sequential(nn.Linear(5, 10), nn.ReLU(), nn.Linear(10, 2))
results = []
for fold, valid in enumerate(folds):
    train = np.concatenate([other for other in folds if other is not valid])
    train_loader = DataLoader(dataset, batch_size=25, sampler=SubsetRandomSampler(train))
    valid_loader = DataLoader(dataset, batch_size=25, sampler=SubsetRandomSampler(valid))
    model.apply(reset_weights)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(8):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(xb), yb)
            loss.backward()
            optimizer.step()
    results.append(evaluate(model, valid_loader))
    print(f"fold {fold}: {len(train)} + {len(valid)}, loss {loss.item():.4f}, accuracy {results[-1]:.3f}")
print(f"mean {np.mean(results):.4f}, std {torch.tensor(results).std(unbiased=False).item():.4f}")
