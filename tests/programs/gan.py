"""A tiny GAN of linear layers: the generator learns to draw parabolas that the discriminator takes for real."""

import torch
import torch.nn as nn

torch.manual_seed(1)
BATCH_SIZE, N_IDEAS, POINTS = 32, 5, 12
paint_points = torch.linspace(-1, 1, POINTS).repeat(BATCH_SIZE, 1)


def artist_works():
    a = torch.empty(BATCH_SIZE, 1).uniform_(1, 2)
    return a * torch.pow(paint_points, 2) + (a - 1)


G = nn.Sequential(nn.Linear(N_IDEAS, 32), nn.LeakyReLU(0.2), nn.Linear(32, POINTS))
D = nn.Sequential(nn.Linear(POINTS, 32), nn.LeakyReLU(0.2, inplace=True), nn.Linear(32, 1), nn.Sigmoid())
criterion = nn.BCELoss()
opt_D = torch.optim.Adam(D.parameters(), lr=0.002, betas=(0.5, 0.999))
opt_G = torch.optim.Adam(G.parameters(), lr=0.002, betas=(0.5, 0.999))
real_label, fake_label = torch.ones(BATCH_SIZE, 1), torch.zeros(BATCH_SIZE, 1)
for step in range(60):
    real = artist_works()
    D.zero_grad()
    err_real = criterion(D(real), real_label)
    err_real.backward()
    noise = torch.rand(BATCH_SIZE, N_IDEAS) * 2 - 1
    fake = G(noise)
    output = D(fake.detach())
    err_fake = criterion(output, fake_label)
    err_fake.backward()
    opt_D.step()

    G.zero_grad()
    err_G = criterion(D(fake), real_label)
    err_G.backward()
    opt_G.step()
    if step % 12 == 0:
        err_D, D_x, D_G = err_real + err_fake, D(real).mean().item(), output.mean().item()
        print(f"[{step:2d}] Loss_D: {err_D.item():.4f} Loss_G: {err_G.item():.4f} D(x): {D_x:.4f} D(G(z)): {D_G:.4f}")
with torch.no_grad():
    print(G(torch.zeros(1, N_IDEAS)))
