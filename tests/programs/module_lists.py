"""Models of many parts: ModuleList, ModuleDict, ParameterList, nested Sequentials, and how to get at the parts."""

from collections import OrderedDict

import torch
from torch import nn

torch.manual_seed(0)


class Deep(nn.Module):
    def __init__(self, sizes, activation):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True)])
        self.activations = nn.ModuleDict({"relu": nn.ReLU(), "tanh": nn.Tanh(), "lrelu": nn.LeakyReLU(0.1)})
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(1) * (i + 1)) for i in range(len(sizes) - 1)])
        self.register_buffer("mean", torch.full((sizes[0],), 0.5))
        self.choice = activation

    def forward(self, x):
        x = x - self.mean
        for layer, scale in zip(self.layers, self.scales, strict=True):
            x = self.activations[self.choice](layer(x) * scale)
        return x


model = Deep([4, 5, 6, 2], "lrelu")
print(model)
print(model(torch.rand(2, 4)))
print([name for name, _ in model.named_parameters()])
print(list(model.state_dict()), len(model.layers), "tanh" in model.activations)
model.layers.append(nn.Linear(2, 2))
model.scales.append(nn.Parameter(torch.zeros(1)))
print(model(torch.rand(1, 4)), sum(p.numel() for p in model.parameters()))
for name, module in model.named_children():
    print(name, type(module).__name__)

block = nn.Sequential(OrderedDict([("fc", nn.Linear(3, 3)), ("act", nn.Sigmoid())]))
net = nn.Sequential(block, nn.Identity(), nn.Linear(3, 1))
net.add_module("last", nn.Softplus())
net.append(nn.Flatten())
print(net, len(net), net[0].fc.weight.shape, net[-1], sep="\n")
print(net.get_submodule("0.act"), [type(m).__name__ for m in net.modules()])
net[1] = nn.ELU()
print(net[1:3], net(torch.ones(2, 3)))


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = self.second = nn.Linear(2, 2, bias=False)

    def forward(self, x):
        return self.second(self.first(x)).relu()


shared = Shared().double()
shared(torch.ones(1, 2, dtype=torch.float64)).sum().backward()
print(len(list(shared.parameters())), list(shared.state_dict()), shared.first.weight.grad)
