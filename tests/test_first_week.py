"""Snippets of a torch user's first week print the same on torch and on minitrain, the import aside."""

import contextlib
import io
import re
from types import ModuleType

import pytest
import torch

import minitrain

SNIPPETS = {
    "tensors out of data": """
        data = [[1, 2], [3, 4]]
        x_data = torch.tensor(data)
        print(x_data, x_data.shape, x_data.dtype, x_data.device)
        np_array = np.array(data)
        print(torch.from_numpy(np_array))
        print(torch.ones_like(x_data), torch.rand_like(x_data, dtype=torch.float))
        shape = (2, 3,)
        print(torch.rand(shape), torch.ones(shape), torch.zeros(shape))
    """,
    "indexing and joining": """
        tensor = torch.ones(4, 4)
        print(f"First row: {tensor[0]}")
        print(f"First column: {tensor[:, 0]}")
        print(f"Last column: {tensor[..., -1]}")
        tensor[:,1] = 0
        print(tensor)
        print(torch.cat([tensor, tensor, tensor], dim=1), torch.stack([tensor, tensor]).shape)
    """,
    "arithmetic": """
        tensor = torch.arange(9.).reshape(3, 3)
        print(tensor @ tensor.T, tensor.matmul(tensor.T), torch.matmul(tensor, tensor.T))
        print(tensor * tensor, tensor.mul(tensor), torch.mul(tensor, tensor))
        agg = tensor.sum()
        agg_item = agg.item()
        print(agg_item, type(agg_item))
        tensor.add_(5)
        print(tensor, -tensor / 3, 2 ** tensor, 1 - tensor, tensor > 7, tensor.mean(0), tensor.std(), tensor % 4)
    """,
    "the bridge to NumPy": """
        t = torch.ones(5)
        n = t.numpy()
        t.add_(1)
        print(t, n)
        n = np.ones(5)
        t = torch.from_numpy(n)
        np.add(n, 1, out=n)
        print(t, n)
    """,
    "automatic differentiation": """
        x = torch.ones(5)
        y = torch.zeros(3)
        w = torch.rand(5, 3, requires_grad=True)
        b = torch.rand(3, requires_grad=True)
        z = torch.matmul(x, w)+b
        loss = nn.functional.mse_loss(z, y)
        print(z.requires_grad, loss.requires_grad, w.is_leaf, z.is_leaf)
        loss.backward()
        print(w.grad, b.grad)
        with torch.no_grad():
            z = torch.matmul(x, w)+b
        print(z.requires_grad, z.detach().requires_grad)
    """,
    "gradients add up": """
        inp = torch.eye(4, 5, requires_grad=True)
        out = (inp+1).pow(2).t()
        out.backward(torch.ones_like(out), retain_graph=True)
        print(f"First call\\n{inp.grad}")
        out.backward(torch.ones_like(out), retain_graph=True)
        print(f"Second call\\n{inp.grad}")
        inp.grad.zero_()
        out.backward(torch.ones_like(out), retain_graph=True)
        print(f"Call after zeroing gradients\\n{inp.grad}")
    """,
    "a model, layer by layer": """
        device = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"
        class NeuralNetwork(nn.Module):
            def __init__(self):
                super().__init__()
                self.flatten = nn.Flatten()
                self.linear_relu_stack = nn.Sequential(nn.Linear(28*28, 12), nn.ReLU(), nn.Linear(12, 10))
            def forward(self, x):
                return self.linear_relu_stack(self.flatten(x))
        model = NeuralNetwork().to(device)
        print(model)
        X = torch.rand(1, 28, 28, device=device)
        logits = model(X)
        pred_probab = nn.Softmax(dim=1)(logits)
        y_pred = pred_probab.argmax(1)
        print(f"Predicted class: {y_pred}", pred_probab)
        for name, param in model.named_parameters():
            print(f"Layer: {name} | Size: {param.size()} | Values : {param[:2].detach()} \\n")
        print(sum(p.numel() for p in model.parameters() if p.requires_grad))
    """,
    "a data set and a loader": """
        class Squares(Dataset):
            def __init__(self, n): self.n = n
            def __len__(self): return self.n
            def __getitem__(self, i): return torch.tensor([float(i)]), i * i
        loader = DataLoader(Squares(7), batch_size=3, shuffle=True)
        for X, y in loader:
            print(X, y, X.dtype, y.dtype)
        features, labels = next(iter(loader))
        print(f"Feature batch shape: {features.size()}", labels.shape)
        print(torch.randint(7, size=(1,)).item(), torch.randperm(7))
        train, test = random_split(Squares(10), [8, 2])
        print(len(train), [int(y) for _, y in test])
    """,
    "fitting a line by hand": """
        X = torch.linspace(-1, 1, 50)
        y = 3 * X + 0.5
        a = torch.randn((), requires_grad=True)
        b = torch.randn((), requires_grad=True)
        for t in range(200):
            loss = (a * X + b - y).pow(2).mean()
            loss.backward()
            with torch.no_grad():
                a -= 0.1 * a.grad
                b -= 0.1 * b.grad
                a.grad = None
                b.grad = None
        print(f"{a.item():.3f} {b.item():.3f} {loss.item():.6f}")
    """,
    "fitting with an optimizer": """
        X = torch.rand(64, 3)
        y = X.sum(dim=1, keepdim=True)
        model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
        loss_fn = nn.MSELoss()
        for epoch in range(50):
            optimizer.zero_grad()
            loss = loss_fn(model(X), y)
            loss.backward()
            optimizer.step()
        print(f"{loss.item():.4f}")
        model.eval()
        with torch.no_grad():
            print(((model(X) - y).abs() < 0.3).float().mean().item())
    """,
    "accuracy, as everybody computes it": """
        pred, y = torch.rand(8, 3), torch.randint(0, 3, (8,))
        correct = (pred.argmax(1) == y).type(torch.float).sum().item()
        _, predicted = torch.max(pred, 1)
        print(correct / len(y), (predicted == y).sum().item(), y.float().mean())
        print(pred.softmax(dim=1).argmax(1), torch.allclose(pred.softmax(dim=1).sum(1), torch.ones(8)))
    """,
    "state dicts": """
        model, other = nn.Linear(2, 3), nn.Linear(2, 3)
        print(other.load_state_dict(model.state_dict()))
        print(torch.equal(other.weight, model.weight), list(model.state_dict()))
        best = copy.deepcopy(model.state_dict())
        with torch.no_grad():
            model.weight.zero_()
        print(best["weight"].abs().sum() > 0, model.weight)
    """,
}


def printed(snippet: str, framework: ModuleType) -> str:
    """What the snippet prints, without the word torch, and with operations' names left out."""
    import copy
    import textwrap

    import numpy as np

    data = framework.utils.data if framework is torch else framework.data
    names = {"torch": framework, "nn": framework.nn, "np": np, "copy": copy}
    names |= {name: getattr(data, name) for name in ("Dataset", "DataLoader", "random_split")}
    framework.manual_seed(0)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(textwrap.dedent(snippet), names)
    return re.sub(r"<\w+Backward\d>", "<Backward>", out.getvalue().replace("torch.", ""))


@pytest.mark.parametrize("name", SNIPPETS)
def test_it_prints_what_torch_prints(name: str) -> None:
    mine, torchs = printed(SNIPPETS[name], minitrain), printed(SNIPPETS[name], torch)
    assert mine == torchs
    assert mine


def test_a_difference_would_be_seen() -> None:
    assert printed("print(torch.rand(2))", minitrain) != printed("torch.rand(1); print(torch.rand(2))", torch)
