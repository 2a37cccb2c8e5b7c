"""Losses that ask for a margin: triplets, pairs, rankings, hinges; and losses with a variance or counts."""

import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(60, 4)
labels = (x[:, 0] > 0).long()
embed = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
optimizer = torch.optim.SGD(embed.parameters(), lr=0.05)
triplet = nn.TripletMarginLoss(margin=1.0)
same, other = x[labels == 1], x[labels == 0]
n = min(len(same), len(other)) - 1
for epoch in range(5):
    loss = triplet(embed(same[:n]), embed(same[1 : n + 1]), embed(other[:n]))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"epoch {epoch}: triplet loss {loss.item():.4f}")

with torch.no_grad():
    a, b = embed(same[:n]), embed(other[:n])
    signs = torch.ones(n)
    signs[::2] = -1
    print("distance", nn.PairwiseDistance(p=2)(a, b).mean())
    print("cosine", nn.CosineEmbeddingLoss(margin=0.2)(a, b, signs))
    print("ranking", nn.MarginRankingLoss(margin=0.5)(a[:, 0], b[:, 0], signs))
    print("hinge", nn.HingeEmbeddingLoss()((a - b).norm(dim=1), signs))
    print("soft margin", nn.SoftMarginLoss()(a[:, 0], signs))
    print("svm", nn.MultiMarginLoss()(embed(x), labels))
    print("several labels", nn.MultiLabelSoftMarginLoss()(a, (b > 0).float()))
    print("gaussian", nn.GaussianNLLLoss()(a[:, 0], b[:, 0], torch.full((n,), 0.5)))
    print("counts", nn.PoissonNLLLoss()(a[:, 0], torch.arange(n) % 3))
    print("quantiles", torch.quantile(a.abs(), torch.tensor([0.25, 0.5, 0.75]), dim=0))
