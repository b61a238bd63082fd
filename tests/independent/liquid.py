# SPDX-License-Identifier: GPL-3.0-or-later
"""Signals modulated by liquid-dsp (Debian: libliquid1), which somebody else wrote: a third opinion.

Shares no line and no table with lib/synth or train/. Every function takes a numpy generator and returns (iq complex64,
rate in Hz, occupied bandwidth in Hz); what it modulates, in which order of symbols and samples, is all liquid's.
"""
import ctypes

import numpy as np

import textbook

F, U, I, P = ctypes.c_float, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p
MOST = 400_000  # samples of a capture


def load():
    """The library, or None where it is not installed."""
    try:
        lib = ctypes.CDLL("libliquid.so.1")
    except OSError:
        return None
    for name, result, args in (
            ("symstreamcf_create_linear", P, (I, U, U, F, I)), ("symstreamcf_write_samples", I, (P, P, U)), ("symstreamcf_destroy", I, (P,)),
            ("gmskmod_create", P, (U, U, F)), ("gmskmod_modulate", I, (P, U, P)), ("gmskmod_destroy", I, (P,)),
            ("cpfskmod_create", P, (U, F, U, U, F, I)), ("cpfskmod_modulate", I, (P, U, P)), ("cpfskmod_destroy", I, (P,)),
            ("fskmod_create", P, (U, U, F)), ("fskmod_modulate", I, (P, U, P)), ("fskmod_destroy", I, (P,)),
            ("freqmod_create", P, (F,)), ("freqmod_modulate_block", I, (P, P, U, P)), ("freqmod_destroy", I, (P,)),
            ("ampmodem_create", P, (F, I, I)), ("ampmodem_modulate_block", I, (P, P, U, P)), ("ampmodem_destroy", I, (P,)),
            ("ofdmflexframegen_create", P, (U, U, U, P, P)), ("ofdmflexframegen_assemble", I, (P, P, P, U)),
            ("ofdmflexframegen_write", I, (P, P, U)), ("ofdmflexframegen_destroy", I, (P,)),
            ("msresamp_crcf_create", P, (F, F)), ("msresamp_crcf_execute", I, (P, P, U, P, P)), ("msresamp_crcf_destroy", I, (P,)),
            ("liquid_getopt_str2mod", I, (ctypes.c_char_p,)), ("liquid_getopt_str2firfilt", I, (ctypes.c_char_p,))):
        f = getattr(lib, name)
        f.restype, f.argtypes = result, args
    return lib


LIB = load()
DSB, USB, LSB = 0, 1, 2                           # liquid_ampmodem_type
SQUARE, RCOS, RCOS_PARTIAL, GMSK = 0, 1, 2, 3     # liquid_cpfsk_filter


def at(x):
    return x.ctypes.data_as(P)


def resampled(x, ratio):
    """x at `ratio` times its rate."""
    q, x = LIB.msresamp_crcf_create(ratio, 60.0), np.ascontiguousarray(x, np.complex64)
    y, n = np.zeros(int(len(x) * ratio) + 4096, np.complex64), U(0)
    LIB.msresamp_crcf_execute(q, at(x), len(x), at(y), ctypes.byref(n))
    LIB.msresamp_crcf_destroy(q)
    return y[:n.value]


def symbols(create, modulate, destroy, args, per, order, values):
    """A modulator fed symbol by symbol: per samples come of each of the values below order."""
    q = create(*args)
    x = np.zeros((len(values), per), np.complex64)
    for row, v in zip(x, values):
        modulate(q, int(v) % order, at(row))
    destroy(q)
    return x.ravel()


def window(rng, baud, lo=2.5, hi=10.0, seconds=1.0):
    """(rate, symbols): the band's rate over the symbol rate drawn, as long as the samples last."""
    rate = max(baud * rng.uniform(lo, hi), 10e3)
    return rate, int(min(seconds, MOST / rate) * baud) + 1


def psk_qam(rng):
    scheme = rng.choice(["bpsk", "qpsk", "dpsk4", "psk8", "qam16", "qam64", "qam256", "apsk16", "apsk32"])
    baud = float(rng.choice([2400, 9600, 18000, 36000, 72000, 250e3, 1e6, 5e6]))
    roll, (rate, n) = float(rng.choice([.2, .25, .35, .5])), window(rng, baud)
    filt = LIB.liquid_getopt_str2firfilt(b"rrcos")
    q = LIB.symstreamcf_create_linear(filt, 4, 9, roll, LIB.liquid_getopt_str2mod(scheme.encode()))
    x = np.zeros(4 * n, np.complex64)
    LIB.symstreamcf_write_samples(q, at(x), len(x))
    LIB.symstreamcf_destroy(q)
    return resampled(x, rate / (4 * baud)), rate, baud * (1 + roll)


def gfsk(rng):
    baud, bt = ((9600., .4), (9600., .5), (4800., .5), (50e3, .5), (100e3, .5), (270833., .3), (1e6, .5), (1.152e6, .5))[rng.integers(8)]
    rate, n = window(rng, baud)
    bits = rng.integers(0, 2, n)
    if rng.random() < .5:
        x = symbols(LIB.gmskmod_create, LIB.gmskmod_modulate, LIB.gmskmod_destroy, (4, 3, bt), 4, 2, bits)
    else:
        kind = int(rng.choice([RCOS, RCOS_PARTIAL, GMSK]))
        x = symbols(LIB.cpfskmod_create, LIB.cpfskmod_modulate, LIB.cpfskmod_destroy, (1, float(rng.uniform(.35, .9)), 4, 3, bt, kind), 4, 2, bits)
    return resampled(x, rate / (4 * baud)), rate, baud


