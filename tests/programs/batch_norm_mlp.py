"""A batch-norm MLP: normalization by hand and by nn.BatchNorm1d, in training and in evaluation; dropout beside it."""

import torch
from torch import nn

torch.manual_seed(0)
x = torch.rand(64, 8) * 5 + 3
y = (x.sum(1) > x.sum(1).mean()).long()


def batch_norm(X, gamma, beta, eps=1e-5):
    mean = X.mean(dim=0)
    var = ((X - mean) ** 2).mean(dim=0)
    return gamma * (X - mean) / torch.sqrt(var + eps) + beta


bn = nn.BatchNorm1d(8)
print(bn, torch.allclose(bn(x), batch_norm(x, torch.ones(8), torch.zeros(8)), atol=1e-5))
print(bn.running_mean, bn.running_var, bn.num_batches_tracked, sep="\n")
print([name for name, _ in bn.named_parameters()], [name for name, _ in bn.named_buffers()])

model = nn.Sequential(
    nn.Linear(8, 16, bias=False),
    nn.BatchNorm1d(16, momentum=0.2),
    nn.ReLU(),
    nn.Dropout(p=0.3),
    nn.Linear(16, 2),
)
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
for epoch in range(30):
    model.train()
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if epoch % 10 == 9:
        model.eval()
        with torch.no_grad():
            valid = nn.functional.cross_entropy(model(x), y)
        print(epoch, f"train {loss.item():.5f} eval {valid.item():.5f}")
print(model.training, model[1].running_mean[:4], model[1].weight[:4])

images = torch.rand(4, 3, 5, 5)
norm2d, layer = nn.BatchNorm2d(3, affine=False), nn.LayerNorm([5, 5])
print(norm2d(images).std(dim=(0, 2, 3)), layer(images)[0, 0, 0], sep="\n")
print(nn.Dropout2d(0.5)(images).sum(dim=(2, 3)))
