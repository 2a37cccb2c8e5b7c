"""A convolutional autoencoder: strided convolutions down, transposed ones up, and one that interpolates instead."""

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)


class Autoencoder(nn.Module):
    def __init__(self, decoder):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(True), nn.Conv2d(8, 4, 3, stride=2, padding=1)
        )
        self.decoder = decoder

    def forward(self, x):
        return torch.sigmoid(self.decoder(F.relu(self.encoder(x))))


transposed = nn.Sequential(
    nn.ConvTranspose2d(4, 8, 3, stride=2, padding=1, output_padding=1),
    nn.GroupNorm(2, 8),
    nn.ReLU(True),
    nn.ConvTranspose2d(8, 1, 4, stride=2, padding=1),
)
upsampling = nn.Sequential(
    nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
    nn.ReflectionPad2d(1),
    nn.Conv2d(4, 8, 3),
    nn.InstanceNorm2d(8),
    nn.LeakyReLU(0.2),
    nn.Upsample(scale_factor=2),
    nn.Conv2d(8, 1, 3, padding=1),
)
grid = torch.linspace(0, 1, 8)
images = torch.stack([(grid[:, None] * i + grid[None, :]).remainder(1) for i in range(1, 17)]).unsqueeze(1)

for decoder in (transposed, upsampling):
    model = Autoencoder(decoder)
    print(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-5)
    for epoch in range(5):
        loss = F.mse_loss(model(images), images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        print(f"epoch [{epoch + 1}/5], loss: {loss.item():.4f}")
print(F.interpolate(images[:1], size=(3, 3), mode="bilinear", align_corners=True).squeeze())
