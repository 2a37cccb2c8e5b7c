"""An autoencoder squeezes pictures of 8 x 8 through three numbers, and a denoising one cleans noisy pictures."""

import torch
import torch.nn as nn

torch.manual_seed(0)
rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
centers = torch.rand(96, 2) * 5 + 1
distance = (rows - centers[:, 0, None, None]) ** 2 + (columns - centers[:, 1, None, None]) ** 2
images = torch.exp(-distance / 6)
print(images.shape, images.mean())


class AutoEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(64, 32),
            nn.Tanh(),
            nn.Linear(32, 12),
            nn.Tanh(),
            nn.Linear(12, 3),
        )
        self.decoder = nn.Sequential(
            nn.Linear(3, 12),
            nn.Tanh(),
            nn.Linear(12, 32),
            nn.Tanh(),
            nn.Linear(32, 64),
            nn.Sigmoid(),
            nn.Unflatten(1, (8, 8)),
        )

    def forward(self, x):
        encoded = self.encoder(x)
        decoded = self.decoder(encoded)
        return encoded, decoded


for noise in (0.0, 0.3):
    autoencoder = AutoEncoder()
    optimizer = torch.optim.Adam(autoencoder.parameters(), lr=0.01)
    loss_func = nn.MSELoss()
    for epoch in range(10):
        for batch in torch.split(images, 32):
            noisy = torch.clamp(batch + noise * torch.rand_like(batch), 0.0, 1.0)
            encoded, decoded = autoencoder(noisy.view(-1, 64))
            loss = loss_func(decoded, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    print("noise", noise, "loss", loss.item())
autoencoder.eval()
with torch.no_grad():
    codes, pictures = autoencoder(images[:2].flatten(1))
print(codes, pictures[0, 3], sep="\n")
