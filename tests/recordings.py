#!/usr/bin/python3
"""Classifies the labelled recordings that $ATTUNE_RECORDINGS names and prints the score and the misses.

recordings.py [--attune PATH] [--model FILE] [--json] [--only WORD] [--sheet FILE.jpg] [--min-top1 X] [--min-macro X]
INDEX.tsv there has a header and: path, accept ("a|b": any counts), format, rate_hz, center_hz (0: not stated), ...
Top-1 is the share of files whose summary class is accepted; macro is the mean of that share over the groups of files
with the same first accepted class. Exit 77 (skipped) where the variable is not set; 1 where a minimum is missed.
SPDX-License-Identifier: GPL-3.0-or-later
"""
import argparse
import collections
import csv
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--attune", default=os.path.join(TOP, "build", "tools", "attune"))
    p.add_argument("--model", help="weights; default: the command's own")
    p.add_argument("--backend", help="forced through ATTUNE_BACKEND")
    p.add_argument("--json", action="store_true", help="one object per file, then the score")
    p.add_argument("--only", help="files whose path or class holds this word")
    p.add_argument("--sheet", metavar="FILE.jpg", help="the waterfalls of the misses, each with what was found and expected (Pillow)")
    p.add_argument("--timeout", type=float, default=180, help="seconds per file")
    p.add_argument("--min-top1", type=float, default=0)
    p.add_argument("--min-macro", type=float, default=0)
    return p.parse_args()


def read_index(folder, only):
    with open(os.path.join(folder, "INDEX.tsv"), encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [r for r in rows if not only or only in r["path"] or only in r["accept"].split("|")]


def classify(args, folder, row, picture=None):
    """The summary object of one file, with "class" `error` where the command failed."""
    command = [args.attune, "classify", os.path.join(folder, row["path"]), "--json"]
    if row["format"] != "wav":  # its header knows better
        command += ["--format", row["format"], "--rate", row["rate_hz"]]
    if float(row["center_hz"] or 0) > 0:
        command += ["--freq", row["center_hz"]]
    if args.model:
        command += ["--model", args.model]
    if picture:
        command += ["--picture", picture]
    env = dict(os.environ, **({"ATTUNE_BACKEND": args.backend} if args.backend else {}))
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=args.timeout,
                              env=env, check=False)
    except subprocess.TimeoutExpired:
        return {"class": "error", "error": f"longer than {args.timeout:.0f} s"}
    lines = [json.loads(s) for s in done.stdout.splitlines() if s.startswith("{")]
    if done.returncode != 0 or not lines or "summary" not in lines[-1]:
        return {"class": "error", "error": f"exit {done.returncode}: {done.stderr.strip()[-200:]}"}
    return lines[-1]["summary"]


def score(results):
    """(top-1, macro, {class: [right, of]}) of [(row, summary, right)]."""
    groups = collections.defaultdict(lambda: [0, 0])
    for row, _, right in results:
        group = groups[row["accept"].split("|")[0]]
        group[0] += right
        group[1] += 1
    top1 = sum(g[0] for g in groups.values()) / max(len(results), 1)
    macro = sum(g[0] / g[1] for g in groups.values()) / max(len(groups), 1)
    return top1, macro, dict(groups)


def print_result(args, row, summary, right):
    if args.json:
        print(json.dumps({"path": row["path"], "accept": row["accept"], "right": right, **summary}), flush=True)
    elif not right:
        confidence = summary.get("confidence")
        print(f"miss  {row['path']:72} {row['accept']:14} -> {summary['class']}"
              + (f" ({confidence:.2f})" if confidence is not None else "")
              + (f" of {summary['emissions']} emissions" if "emissions" in summary else "")
              + (f": {summary['error']}" if "error" in summary else ""), flush=True)


def draw_sheet(args, folder, misses, columns=2, width=640, height=400, caption=20):
    from PIL import Image, ImageDraw
    rows = -(-len(misses) // columns)
    sheet = Image.new("RGB", (columns * width, rows * (height + caption)), "white")
    with tempfile.TemporaryDirectory() as scratch:
        for i, (row, summary, _) in enumerate(misses):
            picture = os.path.join(scratch, "miss.png")
            if classify(args, folder, row, picture)["class"] == "error":
                continue
            x, y = i % columns * width, i // columns * (height + caption)
            with Image.open(picture) as image:
                sheet.paste(image.convert("RGB").resize((width, height), Image.LANCZOS), (x, y + caption))
            ImageDraw.Draw(sheet).text((x + 4, y + 4), f"{row['path']}: {row['accept']}, answered {summary['class']}", fill="black")
    sheet.save(args.sheet, quality=60, optimize=True)


def main():
    args = arguments()
    folder = os.environ.get("ATTUNE_RECORDINGS")
    if not folder:
        print("recordings: ATTUNE_RECORDINGS is not set: skipped", file=sys.stderr)
        return 77
    if not os.access(args.attune, os.X_OK):
        print(f"recordings: {args.attune} is not there; build it or say --attune", file=sys.stderr)
        return 2
    if args.sheet:  # said before the work, not after it
        if not importlib.util.find_spec("PIL"):
            print("recordings: --sheet needs Pillow: apt install python3-pil", file=sys.stderr)
            return 2
        if not args.sheet.endswith((".jpg", ".jpeg")) or not os.access(os.path.dirname(args.sheet) or ".", os.W_OK):
            print(f"recordings: --sheet {args.sheet}: a .jpg in a folder that can be written to is expected", file=sys.stderr)
            return 2
    rows = read_index(folder, args.only)
    began = time.monotonic()
    results = []
    for row in rows:
        summary = classify(args, folder, row)
        right = summary["class"] in row["accept"].split("|")
        results.append((row, summary, right))
        print_result(args, row, summary, right)
    misses = [r for r in results if not r[2]]
    if args.sheet and misses:
        draw_sheet(args, folder, misses)
    top1, macro, groups = score(results)
    n_right = sum(right for _, _, right in results)
    wall_s = time.monotonic() - began
    if args.json:
        print(json.dumps({"score": {"files": len(results), "right": n_right, "top1": top1, "macro": macro,
                                    "classes": groups, "wall_s": round(wall_s, 1)}}))
    else:
        print("  ".join(f"{name} {g[0]}/{g[1]}" for name, g in sorted(groups.items())))
        print(f"recordings: {n_right} of {len(results)} right: top-1 {100 * top1:.1f} %, "
              f"macro {100 * macro:.1f} %, {wall_s:.0f} s")
    return 1 if not results or top1 < args.min_top1 or macro < args.min_macro else 0


if __name__ == "__main__":
    sys.exit(main())
