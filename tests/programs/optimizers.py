"""Optimizers side by side: the same regression, from the same weights, by each rule."""

import torch
import torch.nn.functional as F

torch.manual_seed(1)
x = torch.unsqueeze(torch.linspace(-1, 1, 200), dim=1)
y = x.pow(2) + 0.1 * torch.normal(torch.zeros(*x.size()))
dataset = torch.utils.data.TensorDataset(x, y)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = torch.nn.Linear(1, 12)
        self.predict = torch.nn.Linear(12, 1)

    def forward(self, x):
        return self.predict(F.relu(self.hidden(x)))


start = Net().state_dict()
rules = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.05),
    "Momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, dampening=0.1, weight_decay=1e-3),
    "Nesterov": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, momentum=0.1, centered=True),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.9, 0.99), amsgrad=True),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05, lr_decay=0.01),
    "Adadelta": lambda p: torch.optim.Adadelta(p, lr=1.0),
    "Adamax": lambda p: torch.optim.Adamax(p, lr=0.01),
    "NAdam": lambda p: torch.optim.NAdam(p, lr=0.01),
}
for name, rule in rules.items():
    net = Net()
    net.load_state_dict(start)
    optimizer = rule(net.parameters())
    generator = torch.Generator().manual_seed(0)
    losses = []
    for epoch in range(4):
        for b_x, b_y in torch.utils.data.DataLoader(dataset, batch_size=32, shuffle=True, generator=generator):
            loss = F.mse_loss(net(b_x), b_y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(f"{loss.item():.5f}")
    print(f"{name:10}", *losses)

net = Net()
optimizer = torch.optim.SGD(
    [{"params": net.hidden.parameters()}, {"params": net.predict.parameters(), "lr": 1e-3}], lr=0.1
)
print([(len(group["params"]), group["lr"]) for group in optimizer.param_groups])
