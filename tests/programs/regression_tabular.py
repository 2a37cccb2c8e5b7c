"""Regression on a table: columns of numbers and of kinds, standardized, encoded, split, learned with weight decay."""

import csv
import io

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

torch.manual_seed(0)
rows = ["weight,cylinders,origin,mpg"]
for n in range(80):
    weight, cylinders, origin = 1600 + n * 37 % 3400, (4, 6, 8)[n % 3], ("usa", "europe", "japan")[n * n % 7 % 3]
    rows.append(f"{weight},{cylinders},{origin},{45 - weight / 150 - cylinders / 2 + len(origin) / 4:.2f}")
table = list(csv.DictReader(io.StringIO("\n".join(rows))))
print(len(table), table[0])

weights = torch.tensor([float(row["weight"]) for row in table])
weights = (weights - weights.mean()) / weights.std()
cylinders = torch.bucketize(torch.tensor([int(row["cylinders"]) for row in table]), torch.tensor([5, 7]), right=True)
names = sorted({row["origin"] for row in table})
origin = nn.functional.one_hot(torch.tensor([names.index(row["origin"]) for row in table]) % len(names))
x = torch.cat([weights[:, None], cylinders[:, None].float(), origin], 1).float()
y = torch.tensor([float(row["mpg"]) for row in table])[:, None]
print(x.shape, x[:2], y.mean())

train, test = random_split(TensorDataset(x, y), [60, 20], torch.Generator().manual_seed(1))
model = nn.Sequential(nn.Linear(x.shape[1], 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.003, weight_decay=1e-3)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=30)
for epoch in range(30):
    loss_hist_train = 0.0
    for x_batch, y_batch in DataLoader(train, batch_size=8, shuffle=True):
        loss = nn.functional.mse_loss(model(x_batch)[:, 0], y_batch[:, 0])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss_hist_train += loss.item()
    scheduler.step()
    if epoch % 10 == 9:
        print(f"Epoch {epoch} Loss {loss_hist_train / 8:.4f} lr {scheduler.get_last_lr()[0]:.5f}")
with torch.no_grad():
    x_test, y_test = zip(*test, strict=True)
    pred = model(torch.stack(x_test))
    print(f"Test MSE: {nn.MSELoss()(pred, torch.stack(y_test)):.4f} MAE: {nn.L1Loss()(pred, torch.stack(y_test)):.4f}")
