"""Reference values of PyTorch for optimisers, schedules, batch norm, cross-entropy and whitening.

    python scripts/goldens/optim.py > tests/goldens/optim.json
"""

import json
import sys

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR, SequentialLR, StepLR

torch.manual_seed(0)
torch.set_num_threads(1)


def flat(x):
    return [float(v) for v in x.detach().reshape(-1)]


def named(tensors):
    return {name: {"shape": list(t.shape), "data": flat(t)} for name, t in tensors.items()}


class Muon(torch.optim.Optimizer):
    """Muon in float32 from its published formulas (Newton-Schulz quintic, norm reset to sqrt(out))."""

    def __init__(self, params, lr, momentum):
        super().__init__(params, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                buffer = self.state[p].setdefault("buffer", torch.zeros_like(p))
                buffer.mul_(group["momentum"]).add_(p.grad)
                g = p.grad + group["momentum"] * buffer
                p.mul_(len(p) ** 0.5 / p.norm())
                x = g.reshape(len(g), -1)
                x = x / (x.norm() + 1e-7)
                tall = x.size(0) > x.size(1)
                x = x.T if tall else x
                for _ in range(3):
                    a = x @ x.T
                    b = -4.7750 * a + 2.0315 * a @ a
                    x = 3.4445 * x + b @ x
                p.add_((x.T if tall else x).reshape(p.shape), alpha=-group["lr"])


def trajectory(make, shapes, steps=4):
    """Parameters after each step for fixed gradients."""
    parameters = {name: nn.Parameter(torch.randn(shape)) for name, shape in shapes.items()}
    initial = named(parameters)
    gradients, after = [], []
    optimizer, scheduler = make(parameters)
    for _ in range(steps):
        for p in parameters.values():
            p.grad = torch.randn(p.shape)
        gradients.append(named({name: p.grad for name, p in parameters.items()}))
        optimizer.step()
        if scheduler:
            scheduler.step()
        after.append(named(parameters))
    return {"initial": initial, "gradients": gradients, "after": after}


SHAPES = {"a": (3, 4), "b": (5,)}


def two_groups(p, **first):
    return [dict(params=[p["a"]], **first), dict(params=[p["b"]], lr=0.5, weight_decay=0.0)]


def sgd(nesterov):
    def make(p):
        return torch.optim.SGD(two_groups(p, weight_decay=0.01), lr=0.1, momentum=0.85, nesterov=nesterov), None

    return make


def adamw(p):
    optimizer = torch.optim.AdamW(two_groups(p, weight_decay=0.05), lr=0.02)
    return optimizer, StepLR(optimizer, step_size=2, gamma=0.1)


def muon(p):
    return Muon(p.values(), lr=0.24, momentum=0.6), None


def rates(make, steps):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    values = []
    for _ in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


def batch_norm():
    x = torch.randn(4, 3, 5, 6) * 2 + torch.tensor([0.5, -3, 10]).view(1, 3, 1, 1)
    x.requires_grad_()
    norm = nn.BatchNorm2d(3, eps=1e-5, momentum=0.4)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.5, -1.0]))
        norm.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
        norm.running_mean.copy_(torch.tensor([0.2, -0.4, 1.0]))
        norm.running_var.copy_(torch.tensor([1.2, 0.4, 2.0]))
    inputs = named({"x": x, **norm.state_dict(), "dy": (dy := torch.randn(x.shape))} | {})
    inputs.pop("num_batches_tracked")
    norm.eval()
    evaluated = norm(x)
    norm.train()
    y = norm(x)
    y.backward(dy)
    return {
        "inputs": inputs,
        "eval": flat(evaluated),
        "train": flat(y),
        "running_mean": flat(norm.running_mean),
        "running_var": flat(norm.running_var),
        "dx": flat(x.grad),
        "dweight": flat(norm.weight.grad),
        "dbias": flat(norm.bias.grad),
    }


def cross_entropy():
    logits = (torch.randn(6, 10) * 3).requires_grad_()
    labels = torch.tensor([0, 9, 3, 3, 5, 1])
    cases = []
    for smoothing in (0.0, 0.2):
        for reduction in ("mean", "sum"):
            logits.grad = None
            loss = nn.functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction=reduction)
            loss.backward()
            cases.append(
                {"labelSmoothing": smoothing, "reduction": reduction, "loss": float(loss), "gradient": flat(logits.grad)}
            )
    return {"logits": named({"l": logits})["l"], "labels": labels.tolist(), "cases": cases}


def clipping():
    p = {"a": nn.Parameter(torch.zeros(3, 4)), "b": nn.Parameter(torch.zeros(5))}
    for q in p.values():
        q.grad = torch.randn(q.shape)
    before = named({name: q.grad for name, q in p.items()})
    norm = nn.utils.clip_grad_norm_(p.values(), 1.5)
    return {"before": before, "maxNorm": 1.5, "norm": float(norm), "after": named({n: q.grad for n, q in p.items()})}


def whitening():
    images = torch.randn(3, 3, 6, 6) + 0.5 * torch.randn(3, 1, 6, 6)
    patches = images.unfold(2, 2, 1).unfold(3, 2, 1).transpose(1, 3).reshape(-1, 3, 2, 2)
    rows = patches.reshape(len(patches), -1).double()
    values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
    scaled = vectors.T.flip(0) / torch.sqrt(values.flip(0).view(-1, 1) + 5e-4)
    return {"images": named({"x": images})["x"], "values": flat(values.flip(0)), "filters": flat(scaled)}


def warm_cosine(o):
    warm = LinearLR(o, start_factor=0.1, end_factor=1.0, total_iters=3)
    return SequentialLR(o, [warm, CosineAnnealingLR(o, T_max=7, eta_min=0.05)], milestones=[3])


json.dump(
    {
        "torch": torch.__version__,
        "optimizers": {
            "sgdNesterov": trajectory(sgd(True), SHAPES),
            "sgdHeavyBall": trajectory(sgd(False), SHAPES),
            "adamw": trajectory(adamw, SHAPES),
            "muon": trajectory(muon, {"wide": (4, 2, 3, 3), "tall": (20, 2, 2, 2)}, steps=3),
        },
        "schedules": {
            "step": rates(lambda o: StepLR(o, step_size=3, gamma=0.3), 10),
            "cosine": rates(lambda o: CosineAnnealingLR(o, T_max=10, eta_min=0.05), 11),
            "oneCycleLinear": rates(
                lambda o: OneCycleLR(
                    o, 1.0, total_steps=20, pct_start=0.3, anneal_strategy="linear", cycle_momentum=False,
                    div_factor=5, final_div_factor=100,
                ), 19,
            ),
            "oneCycleCosine": rates(
                lambda o: OneCycleLR(o, 1.0, total_steps=20, pct_start=0.25, cycle_momentum=False), 19
            ),
            "warmupCosine": rates(warm_cosine, 10),
        },
        "batchNorm": batch_norm(),
        "crossEntropy": cross_entropy(),
        "clipping": clipping(),
        "whitening": whitening(),
    },
    sys.stdout,
    separators=(",", ":"),
)
print()
