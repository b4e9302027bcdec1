"""Writes tests/fixtures/ops: golden values of ops, optimizers, clipping and schedules.

Inputs are float32; outputs and gradients are computed in float64 by torch and transformers and rounded to float32 once.
Sizes are odd on purpose. Names: in.* inputs (in.dy: gradient of the output), attr.* numbers ([1], f32 or i32), out.*
outputs, grad.X the gradient of in.X. tests/fixtures/README.md lists each file's tensors.

usage: make_ops.py [PATTERN…]   all anew, or only the files whose names (without suffix) match a shell pattern
"""
import math
import shutil
import sys
from fnmatch import fnmatch

from common import OPS, check_versions, write_json, write_tensors

check_versions()

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from transformers import get_scheduler  # noqa: E402
from transformers.activations import ACT2FN  # noqa: E402
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm  # noqa: E402
from transformers.models.llama.modeling_llama import LlamaRMSNorm, rotate_half  # noqa: E402

torch.set_num_threads(1)
PATTERNS = sys.argv[1:]


def wanted(name):
    return not PATTERNS or any(fnmatch(name, pattern) for pattern in PATTERNS)


def write_case(name, tensors):
    if wanted(name):
        write_tensors(OPS / f"{name}.safetensors", tensors)


def philox(key, counter):
    """Philox4x32-10 (Salmon et al. 2011)."""
    (k0, k1), (c0, c1, c2, c3) = key, counter
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & 0xFFFFFFFF, (a >> 32) ^ c3 ^ k1, a & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


