"""Save and load: a model's weights, a checkpoint with its optimizer, and training that goes on from there."""

import os
import tempfile

import torch
from torch import nn

torch.manual_seed(0)
X, y = torch.rand(40, 6), torch.randint(0, 3, (40,))
loss_fn = nn.CrossEntropyLoss()


def build():
    return nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3))


def train(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_fn(model(X), y)
        loss.backward()
        optimizer.step()
    return loss.item()


with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "model.pth")
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    print("before saving:", train(model, optimizer, 10))
    state = {"epoch": 10, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "best": [0.5, None, "a"]}
    torch.save(state, path)
    going_on = train(model, optimizer, 10)

    checkpoint = torch.load(path, weights_only=True)
    print(list(checkpoint), checkpoint["epoch"], checkpoint["best"], type(checkpoint).__name__)
    other = build()
    print(other.load_state_dict(checkpoint["model"]))
    resumed = torch.optim.Adam(other.parameters(), lr=1.0)
    resumed.load_state_dict(checkpoint["optimizer"])
    print("lr again:", resumed.param_groups[0]["lr"])
    print("the same as without a break:", train(other, resumed, 10) == going_on)

for name, value in model.state_dict().items():
    print(name, "\t", value.size())
for key, value in optimizer.state_dict()["state"][3].items():
    print(key, value)
try:
    build().load_state_dict({"0.weight": torch.ones(12, 6)})
except RuntimeError as error:
    print(str(error).splitlines()[0])
partly = build().load_state_dict({"0.weight": torch.ones(12, 6), "extra": torch.ones(1)}, strict=False)
print(partly.missing_keys, partly.unexpected_keys)
