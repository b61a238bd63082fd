#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The udev rules read as udev reads them: which USB numbers get the group plugdev."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from usage import arguments  # noqa: E402

WANTED = """0bda:2838 rtl-sdr v3; 0bda:2832 rtl-sdr; 1d50:60a1 Airspy R2, Mini; 03eb:800c Airspy HF+; 1d50:6089 HackRF One;
1d50:604b HackRF Jawbreaker; 2cf0:5246 bladeRF; 2cf0:5250 bladeRF 2.0; 1d50:6066 bladeRF, old number; 1d50:6108 LimeSDR-USB;
0403:601f LimeSDR Mini; 2500:0020 B200; 2500:0021 B210; 2500:0022 B205mini; 3923:7813 NI B200; 3923:7814 NI B210;
1df7:2500 RSP1; 1df7:3000 RSP1A; 1df7:3010 RSP2; 1df7:3020 RSPduo; 1df7:3030 RSPdx; 0456:b673 Pluto"""
OTHERS = {"0bda:8153": "a network adapter", "0403:6001": "a serial adapter", "046d:c31c": "a keyboard", "1d6b:0002": "a hub",
          "1df7:ffff": "not a receiver"}


def matches(rule, event):
    """Whether the conditions of one line hold; `|` separates alternatives."""
    for key, op, value in re.findall(r'([A-Z]+(?:\{\w+\})?)\s*(==|!=)\s*"([^"]*)"', rule):
        if (event.get(key, "") in value.split("|")) != (op == "=="):
            return False
    return True


def run(rules, event):
    """What the lines assign to one event, GOTO and LABEL followed."""
    out, skip = {}, None
    for rule in rules:
        label = re.search(r'LABEL="(\w+)"', rule)
        if skip:
            if label and label[1] == skip:
                skip = None
            else:
                continue
        if label or not matches(rule, event):
            continue
        out |= dict(re.findall(r'(GROUP|MODE)="(\w+)"', rule))
        jump = re.search(r'GOTO="(\w+)"', rule)
        skip = jump and jump[1]
    return None if skip else out


def main():
    failed = passed = 0
    with open(*arguments("RULES"), encoding="ascii") as f:
        lines = [line.strip() for line in f if line.strip() and not line.startswith("#")]
    given = {"GROUP": "plugdev", "MODE": "0660"}
    cases = [(x.split()[0], x, given) for x in re.split(r";\s*", WANTED)] + [(k, v, {}) for k, v in OTHERS.items()]
    for number, name, want in cases:
        vendor, product = number.split(":")
        event = {"ACTION": "add", "SUBSYSTEM": "usb", "ENV{DEVTYPE}": "usb_device", "ATTR{idVendor}": vendor,
                 "ATTR{idProduct}": product}
        for change, expect in (({}, want), ({"ENV{DEVTYPE}": "usb_interface"}, {}), ({"ACTION": "remove"}, {})):
            got = run(lines, event | change)
            passed, failed = passed + (got == expect), failed + (got != expect)
            if got != expect:
                print(f"FAIL {name} {change}: got {got}, not {expect}")
    odd = [x for x in lines if not re.fullmatch(r'(?:[A-Z]+(?:\{\w+\})?(?:==|!=|=)"[^"]*"(?:, |$))+', x)]
    passed, failed = passed + (not odd), failed + bool(odd)
    if odd:
        print("FAIL not a rule:", odd)
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
