"""An old program: Variable, size_average=False, init without underscore, .data, the whole model saved."""

import io

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import Variable

torch.manual_seed(1)
torch.set_default_tensor_type(torch.FloatTensor)
Tensor = torch.FloatTensor


def weights_init(m):
    if m.__class__.__name__.find("Linear") != -1:
        nn.init.xavier_uniform(m.weight.data)
        nn.init.constant(m.bias.data, 0.1)


class VAE(nn.Module):
    def __init__(self, features, latent):
        super(VAE, self).__init__()
        self.latent = latent
        self.fc1, self.fc21, self.fc22 = nn.Linear(features, 8), nn.Linear(8, latent), nn.Linear(8, latent)
        self.decode = nn.Sequential(nn.Linear(latent, 8), nn.ReLU(), nn.Linear(8, features), nn.Sigmoid())

    def forward(self, x):
        h = F.relu(self.fc1(x))
        mu, logvar = self.fc21(h), self.fc22(h)
        std = logvar.mul(0.5).exp_()
        eps = Variable(std.data.new(std.size()).normal_())
        return self.decode(eps.mul(std).add_(mu)), mu, logvar


model = VAE(6, 2)
model.apply(weights_init)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
x = Variable(Tensor(10, 6).uniform_(0, 1), requires_grad=False)
for epoch in range(5):
    y, mu, logvar = model(x)
    bce = F.binary_cross_entropy(y, x, size_average=False)
    loss = bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"epoch {epoch} loss {loss.data.item():.4f}")

each = nn.MSELoss(reduce=False)(y, x)
print(each.size(), nn.MSELoss(size_average=True)(y, x).item(), next(model.parameters()).is_cuda)
flat = torch.cat([p.data.view(-1) for p in model.parameters()])
print(flat.size(), flat.norm())

file = io.BytesIO()
torch.save(model, file)
file.seek(0)
again = torch.load(file, weights_only=False)
print(again, again.latent, torch.equal(again.fc1.weight, model.fc1.weight))
