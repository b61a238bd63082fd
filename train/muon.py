# SPDX-License-Identifier: GPL-3.0-or-later
"""Muon: momentum whose steps are brought near an orthogonal matrix, so that all directions of a weight matrix learn alike
(Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; the step's scale as in Liu et al. 2025,
"Muon is scalable for LLM training", so that one learning rate suits all shapes)."""
import torch

# of the quintic iteration x <- a x + (b x x^T + c (x x^T)^2) x, which takes singular values from (0, 1] near 1 in five rounds
A, B, C = 3.4445, -4.7750, 2.0315
ROUNDS = 5


def orthogonal(g):
    """Nearly the orthogonal factor of each matrix of g (N, rows, columns): its singular values brought to 0.7 .. 1.2."""
    x = g / (g.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    tall = x.shape[1] > x.shape[2]
    x = x.transpose(1, 2) if tall else x
    for _ in range(ROUNDS):
        s = x @ x.transpose(1, 2)
        x = A * x + (B * s + C * s @ s) @ x
    return x.transpose(1, 2) if tall else x


class Muon:
    """Over matrices `params`, those of one shape together. The step of a matrix has the root mean square 0.2 lr, of the
    order of AdamW's."""

    def __init__(self, params, lr, weight_decay, momentum=.95):
        self.lr, self.weight_decay, self.momentum = lr, weight_decay, momentum
        shapes = {}
        for p in params:
            shapes.setdefault(tuple(p.shape), []).append(p)
        self.groups = list(shapes.values())
        self.moving = [torch.zeros_like(torch.stack([p.detach() for p in g])) for g in self.groups]

    @torch.no_grad()
    def step(self, share=1.0):
        """One step at `share` of the learning rate, from the parameters' gradients."""
        for group, m in zip(self.groups, self.moving):
            g = torch.stack([p.grad for p in group])
            m.lerp_(g, 1 - self.momentum)
            rows, columns = g.shape[1:]
            move = orthogonal(g.lerp(m, self.momentum)) * (.2 * max(rows, columns) ** .5)
            for p, d in zip(group, move.unbind()):
                p.mul_(1 - share * self.lr * self.weight_decay).sub_(d, alpha=share * self.lr)

    def state(self):
        return [m.clone() for m in self.moving]

    def load(self, state):
        for m, s in zip(self.moving, state):
            m.copy_(s)