def fsk2(rng):
    baud, h = float(rng.choice([1200, 2400, 4800, 9600, 19200, 38400, 100e3])), float(rng.uniform(1.5, 10))
    rate, n = window(rng, baud * (h + 1), 1.5, 6.0)
    n = int(n / (h + 1)) + 1
    k = 2 * int(np.ceil(2 * (h + 2)))
    if rng.random() < .5:
        x = symbols(LIB.cpfskmod_create, LIB.cpfskmod_modulate, LIB.cpfskmod_destroy, (1, h, k, 1, .5, SQUARE), k, 2, rng.integers(0, 2, n))
    else:
        x = symbols(LIB.fskmod_create, LIB.fskmod_modulate, LIB.fskmod_destroy, (1, k, h / 2 / k), k, 2, rng.integers(0, 2, n))
    return resampled(x, rate / (k * baud)), rate, baud * (h + 1)


def fsk4(rng):
    baud, h = ((4800., .27), (4800., .25), (2400., .29), (4800., .33))[rng.integers(4)]
    rate, n = window(rng, baud, 4, 12, 2.0)
    x = symbols(LIB.cpfskmod_create, LIB.cpfskmod_modulate, LIB.cpfskmod_destroy, (2, h, 8, 3, .2, RCOS_PARTIAL), 8, 4, rng.integers(0, 4, n))
    return resampled(x, rate / (8 * baud)), rate, 1.7 * baud


def ofdm(rng):
    m = int(rng.choice([64, 128, 256, 512]))
    native, rate_over = float(rng.choice([1e6, 2e6, 5e6, 10e6, 20e6])), rng.uniform(1.0, 2.5)
    q = LIB.ofdmflexframegen_create(m, m // int(rng.choice([4, 8, 16])), m // 32, None, None)
    buf, out, have, want = np.zeros(4096, np.complex64), [], 0, int(MOST / rate_over)
    while have < want:
        payload, header = rng.integers(0, 256, int(rng.integers(300, 1500)), np.uint8), np.zeros(8, np.uint8)
        LIB.ofdmflexframegen_assemble(q, at(header), at(payload), len(payload))
        done = 0
        while not done:
            done = LIB.ofdmflexframegen_write(q, at(buf), len(buf))
            out.append(buf.copy())
            have += len(buf)
        if rng.random() < .5:
            out.append(np.zeros(int(rng.integers(500, 20000)), np.complex64))
            have += len(out[-1])
    LIB.ofdmflexframegen_destroy(q)
    return resampled(np.concatenate(out)[:want], rate_over), native * rate_over, .88 * native


def analog(rng, rate, seconds, modulate, top=3000.0):
    n = int(min(seconds * rate, MOST))
    audio = np.ascontiguousarray(textbook.speech(rng, rate, n, top), np.float32)
    x = np.zeros(n, np.complex64)
    modulate(audio, x)
    return x


def am(rng):
    rate = float(rng.choice([24e3, 48e3, 96e3]))
    q = LIB.ampmodem_create(float(rng.uniform(.4, .95)), DSB, 0)
    x = analog(rng, rate, 3, lambda a, out: LIB.ampmodem_modulate_block(q, at(a), len(a), at(out)))
    LIB.ampmodem_destroy(q)
    return x, rate, 6000.0


def ssb(rng):
    rate = float(rng.choice([12e3, 16e3, 24e3]))
    q = LIB.ampmodem_create(.9, int(rng.choice([USB, LSB])), 1)
    x = analog(rng, rate, 4, lambda a, out: LIB.ampmodem_modulate_block(q, at(a), len(a), at(out)))
    LIB.ampmodem_destroy(q)
    return x, rate, 2800.0


def nfm(rng):
    rate, dev = float(rng.choice([48e3, 96e3, 192e3])), float(rng.choice([2500, 5000]))
    q = LIB.freqmod_create(dev / rate)
    x = analog(rng, rate, 2, lambda a, out: LIB.freqmod_modulate_block(q, at(np.clip(2 * a, -1, 1)), len(a), at(out)))
    LIB.freqmod_destroy(q)
    return x, rate, 2 * (.6 * dev + 3000)


def wfm(rng):
    rate = float(rng.choice([.5e6, 1e6]))
    q = LIB.freqmod_create(75e3 / rate)

    def modulate(a, out):
        t = np.arange(len(a)) / rate
        multiplex = np.ascontiguousarray(.8 * np.clip(1.5 * a, -1, 1) + .09 * np.sin(2 * np.pi * 19e3 * t), np.float32)
        LIB.freqmod_modulate_block(q, at(multiplex), len(a), at(out))

    x = analog(rng, rate, .4, modulate, 7000.0)
    LIB.freqmod_destroy(q)
    return x, rate, 150e3


SIGNALS = {"psk_qam": psk_qam, "gfsk": gfsk, "fsk2": fsk2, "fsk4": fsk4, "ofdm": ofdm, "am": am, "ssb": ssb, "nfm": nfm, "wfm": wfm}


def capture(name, seed, snr_db):
    """(iq complex64 (n,), rate_hz), as textbook.capture."""
    rng = np.random.default_rng([seed, 1000 + sorted(SIGNALS).index(name)])
    x, rate, bw = SIGNALS[name](rng)
    return textbook.receive(rng, x, rate, bw, snr_db), rate
