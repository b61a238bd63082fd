# SPDX-License-Identifier: GPL-3.0-or-later
"""What a soak's samples say: a slope of memory with its confidence, what must be constant, and a picture (SVG).
As a program: judges REPORT, a report.json of soak.py, anew and draws its SVG."""
import json
import math
import os
import sys

BLOCKS = 20
WARM_UP = 0.5  # of the run, and no more than 15 minutes: until rings, stores and caches have been full once
# Two-sided 95 % quantiles of Student's t for n degrees of freedom.
T95 = {1: 12.71, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228, 12: 2.179, 14: 2.145,
       16: 2.120, 18: 2.101, 20: 2.086, 30: 2.042}


def warm_up_s(seconds):
    return min(WARM_UP * seconds, 900)


def regression(points):
    """points: (hours, MiB). Slope and the half width of its 95 % interval. Neighbouring samples hang together, so that it
    is made of the means of blocks of equal time, which do so much less."""
    if len(points) < 6:
        return 0.0, math.inf
    points = sorted(points)
    first, last = points[0][0], points[-1][0]
    blocks = [[] for _ in range(min(BLOCKS, len(points)))]
    for x, y in points:
        blocks[min(len(blocks) - 1, int((x - first) / (last - first) * len(blocks)))].append((x, y))
    means = [(sum(x for x, _ in b) / len(b), sum(y for _, y in b) / len(b)) for b in blocks if b]
    n = len(means)
    mx, my = sum(x for x, _ in means) / n, sum(y for _, y in means) / n
    sxx = sum((x - mx) ** 2 for x, _ in means)
    slope = sum((x - mx) * (y - my) for x, y in means) / sxx
    rest = sum((y - my - slope * (x - mx)) ** 2 for x, y in means)
    t = T95[max(k for k in T95 if k <= max(1, n - 2))]
    return slope, t * math.sqrt(rest / max(1, n - 2) / sxx)


def series(report, key, rest=False):
    return [(s["t"] / 3600, s["daemon"][key] / 1024) for s in report["rests" if rest else "samples"] if s["daemon"]]


def bound_mib_h(seconds):
    """No more than 20 MiB over what follows the warm-up: so much do caches and the allocator move between the means. That is
    480 MiB an hour in 5 minutes, 11 in two hours, 0.8 in a day."""
    return 20 * 3600 / (seconds - warm_up_s(seconds))


def unequal(ledger):
    """Sums of the radio that never died, which must be those of the simulator to the sample. A sample that is not finite is
    lost as corrupt where it was not dropped before, with its block, for want of room; what overflowed while nothing came for a
    second is a stall."""
    s, sim = ledger["daemon"], ledger["simulator"]
    lost, not_finite = s["lost"], s["lost"]["corrupt"] - sim["corrupt"]
    pairs = [("handed over", s["delivered"] + not_finite + lost["ring_full"], sim["handed"]), ("overflow and stall", lost["overflow"] + lost["stall"], sim["overflow"] + sim["silent"]),
             ("gap", lost["gap"], sim["gap"]),
             ("processed", s["processed"], s["delivered"]),
             ("not finite", max(0, not_finite - sim["not_finite"]) if lost["ring_full"] else not_finite, 0 if lost["ring_full"] else sim["not_finite"])]
    return [f"ledger of the steady radio: {what}: {ours} in the daemon, {theirs} in the simulator" for what, ours, theirs in pairs if ours != theirs]


