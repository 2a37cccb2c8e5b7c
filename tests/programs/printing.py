"""How tensors and models print: dtypes, widths, large ones, special values, options, and models."""

import torch
from torch import nn

torch.manual_seed(0)
print(torch.tensor(3), torch.tensor(2.5), torch.tensor([]), torch.tensor([True, False]))
print(torch.tensor([1.0, 10.0, 100.5]), torch.tensor([1, -20, 300]))
print(torch.tensor([1e-8, 1.0, 1e5]), torch.tensor([1e10, 2e10]))
print(torch.tensor([float("nan"), float("inf"), -1.0]))
print(torch.tensor([1.5], dtype=torch.float64), torch.tensor([1], dtype=torch.uint8))
print(torch.zeros(2, 0, 3), torch.arange(24).reshape(2, 3, 4))
print(torch.arange(2000), torch.rand(40, 40) > 2, sep="\n")
print(torch.linspace(0, 1, 1001))
print(torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True) * 2)
print(nn.Parameter(torch.tensor([1.0, 2.0])))
print(f"{torch.tensor(3.14159):.2f}", f"{torch.tensor(7):4d}|", str(torch.ones(1)), repr(torch.Size([2, 3])))
print([torch.tensor(1.0), torch.tensor([2])], {"a": torch.ones(1)})
print(torch.float32, torch.int64, torch.bool, torch.device("cpu"), torch.ones(1).type())

torch.set_printoptions(precision=2)
print(torch.tensor([3.14159, 2.71828]))
torch.set_printoptions(sci_mode=True)
print(torch.tensor([3.14159, 2.71828]))
torch.set_printoptions(profile="default", sci_mode=False)
print(torch.tensor([1e-6, 1.0]))
torch.set_printoptions(threshold=5, edgeitems=2, linewidth=40)
print(torch.arange(30.0).view(5, 6))
torch.set_printoptions(profile="default")

print(nn.Linear(2, 3, bias=False), nn.Dropout(0.2), nn.Softmax(dim=1), nn.CrossEntropyLoss(), nn.Flatten())
print(nn.Conv2d(3, 8, kernel_size=3, padding=1), nn.MaxPool2d(2, 2), nn.BatchNorm2d(8), nn.Embedding(10, 4))
print(nn.Sequential(nn.Sequential(nn.ReLU(), nn.LeakyReLU(0.2)), nn.GELU(), nn.LayerNorm(4)))
print(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1).param_groups[0]["lr"])


class Net(nn.Module):
    def extra_repr(self):
        return "nothing inside"


print(Net(), nn.Sequential(), nn.ModuleList([nn.Tanh(), nn.Tanh(), nn.ReLU()]))
