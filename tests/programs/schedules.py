"""Learning-rate schedules: what each one does over twelve steps."""

import torch
from torch.optim import lr_scheduler


def show(name, make, steps=12, **step_arguments):
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(**step_arguments)
    print(f"{name:16}", " ".join(f"{rate:.5f}" for rate in rates))
    return scheduler


show("LambdaLR", lambda o: lr_scheduler.LambdaLR(o, lr_lambda=lambda epoch: 0.95**epoch))
show("StepLR", lambda o: lr_scheduler.StepLR(o, step_size=4, gamma=0.5))
show("MultiStepLR", lambda o: lr_scheduler.MultiStepLR(o, milestones=[3, 8], gamma=0.1))
show("ExponentialLR", lambda o: lr_scheduler.ExponentialLR(o, gamma=0.9))
show("LinearLR", lambda o: lr_scheduler.LinearLR(o, start_factor=0.25, total_iters=6))
show("Cosine", lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=10, eta_min=0.01))
show("WarmRestarts", lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=4, T_mult=2))
show("OneCycleLR", lambda o: lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=12))
show("Plateau", lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=2), metrics=1.0)


def warm_up(optimizer):
    first = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=4)
    second = lr_scheduler.ExponentialLR(optimizer, gamma=0.8)
    return lr_scheduler.SequentialLR(optimizer, schedulers=[first, second], milestones=[4])


show("SequentialLR", warm_up)
scheduler = show("again", lambda o: lr_scheduler.StepLR(o, step_size=2, gamma=0.5), steps=5)
state = scheduler.state_dict()
print(state["last_epoch"], state["step_size"], state["gamma"], scheduler.get_last_lr())
scheduler.load_state_dict({**state, "last_epoch": 1})
scheduler.optimizer.step()
scheduler.step()
print(scheduler.last_epoch, scheduler.get_last_lr())
for group in scheduler.optimizer.param_groups:
    print(group["initial_lr"], group["momentum"])