def judge(report, bound=None):
    warm = warm_up_s(report["seconds"])
    bound = bound or bound_mib_h(report["seconds"])
    failures, slopes = [], {}
    for key in ("rss", "pss"):
        for rest in (False, True):
            points = [p for p in series(report, key, rest) if p[0] * 3600 >= warm]
            slope, half = regression(points)
            slopes[key + ("_at_rest" if rest else "")] = {"mib_h": round(slope, 4), "plus_minus_95": round(half, 4) if half < math.inf else None,
                                                          "points": len(points)}
    upper = slopes["rss"]["mib_h"] + (slopes["rss"]["plus_minus_95"] or math.inf)
    if upper > bound:
        failures.append(f"memory: the slope of RSS may be {upper:.2f} MiB an hour, the bound is {bound:.2f}")
    if "ledger" in report:
        failures += unequal(report["ledger"]["steady"])
    rests = [r for r in report["rests"] if r["t"] >= warm / 2]
    constant = {}
    for what, get in (("descriptors", lambda r: r["daemon"]["fds"]), ("threads", lambda r: r["daemon"]["threads"]),
                      ("helpers", lambda r: r["children"]),
                      ("a helper's descriptors", lambda r: sorted(sum(h["fds"].values()) for h in r["helpers"].values() if h)),
                      ("a helper's threads", lambda r: sorted(h["threads"] for h in r["helpers"].values() if h))):
        values = []
        for r in rests:
            if get(r) not in values:
                values.append(get(r))
        constant[what] = values
        if len(values) != 1:
            failures.append(f"{what} at rest are not constant: {values}")
    return {"warm_up_s": warm, "bound_mib_h": round(bound, 3), "slopes": slopes, "constant": constant, "rests": len(rests), "failures": failures}


def words(report):
    v = report["verdict"]
    struck = sum(f["struck"] for f in report["faults"])
    s = v["slopes"]
    line = lambda k: f"{s[k]['mib_h']:+.3f} +- {s[k]['plus_minus_95'] or math.inf:.3f} MiB/h ({s[k]['points']} points)"
    return (f"soak: {report['seconds']:.0f} s, seed {report['seed']}, 3 radios at {report['rate']}S/s, {struck} faults, "
            f"{sum(report['http'].values())} requests, {report['events']} events, slowest answer {report['slowest_answer_s']} s\n"
            f"soak: RSS {line('rss')}, at rest {line('rss_at_rest')}; PSS {line('pss')}; bound {v['bound_mib_h']}\n"
            f"soak: at {v['rests']} rests: {json.dumps(v['constant'])}\n"
            f"soak: {'; '.join(v['failures']) or 'nothing is wrong'}\n"
            f"{len(v['constant']) + 2} checks, {len(v['failures'])} failed; {len(report['wrong'])} complaints")


# ---- the picture ----

WIDTH, LEFT, RIGHT, HIGH, GAP = 960, 70, 20, 120, 34
INK, GREY, BLUE, RED, GREEN = "#222", "#bbb", "#1f5fa8", "#b8322a", "#2d7d46"


def nice(lo, hi):
    """Some round steps from lo to hi."""
    raw = (hi - lo) / 4 or 1
    unit = 10 ** math.floor(math.log10(raw))
    step = next(k * unit for k in (1, 2, 5, 10) if k * unit >= raw)
    first = math.ceil(lo / step) * step
    return [first + i * step for i in range(9) if first + i * step <= hi + 1e-9]


def panel(top, title, hours, lines, from_zero=False):
    """lines: (colour, points, joined?) with points (hours, value)."""
    values = [y for _, pts, _ in lines for _, y in pts]
    lo, hi = (0 if from_zero else min(values, default=0)), max(values, default=1)
    pad = 0.08 * ((hi - lo) or max(1, abs(hi) * 0.02))
    lo, hi = lo - (0 if from_zero else pad), hi + pad
    x = lambda h: LEFT + (WIDTH - LEFT - RIGHT) * h / hours
    y = lambda v: top + HIGH - HIGH * (v - lo) / (hi - lo)
    out = [f'<text x="{LEFT}" y="{top - 6}" fill="{INK}">{title}</text>',
           f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - RIGHT}" height="{HIGH}" fill="none" stroke="{GREY}"/>']
    for v in nice(lo, hi):
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}" stroke="#eee"/>'
                   f'<text x="{LEFT - 6}" y="{y(v) + 4:.1f}" text-anchor="end" fill="{INK}">{v:g}</text>')
    for colour, pts, joined in lines:
        if joined:
            out.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.2" points="' +
                       " ".join(f"{x(h):.1f},{y(v):.1f}" for h, v in pts) + '"/>')
        else:
            out += [f'<circle cx="{x(h):.1f}" cy="{y(v):.1f}" r="2.2" fill="{colour}"/>' for h, v in pts]
    return out


