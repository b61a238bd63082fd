#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""attune beside PyTorch (and ONNX Runtime, where Python has it) on this host: the rows of docs/performance.md.
Usage: host_compare.py ATTUNE [--seconds 150] [--out FILE.json] [--no-compile] [--short]

ATTUNE needs none of our libraries where it was linked with them inside:
    meson setup build-host -Dsoapy=disabled -Dpicture=disabled -Dhttp=disabled -Dsystemd=disabled -Dclient=disabled -Dtests=false \\
        --prefer-static -Dc_link_args=-static && ninja -C build-host tools/attune
Both sides run the reference point with random weights, batch 1, RMSNorm, causal. Each row takes PyTorch's fastest
variant, and ours measured before and after it, of which the faster counts; the ratio is of the medians. Prints a table, writes one JSON object."""
import argparse, json, os, statistics, subprocess, sys, time

D, HEADS, FF, LAYERS, BINS, CLASSES = 128, 4, 256, 4, 128, 16
began = time.monotonic()


def say(*words):
    print(f"[{time.monotonic() - began:5.1f} s]", *words, file=sys.stderr, flush=True)


# ---- ours ----

def bench(attune, what, backends, modes, window, threads=1, seconds=0.4, extra=()):
    """Lines of attune bench by (backend, mode), and its peaks by (mode, threads)."""
    command = [attune, "bench", "--json", "--what", what, "-b", backends, "-m", modes, "-W", str(window),
               "-t", str(threads), "-s", str(seconds), *extra]
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    out = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    if out.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {out.stderr.strip()}")
    lines, peaks = {}, {}
    for line in map(json.loads, out.stdout.splitlines()):
        if line["what"] == "peak":
            peaks[line["mode"], line["threads"]] = line
        else:
            lines[line["backend"], line["mode"]] = line
    return lines, peaks


# ---- PyTorch ----

def make_net(length, norm, backend="flash"):
    import torch, torch.nn as nn, torch.nn.functional as F

    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(D))

        def forward(self, x):
            return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight

    make_norm = Norm if norm == "written out" else lambda: nn.RMSNorm(D, eps=1e-5)

    def rotate(x, cos, sin):
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.n1, self.n2 = make_norm(), make_norm()
            self.q, self.k, self.v, self.o = (nn.Linear(D, D, bias=False) for _ in range(4))
            self.up, self.down = nn.Linear(D, FF, bias=False), nn.Linear(FF, D, bias=False)

        def forward(self, x, cos, sin):
            b, n, _ = x.shape
            y = self.n1(x)
            q, k, v = (f(y).view(b, n, HEADS, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.o(a.transpose(1, 2).reshape(b, n, D))
            return x + self.down(F.gelu(self.up(self.n2(x)), approximate="tanh"))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.norm, self.head = nn.Linear(BINS, D), make_norm(), nn.Linear(D, CLASSES)
            self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
            half = D // HEADS // 2
            angle = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(half) / half)
            self.register_buffer("cos", angle.cos())
            self.register_buffer("sin", angle.sin())

        def forward(self, x):
            x = self.embed(x)
            for block in self.blocks:
                x = block(x, self.cos, self.sin)
            return self.head(self.norm(x).mean(1))

    return Net().eval()


def time_torch(length, dtype, norm, threads, seconds, compiled=False):
    """p50 in ms of one forward."""
    import torch
    torch.set_num_threads(threads)
    kind = getattr(torch, dtype)
    net, x = make_net(length, norm).to(kind), torch.randn(1, length, BINS, dtype=kind)
    net = torch.compile(net) if compiled else net
    with torch.no_grad():
        times, runs = [], 1 if length > 4096 else 3
        for _ in range(runs):
            net(x)
        end = time.perf_counter() + seconds
        while len(times) < (2 if length > 4096 else 5) or (time.perf_counter() < end and len(times) < 400):
            at = time.perf_counter()
            net(x)
            times.append((time.perf_counter() - at) * 1e3)
    return statistics.median(times)


def fastest_torch(length, dtype, threads, seconds, norms, compiled, end):
    """(ms, variant) of the fastest that works here; what there was no time for is left out."""
    found = []
    for norm in norms:
        for c in (False, True) if compiled and norm == norms[0] else (False,):
            name = ("compiled, " if c else "") + norm
            if c and time.monotonic() > end:
                say("no time left for", name)
                continue
            try:
                found.append((time_torch(length, dtype, norm, threads, seconds, c), name))
            except Exception as e:  # an old PyTorch without RMSNorm, no compiler
                say(f"{dtype} {name}: {type(e).__name__}: {str(e)[:120]}")
    return min(found)


def time_gemm(dtype):
    import torch
    torch.set_num_threads(1)
    a, b = (torch.randn(2048, 2048).to(getattr(torch, dtype)) for _ in range(2))
    a @ b
    times = []
    for _ in range(4):
        at = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - at)
    return 2 * 2048**3 / min(times) / 1e9


# ---- the rows ----

class Report:
    def __init__(self, path):
        self.rows, self.path, self.facts = [], path, {}

    def add(self, work, ours_ms, want, ok, peer_ms=None, note=""):
        ratio = peer_ms / ours_ms if peer_ms else None
        self.rows.append(dict(work=work, ours_ms=ours_ms, peer_ms=peer_ms, ratio=ratio, want=want, ok=ok, note=note))
        self.save()

    def save(self):
        with open(self.path, "w") as f:
            json.dump(dict(self.facts, rows=self.rows, wall_s=round(time.monotonic() - began, 1)), f, indent=1)

    def show(self):
        print(f"{'work':58} {'ours ms':>9} {'peer ms':>9} {'ratio':>7}  {'wanted':32} note")
        for r in self.rows:
            num = lambda v: f"{v:.3g}" if v is not None else ""
            print(f"{r['work']:58} {num(r['ours_ms']):>9} {num(r['peer_ms']):>9} {num(r['ratio']):>7}  "
                  f"{('ok   ' if r['ok'] else 'MISS ') + r['want']:32} {r['note']}")


def facts_of():
    cpu = open("/proc/cpuinfo").read()
    name = next((x.split(":", 1)[1].strip() for x in cpu.splitlines() if x.startswith("model name")), "unknown")
    flags = next((x for x in cpu.splitlines() if x.startswith("flags")), "").split()
    wanted = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile")
    facts = dict(cpu=name, cores=os.cpu_count(), load=os.getloadavg()[0], flags=[f for f in wanted if f in flags])
    try:
        import torch
        facts["pytorch"] = torch.__version__
    except ImportError:
        facts["pytorch"] = None
    return facts


def against(a, report, work, window, threads, ours, want, torch_args, flop=0):
    """One row: ours (backends, modes), then PyTorch, then ours again."""
    backends, modes = ours
    seconds = 0.5 if window <= 4096 else 1.0
    first, peaks = bench(a.attune, "window", backends, modes, window, threads, seconds)
    peer, variant = fastest_torch(window, *torch_args)
    second, _ = bench(a.attune, "window", backends, modes, window, threads, seconds)
    ms, k = min((min(first[k]["p50_ms"], second[k]["p50_ms"]), k) for k in first)
    note = f"before {first[k]['p50_ms']:.3g}, after {second[k]['p50_ms']:.3g} ms; PyTorch: {variant}; kernel {first[k]['kernel']}"
    mode = modes.split(",")[0]
    if flop and (mode, threads) in peaks:
        peak = peaks[mode, threads]["gflops"]
        note += f"; {flop / ms * 1e3 / peak:.0%} of the peak, {peak:.0f} GFLOP/s"
    report.add(work, ms, f"{want}x", peer / ms >= want, peer, note)
    say(work, f"{ms:.3g} ms, PyTorch {peer:.3g} ms: {peer / ms:.2f}x, wanted {want}x;", note)
    return ms


def peers(a, report, end):
    both = ["RMSNorm", "written out"]
    compiled = not a.no_compile
    f32 = against(a, report, "window 1024, flash fp32, 1 thread", 1024, 1, ("flash", "fp32"), 1.7,
                  ("float32", 1, 1.0, both, compiled, end - 90), 2.18)
    b16 = against(a, report, "window 1024, flash bf16, 1 thread", 1024, 1, ("flash", "bf16"), 2.5,
                  ("bfloat16", 1, 1.0, both, compiled, end - 80), 2.18)
    report.add("window 1024, flash, fp32 over bf16, 1 thread", b16, "1.6x where VDPBF16PS is 2x FMA", f32 / b16 >= 1.6, f32)
    if a.short:
        return
    against(a, report, "window 16384, flash bf16, 2 threads", 16384, 2, ("flash", "bf16"), 1.5,
            ("bfloat16", 2, 1.0, both[:1], False, 0), 293)
    against(a, report, "window 16384, flash fp32, 2 threads", 16384, 2, ("flash", "fp32"), 1.5,
            ("float32", 2, 1.0, both[:1], False, 0), 293)
    against(a, report, "window 16384, latent better mode, 1 thread, to flash fp32", 16384, 1,
            ("latent", "fp32,bf16"), 15, ("float32", 1, 1.0, both[:1], False, 0))


def own(a, report):
    window, _ = bench(a.attune, "window", "flash", "fp32", 1024)
    stream, _ = bench(a.attune, "stream", "flash,latent", "fp32,bf16", 1024)
    far, _ = bench(a.attune, "stream", "flash,latent", "fp32,bf16", 16384)
    best = lambda lines, b: min(lines[b, m]["p50_ms"] for m in ("fp32", "bf16"))
    ms = stream["flash", "fp32"]["p50_ms"]
    share = ms / window["flash", "fp32"]["p50_ms"]
    report.add("stream 64 new, 1024, flash fp32, 1 thread", ms, "1/8 of the window", share <= 1 / 8, note=f"1/{1 / share:.1f}")
    report.add("stream 64 new, 16384, flash better mode, 1 thread", best(far, "flash"), "22 ms", best(far, "flash") < 22)
    growth = best(far, "latent") / best(stream, "latent")
    report.add("stream 64 new, 16384, latent better mode, 1 thread", best(far, "latent"), "1.5 ms and 1.6x its time at 1024",
               best(far, "latent") < 1.5 and growth <= 1.6, note=f"{growth:.2f}x")
    for backend, least in (("latent", 3800), ("flash", 1900)):
        lines, _ = bench(a.attune, "batch", backend, "fp32,bf16", 1024, 2, 0.5, ("--sessions", "32"))
        rate = max(line["decisions_per_s"] for line in lines.values())
        report.add(f"batch of 32 sessions, 1024, {backend} better mode, 2 threads", 2e3 / rate, f"{least} decisions/s", rate >= least,
                   note=f"{rate:.0f} decisions/s")
    kv, _ = bench(a.attune, "stream", "mha,gqa,latent,flash", "fp32,bf16", 16384, seconds=0.01)
    mha = kv["mha", "fp32"]["kv_bytes"]
    for b, m, part in (("gqa", "fp32", 2), ("latent", "fp32", 40), ("flash", "bf16", 2)):
        share = mha / kv[b, m]["kv_bytes"]
        report.add(f"KV memory at 16384, {b} {m}, of mha fp32", kv[b, m]["p50_ms"], f"1/{part}", share >= part,
                   note=f"1/{share:.2f}, {kv[b, m]['kv_bytes']} bytes")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("attune")
    p.add_argument("--seconds", type=float, default=150, help="after which nothing optional is begun")
    p.add_argument("--out", default="host_compare.json")
    p.add_argument("--no-compile", action="store_true", help="without torch.compile")
    p.add_argument("--short", action="store_true", help="without 16384 in PyTorch")
    a = p.parse_args()
    report = Report(a.out)
    report.facts = facts_of()
    say(json.dumps(report.facts))
    _, peaks = bench(a.attune, "window", "flash", "fp32,bf16", 1024, 2, 0.1)
    report.facts["peaks"] = [peaks[k] for k in sorted(peaks)]
    failed = 0
    if report.facts["pytorch"]:
        report.facts["gemm_gflops"] = {d: round(time_gemm(d), 1) for d in ("float32", "bfloat16")}
        say("GFLOP/s:", report.facts["gemm_gflops"], [(k, round(v["gflops"])) for k, v in peaks.items()])
    for part in ([lambda: peers(a, report, began + a.seconds)] if report.facts["pytorch"] else []) + [lambda: own(a, report)]:
        try:
            part()
        except Exception as e:  # what is measured so far stays
            say(f"{type(e).__name__}: {e}")
            failed = 1
    report.save()
    report.show()
    print(json.dumps(dict(report.facts, rows=report.rows, wall_s=round(time.monotonic() - began, 1))))
    return failed


if __name__ == "__main__":
    sys.exit(main())