# known answers of the paper's library (Random123, kat_vectors)
assert philox((0, 0), (0, 0, 0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
assert philox((0xA4093822, 0x299F31D0), (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)) == (
    0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)


class Case:
    """Draws inputs, runs f in float64, stores everything under the names of the head comment."""

    def __init__(self, name):
        self.name = name
        self.generator = torch.Generator().manual_seed(sum(name.encode()))
        self.tensors, self.inputs = {}, {}

    def normal(self, key, *shape, scale=1.0, shift=0.0, needs_grad=True):
        x = (shift + scale * torch.randn(*shape, generator=self.generator)).float()
        self.tensors[f"in.{key}"] = x
        self.inputs[key] = x.double().requires_grad_(needs_grad)
        return self.inputs[key]

    def ints(self, key, values):
        self.tensors[f"in.{key}"] = torch.as_tensor(values, dtype=torch.int32)
        return self.tensors[f"in.{key}"].long()

    def attrs(self, **values):
        for k, v in values.items():
            kind = torch.int32 if isinstance(v, (bool, int)) else torch.float32
            self.tensors[f"attr.{k}"] = torch.tensor([v], dtype=kind)

    def dropout(self, p, update, op, samples):
        """What decides a mask; the seed is the run's."""
        self.attrs(p=p, update=update, op=op, seed=42)
        self.ints("sample", samples)

    def mask(self, sequence, rows, columns, head=0):
        """0 or 1/(1-p) for the elements of one sequence, by the counters of kernels/philox.h."""
        p, update, op, seed = (self.tensors[f"attr.{k}"].item() for k in ("p", "update", "op", "seed"))
        sample = int(self.tensors["in.sample"][sequence])
        words = [[philox((seed, 1 | update << 8), (j // 4, i, op | head << 16, sample))[j % 4] for j in range(columns)]
                 for i in range(rows)]
        return (torch.tensor(words, dtype=torch.int64) >= int(p * 2**32)).double() / (1 - p)

    def finish(self, y, more=None):
        """y: the output. A scalar is a loss (float64, no dy); else dy is drawn."""
        if y.dim() == 0:
            y.backward()
            self.tensors["out.loss"] = y.detach().reshape(1)
        else:
            dy = torch.randn(y.shape, generator=self.generator).float()
            y.backward(dy.double())
            self.tensors["in.dy"], self.tensors["out.y"] = dy, y.detach().float()
        for k, v in (more or {}).items():
            self.tensors[f"out.{k}"] = v.detach().float()
        for k, x in self.inputs.items():
            if x.requires_grad:
                self.tensors[f"grad.{k}"] = x.grad.float()
        write_case(self.name, self.tensors)


def linears():
    for activation in ("none", "gelu_new", "gelu", "relu", "silu", "tanh"):
        for layout in ("in_out", "out_in"):
            c = Case(f"linear_{layout}_{activation}")
            x, b = c.normal("x", 11, 19), c.normal("bias", 13)
            w = c.normal("weight", *((19, 13) if layout == "in_out" else (13, 19)), scale=0.3)
            u = x @ (w if layout == "in_out" else w.T) + b
            c.finish(u if activation == "none" else ACT2FN[activation](u))
    c = Case("linear_out_in_nobias")
    x, w = c.normal("x", 1, 33), c.normal("weight", 7, 33, scale=0.3)
    c.finish(x @ w.T)


def norms():
    for name, rows, hidden, eps in (("layer_norm", 7, 45, 1e-5), ("layer_norm_eps", 3, 17, 1e-2), ("layer_norm_wide", 1, 1031, 1e-5)):
        c = Case(name)
        x, w, b = c.normal("x", rows, hidden, scale=2, shift=0.7), c.normal("weight", hidden, shift=1), c.normal("bias", hidden)
        c.attrs(eps=eps)
        eps = float(torch.tensor(eps, dtype=torch.float32))
        mean, var = x.mean(-1), x.var(-1, unbiased=False)
        c.finish(F.layer_norm(x, (hidden,), w, b, eps), {"mean": mean, "rstd": (var + eps).rsqrt()})
    c = Case("layer_norm_nobias")
    x, w = c.normal("x", 4, 31, scale=2, shift=0.7), c.normal("weight", 31, shift=1)
    c.attrs(eps=1e-5)
    c.finish(F.layer_norm(x, (31,), w, None, float(torch.tensor(1e-5))))
    for name, kind, rows, hidden in (("rms_norm", LlamaRMSNorm, 7, 45), ("rms_norm_plus_one", GemmaRMSNorm, 7, 45),
                                     ("rms_norm_wide", LlamaRMSNorm, 1, 1031)):
        c = Case(name)
        x, w = c.normal("x", rows, hidden, scale=2, shift=0.7), c.normal("weight", hidden)
        c.attrs(eps=1e-6, plus_one=kind is GemmaRMSNorm)
        # the modules cast to float32 inside: the formula in float64, checked against the module
        y = x * (x.pow(2).mean(-1, keepdim=True) + float(torch.tensor(1e-6))).rsqrt() * (w + (kind is GemmaRMSNorm))
        module = kind(hidden, 1e-6)
        module.weight.data = w.detach().float()
        assert torch.allclose(module(x.detach().float()).double(), y.detach(), atol=1e-5)
        c.finish(y)
    c = Case("rms_norm_heads")  # three heads in each row, one weight for all
    x, w = c.normal("x", 5, 45, scale=2, shift=0.7), c.normal("weight", 15)
    c.attrs(eps=1e-6, plus_one=False)
    h = x.reshape(5, 3, 15)
    c.finish((h * (h.pow(2).mean(-1, keepdim=True) + float(torch.tensor(1e-6))).rsqrt() * w).reshape(5, 45))


def cross_entropies():
    """loss = scale * sum over rows with label != -100 of ((1-e)*nll + e*mean(-logp) + z*logsumexp^2), logits capped first."""
    for name, smoothing, softcap, z in (("plain", 0.0, 0.0, 0.0), ("smoothed", 0.1, 0.0, 0.0), ("softcap", 0.0, 3.0, 0.0),
                                        ("z_loss", 0.0, 0.0, 1e-2), ("all", 0.1, 3.0, 1e-2)):
        for with_linear in (False, True):
            c = Case(("linear_" if with_linear else "") + f"cross_entropy_{name}")
            rows, vocab, hidden = (9, 37, 0) if not with_linear else (19, 41, 13)
            labels = torch.randint(vocab, (rows,), generator=c.generator)
            labels[[2, rows - 1]] = -100
            labels = c.ints("labels", labels)
            scale = 1 / 23
            c.attrs(scale=scale, smoothing=smoothing, softcap=softcap, z_loss=z)
            scale, smoothing_, softcap_, z_ = (float(c.tensors[f"attr.{k}"]) for k in ("scale", "smoothing", "softcap", "z_loss"))
            if with_linear:
                x, w = c.normal("x", rows, hidden), c.normal("weight", vocab, hidden, scale=0.7)
                logits = x @ w.T
            else:
                logits = c.normal("logits", rows, vocab, scale=2)
            if softcap:
                logits = softcap_ * torch.tanh(logits / softcap_)
            logp, valid = torch.log_softmax(logits, -1), labels != -100
            nll = -logp.gather(1, labels.clamp(min=0)[:, None])[:, 0]
            each = (1 - smoothing_) * nll - smoothing_ * logp.mean(-1) + z_ * torch.logsumexp(logits, -1) ** 2
            c.finish(scale * each[valid].sum())


def attentions():
    cases = {  # heads, kv heads, head size, causal, window, softcap, lengths
        "causal_h8": (3, 3, 8, True, 0, 0.0, [5, 1, 12]),
        "causal_h24": (2, 2, 24, True, 0, 0.0, [1, 9, 6]),
        "causal_h64": (1, 1, 64, True, 0, 0.0, [17, 2]),
        "causal_long": (1, 1, 8, True, 0, 0.0, [130, 1]),
        "bidirectional_h8": (3, 3, 8, False, 0, 0.0, [5, 1, 12]),
        "bidirectional_h24": (2, 2, 24, False, 0, 0.0, [7, 10]),
        "grouped_h8": (6, 2, 8, True, 0, 0.0, [11, 1, 7]),
        "grouped_h64": (2, 1, 64, True, 0, 0.0, [5, 4]),
        "window_h8": (2, 2, 8, True, 4, 0.0, [15, 3]),
        "softcap_h8": (2, 2, 8, True, 0, 2.0, [8, 9]),
        "grouped_window_softcap_h24": (4, 2, 24, True, 3, 2.0, [7, 1, 4]),
        "empty_sequences_h8": (2, 2, 8, True, 0, 0.0, [0, 3, 0, 0, 5, 0]),
        "dropout_h8": (2, 2, 8, True, 0, 0.0, [5, 1, 12]),
        "grouped_window_dropout_h24": (4, 2, 24, True, 3, 0.0, [7, 2, 4]),
    }
    for name, (heads, kv, d, causal, window, softcap, lengths) in cases.items():
        c = Case(f"attention_{name}")
        tokens = sum(lengths)
        cu = c.ints("cu_seqlens", [sum(lengths[:i]) for i in range(len(lengths) + 1)])
        q, k, v = c.normal("q", tokens, heads, d), c.normal("k", tokens, kv, d), c.normal("v", tokens, kv, d)
        c.attrs(scale=1 / math.sqrt(d), causal=causal, window=window, softcap=softcap)
        scale = float(c.tensors["attr.scale"])
        if "dropout" in name:
            c.dropout(p=0.3, update=9, op=4, samples=[6, 0, 11])
        out, lses = [], []
        for number, (a, b) in enumerate(zip(cu[:-1], cu[1:])):
            if a == b:
                continue
            qs, ks, vs = (t[a:b].transpose(0, 1) for t in (q, k, v))
            ks, vs = (t.repeat_interleave(heads // kv, 0) for t in (ks, vs))  # head h uses kv head h / (heads / kv)
            s = qs @ ks.transpose(1, 2) * scale
            if softcap:
                s = softcap * torch.tanh(s / softcap)
            i, j = torch.arange(b - a)[:, None], torch.arange(b - a)[None]
            seen = torch.ones(b - a, b - a, dtype=torch.bool)
            if causal:
                seen &= j <= i
            if window:
                seen &= j > i - window  # the token itself and window-1 before it, as transformers' sliding window
            s = s.masked_fill(~seen, -torch.inf)
            p = s.softmax(-1)
            if "dropout" in name:
                p = p * torch.stack([c.mask(number, b - a, b - a, head) for head in range(heads)])
            out.append((p @ vs).transpose(0, 1))
            lses.append(torch.logsumexp(s, -1).T)
            if not softcap and "dropout" not in name:
                y = F.scaled_dot_product_attention(qs[None], ks[None], vs[None], attn_mask=seen, scale=scale)[0]
                assert torch.allclose(y.transpose(0, 1), out[-1], atol=1e-12)
        c.finish(torch.cat(out), {"lse": torch.cat(lses)})


def ropes():
    """y = x*cos + rotate_half(x)*sin over the first rotary_dim of each head, angle = position * theta^(-2i/rotary_dim)."""
    for name, heads, d, rotary, theta in (("rope", 3, 8, 8, 1e4), ("rope_h24_theta", 2, 24, 24, 5e5), ("rope_partial", 2, 64, 16, 1e4)):
        c = Case(name)
        positions = c.ints("position_ids", [0, 1, 2, 3, 4, 0, 0, 1, 2, 1000, 2047])
        x = c.normal("x", len(positions), heads, d)
        c.attrs(theta=theta, rotary_dim=rotary)
        inverse = theta ** (-torch.arange(0, rotary, 2).double() / rotary)
        angle = positions.double()[:, None] * inverse
        angle = torch.cat([angle, angle], -1)[:, None]
        r = x[..., :rotary]
        c.finish(torch.cat([r * angle.cos() + rotate_half(r) * angle.sin(), x[..., rotary:]], -1))


def elementwise():
    for activation in ("silu", "gelu_new", "gelu", "relu"):
        c = Case(f"gated_{activation}")
        a, b = c.normal("a", 7, 29, scale=2), c.normal("b", 7, 29)
        c.finish(ACT2FN[activation](a) * b)
    for activation in ("gelu_new", "gelu", "relu", "silu", "tanh"):
        c = Case(f"activation_{activation}")
        x = c.normal("x", 5, 41, scale=3)
        c.finish(ACT2FN[activation](x))
    c = Case("lora")
    c.attrs(scale=1.7)
    onto, x = c.normal("onto", 7, 29), c.normal("x", 7, 19)
    c.finish(onto + float(torch.tensor(1.7)) * x @ c.normal("a", 5, 19).T @ c.normal("b", 29, 5).T)
    c = Case("scale")
    c.attrs(factor=5.65685)
    c.finish(c.normal("x", 5, 21) * float(torch.tensor(5.65685)))
    c = Case("embedding")
    ids = c.ints("ids", [4, 0, 16, 4, 4, 9, 0, 16, 1, 12, 4])
    c.finish(c.normal("weight", 17, 13)[ids])
    c = Case("embedding_padding")  # the row that pads has no gradient
    ids = c.ints("ids", [4, 0, 16, 4, 4, 9, 0, 16, 1, 12, 4])
    c.attrs(padding=4)
    c.finish(F.embedding(ids, c.normal("weight", 17, 13), padding_idx=4))
    c = Case("embedding_positions")  # wte[ids] + wpe[position_ids]
    ids, positions = c.ints("ids", [4, 0, 16, 4, 4, 9, 0]), c.ints("position_ids", [0, 1, 2, 0, 0, 1, 2])
    c.finish(c.normal("weight", 17, 13)[ids] + c.normal("position_weight", 5, 13)[positions])
    c = Case("add_layer_norm")  # residual sum and its norm, both used: h = x + residual, y = norm(h)
    x, r = c.normal("x", 5, 21), c.normal("residual", 5, 21)
    w, b = c.normal("weight", 21, shift=1), c.normal("bias", 21)
    dh = torch.randn(5, 21, generator=c.generator).float()
    c.attrs(eps=1e-5)
    h = x + r
    h.retain_grad()
    (h * dh.double()).sum().backward(retain_graph=True)
    c.tensors["in.dh"] = dh
    c.finish(F.layer_norm(h, (21,), w, b, float(torch.tensor(1e-5))), {"h": h})


def dropouts():
    """y = residual + mask * x; the mask is drawn by hone's counters, made here a second time."""
    lengths = [3, 1, 0, 4]
    for name, with_residual in (("dropout_add", True), ("dropout_alone", False)):
        c = Case(name)
        c.ints("cu_seqlens", [sum(lengths[:i]) for i in range(len(lengths) + 1)])
        c.dropout(p=0.25, update=3, op=7, samples=[5, 0, 2, 9])
        x = c.normal("x", sum(lengths), 37)
        y = x * torch.cat([c.mask(i, n, 37) for i, n in enumerate(lengths)])
        c.finish(y + c.normal("residual", sum(lengths), 37) if with_residual else y)


def optimizers():
    """in.p0 [n]; in.g [steps, n]; out.p [steps, n] after each step; states after the last."""
    steps, n = 5, 37

    def trace(name, make, attrs, lrs, states):
        c = Case(name)
        p0, g = c.normal("p0", n, needs_grad=False), c.normal("g", steps, n, needs_grad=False)
        g.data[:, 3] = 0  # a parameter that never gets a gradient
        c.tensors["in.g"][:, 3] = 0
        c.attrs(**attrs)
        c.tensors["in.lr"] = torch.tensor(lrs, dtype=torch.float64)
        p = torch.nn.Parameter(p0.clone())
        optimizer, out = make(p), []
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = lrs[step]
            p.grad = g[step].clone()
            optimizer.step()
            out.append(p.detach().clone())
        c.tensors["out.p"] = torch.stack(out).float()
        for state in states:
            c.tensors[f"out.{state}"] = optimizer.state[p][state].float()
        write_case(name, c.tensors)

    lrs = [0.0, 1e-2, 2e-2, 1.5e-2, 1e-3]
    for name, wd, betas, eps in (("adamw", 0.0, (0.9, 0.999), 1e-8), ("adamw_decay", 0.1, (0.8, 0.95), 1e-3)):
        trace(name, lambda p: torch.optim.AdamW([p], betas=betas, eps=eps, weight_decay=wd),
              dict(beta1=betas[0], beta2=betas[1], eps=eps, weight_decay=wd), lrs, ("exp_avg", "exp_avg_sq"))
    for name, momentum, wd, nesterov in (("sgd", 0.0, 0.0, False), ("sgd_momentum_decay", 0.9, 0.1, False),
                                         ("sgd_nesterov", 0.9, 0.0, True)):
        trace(name, lambda p: torch.optim.SGD([p], lr=1.0, momentum=momentum, weight_decay=wd, nesterov=nesterov),
              dict(momentum=momentum, weight_decay=wd, nesterov=nesterov), lrs,
              ("momentum_buffer",) if momentum else ())


def clipping():
    """in.g0..g2; out.norm (f64) before clipping; out.g0..g2 afterwards; coef = min(1, max_norm / (norm + 1e-6))."""
    for name, scale, limit in (("clip_active", 3.0, 1.0), ("clip_inactive", 0.01, 1.0), ("clip_zero", 0.0, 1.0)):
        c = Case(name)
        gs = [c.normal(f"g{i}", *shape, scale=scale, needs_grad=False) for i, shape in enumerate([(7, 5), (13,), (1, 3)])]
        c.attrs(max_norm=limit)
        parameters = [torch.nn.Parameter(torch.zeros_like(g)) for g in gs]
        for p, g in zip(parameters, gs):
            p.grad = g.clone()
        c.tensors["out.norm"] = torch.nn.utils.clip_grad_norm_(parameters, limit).reshape(1)
        for i, p in enumerate(parameters):
            c.tensors[f"out.g{i}"] = p.grad.float()
        write_case(name, c.tensors)


def schedules():
    """A list of {name, kwargs, lr, warmup_steps, max_steps, values: rate used by step s, s = 0..max_steps+2}."""
    out = []
    grid = [
        ("linear", {}), ("cosine", {}), ("cosine", {"num_cycles": 1.25}), ("cosine_with_restarts", {}),
        ("cosine_with_restarts", {"num_cycles": 3}), ("polynomial", {}), ("polynomial", {"power": 2.0, "lr_end": 1e-5}),
        ("constant", {}), ("constant_with_warmup", {}), ("inverse_sqrt", {}), ("inverse_sqrt", {"timescale": 7}),
        ("cosine_with_min_lr", {"min_lr": 1e-4}), ("cosine_with_min_lr", {"min_lr_rate": 0.25, "num_cycles": 1.0}),
        ("cosine_warmup_with_min_lr", {"min_lr": 1e-4}),
        ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.1, "warmup_lr_rate": 0.3}),
        ("warmup_stable_decay", {"num_decay_steps": 5}),
        ("warmup_stable_decay", {"num_decay_steps": 5, "num_stable_steps": 4, "min_lr_ratio": 0.1, "decay_type": "linear"}),
        ("warmup_stable_decay", {"num_decay_steps": 4, "warmup_type": "cosine", "decay_type": "1-sqrt"}),
        ("warmup_stable_decay", {"num_decay_steps": 4, "warmup_type": "1-sqrt", "num_cycles": 1.5, "min_lr_ratio": 0.2}),
    ]
    for name, kwargs in grid:
        for warmup, total in ((0, 17), (4, 17), (1, 1)):
            optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
            try:
                s = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=total,
                                  scheduler_specific_kwargs=dict(kwargs))
                values = []
                for _ in range(total + 3):
                    values.append(s.get_last_lr()[0])
                    optimizer.step()
                    s.step()
            except (ValueError, ZeroDivisionError) as error:
                print(f"left out: {name} {kwargs} warm-up {warmup} of {total}: {error}")
                continue
            out.append({"name": name, "kwargs": kwargs, "lr": 1e-3, "warmup_steps": warmup, "max_steps": total,
                        "values": values})
    losses = [5, 4, 4.0001, 3.9999, 3.9, 4, 4, 4, 3.89, 4, 4, 4, 4, 4, 3, 2, 2.5]
    for kwargs in ({"patience": 2}, {"patience": 1, "factor": 0.5, "cooldown": 2, "threshold": 0.05},
                   {"patience": 0, "threshold_mode": "abs", "threshold": 0.2, "min_lr": 2e-4, "factor": 0.5},
                   {"mode": "max", "patience": 2}):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)
        s = get_scheduler("reduce_lr_on_plateau", optimizer, scheduler_specific_kwargs=dict(kwargs))
        values = []
        for loss in losses:
            s.step(loss)
            values.append(optimizer.param_groups[0]["lr"])
        out.append({"name": "reduce_lr_on_plateau", "kwargs": kwargs, "lr": 1e-3, "metrics": losses, "values": values})
    if wanted("schedules"):
        write_json(OPS / "schedules.json", out)


def main():
    if not PATTERNS:
        shutil.rmtree(OPS, ignore_errors=True)
    for make in (linears, norms, cross_entropies, attentions, ropes, elementwise, dropouts, optimizers, clipping, schedules):
        make()


if __name__ == "__main__":
    main()
