"""A tour of random numbers: seeds, generators, states, and the laws that can be drawn from."""

import torch

torch.manual_seed(0)
first = torch.rand(3)
torch.manual_seed(0)
print(first, torch.equal(first, torch.rand(3)))
print(torch.rand(2, 3), torch.randn(4), torch.randint(10, (5,)), torch.randint(-3, 3, (2, 2)), torch.randperm(6))
state = torch.get_rng_state()
a = torch.rand(2)
torch.set_rng_state(state)
print(torch.equal(a, torch.rand(2)), torch.initial_seed())

g = torch.Generator()
g.manual_seed(42)
print(torch.rand(2, generator=g), torch.randperm(5, generator=g), g.initial_seed())
print(torch.rand(2, dtype=torch.float64, generator=g), torch.randn(2, dtype=torch.float64, generator=g))
print(torch.empty(3).uniform_(-1, 1), torch.empty(3).normal_(mean=5, std=0.1), torch.rand_like(torch.ones(2)))
print(torch.normal(0.0, 1.0, size=(4,)), torch.normal(mean=torch.arange(3.0), std=torch.ones(3) * 0.1))
print(
    torch.bernoulli(torch.tensor([0.0, 0.5, 1.0])),
    torch.multinomial(torch.tensor([0.1, 0.0, 0.9]), 5, replacement=True),
)
print(torch.multinomial(torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 1.0]]), 2))
print(torch.randint(0, 2, (6,)).bool(), torch.randint(low=0, high=100, size=(3,), dtype=torch.int32))

many = torch.rand(2000)
print(f"{many.mean():.4f} {many.std():.4f} {many.min() >= 0} {many.max() < 1}")
print(torch.nn.functional.dropout(torch.ones(8)), torch.nn.functional.dropout(torch.ones(4), p=0.5, training=False))
darts = torch.rand(1000, 2)
inside = (darts**2).sum(1) <= 1
print("pi is about", 4 * inside.float().mean().item())
steps = torch.randint(0, 2, (30,)) * 2 - 1
print("a random walk:", steps.cumsum(0).tolist())
with torch.random.fork_rng():
    torch.manual_seed(9)
    inner = torch.rand(1)
torch.random.manual_seed(9)
print(torch.equal(inner, torch.rand(1)))
