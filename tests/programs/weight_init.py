"""Weight initialisation compared: how each one keeps or loses the signal through ten layers."""

import torch
import torch.nn as nn
from torch.nn import init

torch.manual_seed(0)


def constant(weight):
    init.constant_(weight, 0.01)


def normal(weight):
    init.normal_(weight, mean=0.0, std=0.1)


def uniform(weight):
    init.uniform_(weight, -0.1, 0.1)


def xavier(weight):
    init.xavier_uniform_(weight, gain=init.calculate_gain("tanh"))


def kaiming(weight):
    init.kaiming_normal_(weight, mode="fan_in", nonlinearity="relu")


def custom_init(m, rule):
    if isinstance(m, nn.Linear):
        rule(m.weight)
        init.zeros_(m.bias)


x = torch.randn(32, 20)
for rule in (constant, normal, uniform, xavier, kaiming):
    layers = []
    for _ in range(10):
        layers += [nn.Linear(20, 20), nn.ReLU()]
    net = nn.Sequential(*layers)
    net.apply(lambda m, rule=rule: custom_init(m, rule))
    out = net(x)
    out.sum().backward()
    print(f"{rule.__name__:10} std {out.std().item():.4e} grad {net[0].weight.grad.abs().mean().item():.4e}")

layer = nn.Linear(4, 3)
print(layer.weight, layer.bias)
print(init.eye_(torch.empty(2, 3)), init.ones_(torch.empty(2)))
print([round(init.calculate_gain(name), 4) for name in ("linear", "sigmoid", "tanh", "relu")])
print(init.xavier_normal_(torch.empty(2, 3)).shape, init.kaiming_uniform_(torch.empty(2, 3), a=5**0.5))
with torch.no_grad():
    layer.weight.fill_(1.0)
    layer.weight[0] += torch.tensor([0.0, 1.0, 2.0, 3.0])
layer.bias.data.zero_()
print(layer(torch.ones(1, 4)))
