"""A tour of the losses: each with its reductions and the gradient of its input."""

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
x = torch.tensor([[0.5, -1.5, 3.0], [0.0, 2.0, -0.5]], requires_grad=True)
target = torch.tensor([[1.0, -1.0, 0.5], [0.0, 4.0, -0.5]])
for loss in (nn.MSELoss(), nn.L1Loss(), nn.SmoothL1Loss(), nn.SmoothL1Loss(beta=0.5), nn.HuberLoss(delta=1.5)):
    (grad,) = torch.autograd.grad(loss(x, target), x)
    print(loss, loss(x, target).item(), grad)
print(F.mse_loss(x, target, reduction="sum"), F.l1_loss(x, target, reduction="none"))

labels = torch.tensor([2, 1])
for loss in (nn.CrossEntropyLoss(), nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 0.5]), label_smoothing=0.2)):
    (grad,) = torch.autograd.grad(loss(x, labels), x)
    print(loss(x, labels), grad)
print(F.cross_entropy(x, torch.tensor([2, -100])), F.cross_entropy(x, torch.softmax(target, 1)))
print(nn.NLLLoss(reduction="none")(F.log_softmax(x, dim=1), labels), F.nll_loss(x.log_softmax(1), labels))

probabilities = torch.sigmoid(x)
ones = (target > 0).float()
print(nn.BCELoss()(probabilities, ones), nn.BCEWithLogitsLoss()(x, ones))
print(nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 2.0, 3.0]), reduction="sum")(x, ones))
q, p = F.log_softmax(x, dim=1), F.softmax(target, dim=1)
print(nn.KLDivLoss(reduction="batchmean")(q, p), F.kl_div(q, p.log(), reduction="sum", log_target=True))

for activation in (
    nn.ReLU(),
    nn.LeakyReLU(0.1),
    nn.ELU(),
    nn.GELU(),
    nn.SiLU(),
    nn.Softplus(),
    nn.Hardtanh(),
    nn.ReLU6(),
):
    (grad,) = torch.autograd.grad(activation(x).sum(), x)
    print(activation, activation(x)[0], grad[0])
print(nn.Sigmoid()(x)[0], nn.Tanh()(x)[0], nn.Softmax(dim=-1)(x)[0], nn.LogSoftmax(dim=-1)(x)[0])
for bad in (
    lambda: F.cross_entropy(x, torch.tensor([0])),
    lambda: nn.BCELoss()(x, ones),
    lambda: F.mse_loss(x, ones, reduction="no"),
):
    try:
        bad()
    except (ValueError, RuntimeError, IndexError) as error:
        print(type(error).__name__)
