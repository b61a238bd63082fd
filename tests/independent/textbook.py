# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals of every class from textbook formulas in numpy and scipy: a second opinion beside lib/synth.

Shares no line and no table with lib/synth or train/: each class is written from its definition. Every function takes
(rng, rate_hz, n) and returns (iq (n,) complex of unit peak-ish power, occupied bandwidth in Hz).
"""
import numpy as np
from scipy import signal

TAU = 2 * np.pi


def speech(rng, rate, n, top=3000.0):
    """Noise shaped like speech: a 200..top Hz band, syllables at some 4 Hz, voiced harmonics. Peak 1."""
    audio_rate = 16000
    m = int(n * audio_rate / rate) + 64
    t = np.arange(m) / audio_rate
    pitch = 110 + 90 * rng.random() + 20 * np.sin(TAU * 0.7 * t + rng.random() * 6)
    phase = TAU * np.cumsum(pitch) / audio_rate
    voiced = sum(np.cos(k * phase + rng.random() * 6) / k ** 1.2 for k in range(1, int(top / 200) + 1))
    sos = signal.butter(4, [200, top], "bandpass", fs=audio_rate, output="sos")
    x = signal.sosfilt(sos, voiced + 0.7 * rng.standard_normal(m))
    syllable = np.interp(t, np.arange(0, t[-1] + 1, 0.12), np.clip(rng.gamma(1.2, 0.5, int(t[-1] / 0.12) + 10)[:len(np.arange(0, t[-1] + 1, 0.12))], 0, 2))
    x = x * syllable
    x = np.interp(np.arange(n) / rate, t, x)
    return x / (np.abs(x).max() + 1e-9)


def from_frequency(f, rate):
    return np.exp(1j * TAU * np.cumsum(f) / rate)


def hold(symbols, rate, baud, n):
    return symbols[np.minimum((np.arange(n) * baud / rate).astype(int), len(symbols) - 1)]


def gaussian(x, rate, baud, bt):
    sigma = np.sqrt(np.log(2)) / (TAU * bt * baud) * rate
    k = np.arange(-int(4 * sigma) - 1, int(4 * sigma) + 2)
    h = np.exp(-k ** 2 / (2 * sigma ** 2))
    return np.convolve(x, h / h.sum(), "same")


def rrc(baud, rate, rolloff, span=10):
    t = np.arange(-int(span * rate / baud), int(span * rate / baud) + 1) * baud / rate
    t = t + 1e-9
    h = (np.sin(np.pi * t * (1 - rolloff)) + 4 * rolloff * t * np.cos(np.pi * t * (1 + rolloff))) / (np.pi * t * (1 - (4 * rolloff * t) ** 2) + 1e-12)
    return h / np.sqrt((h ** 2).sum())


def gate(n, rate, on_s, off_s, rng):
    period = on_s + off_s
    return ((np.arange(n) / rate + rng.random() * off_s) % period) > off_s


def carrier(rng, rate, n):
    return np.ones(n, complex), 30.0


MORSE = "-.-. --.- / -.. . / .-.. ..... .- -... / --... ...-- / .-- .- - - ... / -. .- -- ."


def cw(rng, rate, n):
    unit = 1.2 / rng.uniform(12, 30)
    key = []
    for c in MORSE * 4:
        key += {".": [1, 0], "-": [1, 1, 1, 0], " ": [0, 0], "/": [0, 0]}[c]
    x = hold(np.array(key, float), rate, 1 / unit, n)
    w = max(3, int(0.005 * rate))
    return signal.convolve(x, np.hanning(w) / np.hanning(w).sum(), "same").astype(complex), 4 / unit


def ook(rng, rate, n):
    te = rng.choice([200e-6, 350e-6, 500e-6])
    bits = rng.integers(0, 2, 40)
    key = []
    for _ in range(6):
        if rng.random() < .5:
            for b in bits:
                key += [1, 1, 1, 0] if b else [1, 0, 0, 0]
        else:
            for b in bits:
                key += [1, 0, 0, 0, 0] if b else [1, 0, 0]
        key += [0] * 40
    x = hold(np.array(key * 8, float), rate, 1 / te, n)
    return x.astype(complex), 2 / te


def am(rng, rate, n):
    return 0.5 * (1 + rng.uniform(.5, .95) * speech(rng, rate, n)).astype(complex), 6000.0


def ssb(rng, rate, n):
    x = signal.hilbert(speech(rng, rate, n))
    return x if rng.random() < .5 else np.conj(x), 2800.0


def nfm(rng, rate, n):
    dev = rng.choice([2500.0, 5000.0])
    return from_frequency(dev * np.clip(2 * speech(rng, rate, n), -1, 1), rate), 2 * (dev * .6 + 3000)


def wfm(rng, rate, n):
    t = np.arange(n) / rate
    left, right = speech(rng, rate, n, 7000), speech(rng, rate, n, 7000)
    mpx = .45 * (left + right) + .09 * np.sin(TAU * 19e3 * t) + .45 * (left - right) * np.sin(TAU * 38e3 * t)
    return from_frequency(75e3 * np.clip(1.5 * mpx, -1, 1), rate), 150e3


def fsk2(rng, rate, n):
    baud = rng.choice([1200.0, 4800.0, 9600.0, 19200.0])
    dev = baud * rng.uniform(1.0, 5.0)
    s = rng.integers(0, 2, int(n * baud / rate) + 2) * 2.0 - 1
    return from_frequency(dev * hold(s, rate, baud, n), rate) * gate(n, rate, 200 / baud, 150 / baud, rng), 2 * dev + baud


def gfsk(rng, rate, n):
    baud, bt, h = ((9600.0, .4, .5), (270833.0, .3, .5), (1e6, .5, .5), (4800.0, .5, .5))[rng.integers(4)]
    if baud > rate / 3:
        baud = 9600.0
    s = rng.integers(0, 2, int(n * baud / rate) + 2) * 2.0 - 1
    x = from_frequency(h * baud / 2 * gaussian(hold(s, rate, baud, n), rate, baud, bt), rate)
    return x * gate(n, rate, 400 / baud, 300 / baud, rng), baud


def fsk4(rng, rate, n):
    baud, step = ((4800.0, 648.0), (4800.0, 600.0), (2400.0, 350.0))[rng.integers(3)]
    s = rng.integers(0, 4, int(n * baud / rate) + 2) * 2.0 - 3
    sps = int(rate / baud) + 1
    return from_frequency(step * np.convolve(hold(s, rate, baud, n), np.hanning(sps) / np.hanning(sps).sum(), "same"), rate), baud * 1.7


def afsk(rng, rate, n):
    s = rng.integers(0, 2, int(n * 1200 / rate) + 2)
    tone = np.cos(TAU * np.cumsum(hold(np.where(s, 1200.0, 2200.0), rate, 1200, n)) / rate)
    return from_frequency(3500 * tone, rate), 12e3


def psk_qam(rng, rate, n):
    baud, rolloff = rate / rng.choice([8, 12, 16]), rng.choice([.2, .35, .5])
    m = int(n * baud / rate) + 24
    if rng.random() < .5:
        s = np.exp(1j * (np.pi / 4 + np.pi / 2 * rng.integers(0, 4, m)))
    else:
        s = (2 * rng.integers(0, 4, m) - 3 + 1j * (2 * rng.integers(0, 4, m) - 3)) / np.sqrt(10)
    x = np.zeros(n + 40 * 16, complex)
    at = (np.arange(m) * rate / baud).astype(int)
    x[at[at < len(x)]] = s[at < len(x)]
    return signal.convolve(x, rrc(baud, rate, rolloff), "same")[:n], baud * (1 + rolloff)


def ofdm(rng, rate, n):
    nfft = int(rng.choice([64, 128, 256]))
    used = int(nfft * rng.uniform(.25, .6)) // 2
    cp, out = nfft // 8, []
    for _ in range(n // (nfft + cp) + 1):
        f = np.zeros(nfft, complex)
        k = np.r_[1:used + 1, -used:0]
        f[k] = (2 * rng.integers(0, 2, 2 * used) - 1 + 1j * (2 * rng.integers(0, 2, 2 * used) - 1))
        t = np.fft.ifft(f)
        out += [t[-cp:], t]
    return np.concatenate(out)[:n] * nfft / np.sqrt(4 * used), rate * 2 * used / nfft


def css(rng, rate, n):
    bw, sf = rate / rng.choice([2, 4, 8]), int(rng.integers(7, 11))
    ts = 2 ** sf / bw
    k, part = np.divmod(np.arange(n) / rate, ts)
    symbols = np.r_[np.zeros(8), rng.integers(0, 2 ** sf, int(k[-1]) + 2)]
    f = ((part / ts + symbols[k.astype(int)] / 2 ** sf) % 1 - .5) * bw
    return from_frequency(f, rate), bw


def ppm(rng, rate, n):
    x = np.zeros(n)
    at = 0
    while at < n:
        chips = np.zeros(240)
        chips[[0, 2, 7, 9]] = 1
        bits = rng.integers(0, 2, 112)
        chips[16 + 2 * np.arange(112) + (1 - bits)] = 1
        pulse = hold(chips, rate, 2e6, int(120e-6 * rate))
        end = min(n, at + len(pulse))
        x[at:end] = pulse[:end - at] * rng.uniform(.4, 1)
        at += len(pulse) + int(rng.exponential(300e-6) * rate)
    return x.astype(complex), 2.4e6


def chirp(rng, rate, n):
    bw, period = rate * rng.uniform(.1, .5), rng.choice([.0005, .002, .01]) * 1e6 / rate
    ramp = (np.arange(n) / rate / period) % 1
    if rng.random() < .4:
        ramp = 1 - abs(2 * ramp - 1)
    return from_frequency((ramp - .5) * bw, rate), bw


def noise(rng, rate, n):
    return np.zeros(n, complex), rate / 4


# class: (function, rate in Hz, seconds)
SIGNALS = {
    "carrier": (carrier, 48e3, 3.0), "cw": (cw, 12e3, 8.0), "ook": (ook, 250e3, .6), "am": (am, 48e3, 3.0), "ssb": (ssb, 24e3, 4.0),
    "nfm": (nfm, 96e3, 2.0), "wfm": (wfm, 1e6, .4), "fsk2": (fsk2, 250e3, .6), "gfsk": (gfsk, 1e6, .4), "fsk4": (fsk4, 48e3, 2.0),
    "afsk": (afsk, 96e3, 1.5), "psk_qam": (psk_qam, 500e3, .4), "ofdm": (ofdm, 2e6, .15), "css": (css, 500e3, .5),
    "ppm": (ppm, 2.4e6, .1), "chirp": (chirp, 1e6, .3), "noise": (noise, 250e3, .5),
}


def receive(rng, x, rate, bw, snr_db):
    """x off-centre in white noise at this SNR in its bandwidth while it is on, scaled below full scale."""
    n = len(x)
    room = max(0, .45 * rate - bw / 2)
    x = x * np.exp(1j * TAU * (rng.uniform(-room, room) / rate * np.arange(n) + rng.random()))
    on = np.abs(x) > .1 * np.abs(x).max()
    power = (np.abs(x[on]) ** 2).mean() if on.any() else 0
    if power > 0:
        x = x / np.sqrt(power)
    density = 10 ** (-snr_db / 10) / bw
    x = x + np.sqrt(density * rate / 2) * (rng.standard_normal(n) + 1j * rng.standard_normal(n))
    return (x / (1.2 * np.abs(x).max())).astype(np.complex64)


def capture(name, seed, snr_db):
    """(iq complex64 (n,), rate_hz): the signal off-centre in white noise, 12-bit-like, at this SNR in its bandwidth."""
    rng = np.random.default_rng([seed, sorted(SIGNALS).index(name)])
    make, rate, seconds = SIGNALS[name]
    x, bw = make(rng, rate, int(rate * seconds))
    return receive(rng, x, rate, bw, snr_db), rate
