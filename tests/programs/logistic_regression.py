"""Logistic regression: BCELoss on sigmoids and BCEWithLogitsLoss on logits learn the same."""

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
x = torch.rand(120, 2) * 4 - 2
y = (x[:, 0] + 2 * x[:, 1] > 0.5).float().unsqueeze(1)
mean, std = x.mean(dim=0), x.std(dim=0)
x = (x - mean) / std
print(mean, std, y.sum())


class LogisticRegression(nn.Module):
    def __init__(self, n_input_features, with_sigmoid):
        super().__init__()
        self.linear = nn.Linear(n_input_features, 1)
        self.with_sigmoid = with_sigmoid

    def forward(self, x):
        out = self.linear(x)
        return torch.sigmoid(out) if self.with_sigmoid else out


first = LogisticRegression(2, True)
second = LogisticRegression(2, False)
second.load_state_dict(first.state_dict())
for model, criterion in ((first, nn.BCELoss()), (second, nn.BCEWithLogitsLoss())):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for epoch in range(60):
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if (epoch + 1) % 20 == 0:
            print(f"epoch: {epoch + 1}, loss = {loss.item():.4f}")
    with torch.no_grad():
        out = model(x)
        classes = out.round() if model.with_sigmoid else (out > 0).float()
        acc = classes.eq(y).sum() / float(y.shape[0])
    print(f"accuracy: {acc.item():.4f}", model.linear.weight.data)

logits = second(x)[:4].detach()
target = y[:4]
weight = torch.tensor([[0.1], [0.2], [0.3], [0.4]])
print(F.binary_cross_entropy(logits.sigmoid(), target, reduction="none").flatten())
print(F.binary_cross_entropy_with_logits(logits, target, weight=weight, pos_weight=torch.tensor([3.0])))
print(nn.BCELoss(reduction="sum")(torch.tensor([0.0, 1.0, 1.0]), torch.tensor([0.0, 1.0, 0.0])))