def picture(report):
    v, s = report["verdict"], report["samples"]
    hours = max([report["seconds"], *(x["t"] for x in report["rests"] + s)]) / 3600
    warm, r = v["warm_up_s"] / 3600, v["slopes"]["rss"]
    rest = lambda get: [(x["t"] / 3600, get(x)) for x in report["rests"]]
    rss = series(report, "rss")
    after = [p for p in rss if p[0] >= warm]
    mx, my = (sum(p[0] for p in after) / len(after), sum(p[1] for p in after) / len(after)) if after else (0, 0)
    fit = [(h, my + r["mib_h"] * (h - mx)) for h in (warm, hours)]
    helpers = [(x["t"] / 3600, sum(h["pss"] for h in x["helpers"].values() if h) / 1024) for x in s]
    lost = [(x["t"] / 3600, sum(sum(n["lost"].values()) for n in x["samples"].values()) / 1e6) for x in s]
    slope = f"{r['mib_h']:+.3f} &#177; {r['plus_minus_95'] or math.inf:.3f} MiB/h after {v['warm_up_s'] / 60:.0f} min, bound {v['bound_mib_h']}"
    panels = [(f"attuned, MiB: RSS (blue; dots at rest), PSS (grey); slope {slope}", [(GREY, series(report, "pss"), True), (BLUE, rss, True),
               (BLUE, series(report, "rss", True), False), (RED, fit, True)], False),
              ("helpers together, MiB of PSS", [(BLUE, helpers, True)], True),
              ("descriptors of attuned: line as sampled, dots at rest", [(GREY, [(x["t"] / 3600, sum(x["daemon"]["fds"].values())) for x in s], True),
               (BLUE, rest(lambda x: sum(x["daemon"]["fds"].values())), False)], True),
              ("threads of attuned (green) and helper processes (blue), at rest", [(GREEN, rest(lambda x: x["daemon"]["threads"]), False),
               (BLUE, rest(lambda x: x["children"]), False)], True),
              ("samples lost as counted, millions (a radio that a reload makes anew begins at 0)", [(RED, lost, True)], True)]
    out, top = [], 50
    for title, lines, zero in panels:
        out += panel(top, title, hours, lines, zero)
        top += HIGH + GAP
    x = lambda h: LEFT + (WIDTH - LEFT - RIGHT) * h / hours
    for f in report["faults"]:
        out.append(f'<line x1="{x(f["t"] / 3600):.1f}" x2="{x(f["t"] / 3600):.1f}" y1="{top - GAP + 4}" y2="{top - GAP + 12}" stroke="{RED}" stroke-width=".6"/>')
    for minute in nice(0, 60 * hours):
        out.append(f'<text x="{x(minute / 60):.1f}" y="{top - GAP + 28}" text-anchor="middle" fill="{INK}">{minute:g} min</text>')
    head = (f'<text x="{LEFT}" y="20" font-size="15" fill="{INK}">attuned, {report["seconds"] / 60:.0f} minutes, 3 radios at {report["rate"]}S/s: '
            f'{sum(f["struck"] for f in report["faults"])} faults (red marks), {sum(report["http"].values())} requests, '
            f'{report["events"]} events</text>')
    high = top + 10
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{high}" viewBox="0 0 {WIDTH} {high}" font-family="sans-serif" '
            f'font-size="11"><rect width="100%" height="100%" fill="#fff"/>{head}' + "\n".join(out) + "</svg>\n")


if __name__ == "__main__":
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
    from usage import arguments
    report, drawing = arguments("REPORT", "SVG")
    with open(report, encoding="utf-8") as source:
        data = json.load(source)
    data["verdict"] = judge(data)
    with open(drawing, "w", encoding="utf-8") as target:
        target.write(picture(data))
    print(words(data))
