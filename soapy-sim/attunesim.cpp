/* driver=attunesim: a SoapySDR receiver that plays a scene of lib/synth, or a recording, in real
 * time, and goes wrong on demand. SPDX-License-Identifier: GPL-3.0-or-later */
// clang-format off
/*
 * Arguments of the device:
 *   scene=demo seed=1 duration=S   a scene of lib/synth, rendered once at the rate that is set, then looped without a seam
 *   scene=tone                     a tone at 1/8 of the rate, half of full scale, and nothing else
 *   scene=carrier                  a carrier there, 50 dB over noise
 *   scene=NAME@HZ;NAME@HZ          scenes with places in frequency (without @HZ: around the first centre that is set): at
 *                                  another centre another part of the nearest one is heard
 *   rates=HZ;HZ                    renders its scenes for these rates too when it first starts, so that a change costs no time
 *   settle=MS                      so long after a frequency was set it still hears the old one (5)
 *   scene=count                    CS16 samples that say their own number: I the low 15 bits, Q the next 15
 *   file=PATH [format=cs16]        a raw recording, looped (format: by its name, where it says so)
 *   serial=SIM0 native=CS16|CF32 time=0|1
 *   gains=1                        has gain elements LNA and VGA, and the samples follow them (30 dB: as they are)
 *   correction=1                   corrects its frequency itself
 *   counts=PATH                    counts.h: what it has done, exactly; lives on when the process does not
 *   log=PATH                       a line for each setting that reached it
 *   says=TEXT                      prints this when it starts
 * Faults, for tests:
 *   script=NAME@N[:AMOUNT];...     one after the other, each when N samples have been handed over since the one before
 *                                  (kept in counts= from life to life); repeat=1: from the beginning again
 *     overflow:K  K samples lost, and it says so         gap:K       K lost, and only the timestamps tell
 *     corrupt:K   K lost, and it says they were bad      nan:K       K samples not finite (native=CF32)
 *     overlong:K  claims K more than was asked for       back:K      its clock jumps K samples back
 *     throw       an exception from the read             code:K      returns -K        zero   returns 0
 *     timeout:MS  nothing for so long (0: for ever, from life to life)   hang:MS     the read does not come back for so long
 *     unplug:MS   nothing for ever, gone from the list for so long   abort, crash   the process dies
 *   bad_call=CALL:WHAT[:MS]        CALL find, make, rate, tune, retune (a frequency while it streams), activate, deactivate,
 *                                  close; WHAT hang, throw, abort, crash;
 *     bad_lives=K bad_freq=HZ      only in the first K lives; a retune to this frequency only
 *   wrong_rate=HZ wrong_serial=S   what it says it is set to, or is
 */
// clang-format on
#include <SoapySDR/Device.hpp>
#include <SoapySDR/Errors.hpp>
#include <SoapySDR/Formats.hpp>
#include <SoapySDR/Registry.hpp>
#include <SoapySDR/Time.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "soapy-sim/faults.hpp"
#include "soapy-sim/loop.hpp"

using sim::get;
using sim::get_number;
using SoapySDR::Kwargs;
using Clock = std::chrono::steady_clock;

namespace
{

constexpr double kRateMin = 8e3, kRateMax = 250e6;
constexpr double kBlockSeconds = 0.010;
constexpr double kBufferSeconds = 1.0; /* what the device holds for a reader that is late */
constexpr double kGainUnity = 30;
constexpr int kGoOn = 1;

Clock::duration seconds(double s)
{
    return std::chrono::nanoseconds(static_cast<int64_t>(s * 1e9));
}

uint64_t thread_ns()
{
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<uint64_t>(t.tv_sec) * 1000000000u + static_cast<uint64_t>(t.tv_nsec);
}

class Sim : public SoapySDR::Device
{
    const Kwargs args;
    const std::string serial, native;
    attunesim_counts *const counts;
    sim::Faults faults;
    sim::Air air;
    const bool has_time, numbers, has_gains, corrects;
    const double settle_s;
    double rate = 2.4e6, freq = 100e6, ppm = 0, lna = 20, vga = 10;
    bool cf32 = false, rendered = false;
    /* A server of SoapyRemote reads, in another thread, before activateStream() has returned. */
    std::atomic<bool> streams{false};
    std::mutex tuning; /* what stands below: a server of SoapyRemote tunes in another thread */
    std::shared_ptr<sim::Loop> loop, next_loop;
    long long next_from = 0; /* number of the sample with which next_loop begins */
    long long n = 0;         /* number of the next sample since activate */
    long long clock_shift = 0;
    uint64_t poison = 0; /* samples of the next block that are not finite */
    bool longer = false; /* the next block claims too much */
    Clock::time_point began = Clock::now(), silent_until{};

    void log(const std::string &line) const
    {
        const std::string path = get(args, "log", "");
        if (path.empty())
            return;
        std::unique_ptr<FILE, int (*)(FILE *)> f(std::fopen(path.c_str(), "ae"), std::fclose);
        if (f)
            std::fprintf(f.get(), "%s\n", line.c_str());
    }

    Clock::time_point when(long long sample) const
    {
        return began + seconds(static_cast<double>(sample) / rate);
    }

    long long due() const
    {
        return static_cast<long long>(std::chrono::duration<double>(Clock::now() - began).count() *
                                      rate);
    }

    void follow_gain(int16_t *p, size_t m) const
    {
        const double g = std::pow(10, (lna + vga - kGainUnity) / 20);
        for (size_t i = 0; i < 2 * m; i++)
            p[i] = static_cast<int16_t>(std::lround(std::clamp(p[i] * g, -32768., 32767.)));
    }

    /* The loop that sample `number` is taken from, and how many from there on. */
    std::shared_ptr<sim::Loop> loop_at(long long number, size_t &most)
    {
        std::lock_guard<std::mutex> hold(tuning);
        if (next_loop && number >= next_from)
            loop = std::move(next_loop);
        if (next_loop)
            most = std::min(most, static_cast<size_t>(next_from - number));
        return loop;
    }

    void fill(void *out, size_t m)
    {
        auto *p = static_cast<int16_t *>(out);
        for (size_t i = 0; numbers && i < m; i++) {
            p[2 * i] = static_cast<int16_t>((n + static_cast<long long>(i)) & 0x7fff);
            p[2 * i + 1] = static_cast<int16_t>(((n + static_cast<long long>(i)) >> 15) & 0x7fff);
        }
        if (numbers)
            return;
        const size_t bytes = cf32 ? 8 : 4;
        for (size_t done = 0, k; done < m; done += k) {
            const long long number = n + static_cast<long long>(done);
            k = m - done;
            const auto from = loop_at(number, k);
            const size_t length = from->size() / bytes, at = static_cast<size_t>(number) % length;
            k = std::min(k, length - at);
            std::memcpy(static_cast<char *>(out) + done * bytes, &(*from)[at * bytes], k * bytes);
        }
        if (has_gains && !cf32)
            follow_gain(p, m);
    }

    void render_ahead()
    {
        const std::string rates = get(args, "rates", "");
        for (size_t at = 0; at < rates.size() && !rendered;
             at = std::min(rates.find(';', at), rates.size()) + 1)
            air.begin(freq, sim::number("rates", rates.substr(at, rates.find(';', at) - at)), cf32);
        rendered = true;
    }

    void stamp(int &flags, long long &time_ns) const
    {
        if (!has_time)
            return;
        flags |= SOAPY_SDR_HAS_TIME;
        time_ns = SoapySDR::ticksToTimeNs(n + clock_shift, rate);
    }

    void unplug(double ms)
    {
        const double away = ms > 0 ? ms * 1e-3 : 1e9;
        const auto until = (Clock::now() + seconds(away)).time_since_epoch();
        counts->gone_until = static_cast<uint64_t>(std::chrono::nanoseconds(until).count());
        counts->unplugged++;
        silent_until = Clock::now() + seconds(1e9);
    }

    /* Does the step of the script that is due. What the read returns; kGoOn: samples all the same.
     */
    int strike(size_t block, int &flags, long long &time_ns)
    {
        const sim::Step s = *faults.next();
        const auto k = static_cast<uint64_t>(s.has_amount ? s.amount : 0);
        const auto samples = static_cast<long long>(k);
        faults.done();
        if (s.name == "overflow") {
            n += samples;
            counts->overflow += k;
            stamp(flags, time_ns);
            return SOAPY_SDR_OVERFLOW;
        }
        if (s.name == "gap") {
            n += samples;
            counts->gap += k;
        } else if (s.name == "corrupt") {
            n += s.has_amount ? samples : static_cast<long long>(block);
            counts->corrupt += s.has_amount ? k : block;
            return SOAPY_SDR_CORRUPTION;
        } else if (s.name == "nan") {
            poison = s.has_amount ? k : 3;
        } else if (s.name == "overlong") {
            longer = true;
        } else if (s.name == "back") {
            clock_shift -= samples;
        } else if (s.name == "throw") {
            throw std::runtime_error("attunesim: injected");
        } else if (s.name == "code") {
            return -static_cast<int>(k);
        } else if (s.name == "abort") {
            std::abort();
        } else if (s.name == "crash") {
            std::raise(SIGSEGV);
        } else if (s.name == "hang") {
            sim::sleep_ms(s.amount);
        } else if (s.name == "timeout") {
            counts->mute = !(s.amount > 0);
            silent_until = Clock::now() + seconds(counts->mute ? 1e9 : s.amount * 1e-3);
            return SOAPY_SDR_TIMEOUT;
        } else if (s.name == "unplug") {
            unplug(s.amount);
            return SOAPY_SDR_TIMEOUT;
        } else if (s.name == "zero") {
            return 0;
        } else {
            throw std::runtime_error("attunesim: script: no fault is called " + s.name);
        }
        return kGoOn;
    }

    /* While silent, waits the caller's timeout and says true. What passed meanwhile is gone. */
    bool silence(Clock::time_point deadline)
    {
        if (silent_until == Clock::time_point{})
            return false;
        std::this_thread::sleep_until(std::min(deadline, silent_until));
        if (Clock::now() < silent_until)
            return true;
        silent_until = {};
        const long long next = std::max(n, due());
        counts->silent += static_cast<uint64_t>(next - n);
        n = next;
        return false;
    }

    /* m samples that are due, and what is wrong with them. */
    int hand_over(void *out, size_t m, size_t want, int &flags, long long &time_ns)
    {
        const uint64_t before = thread_ns();
        fill(out, m);
        counts->play_ns += thread_ns() - before;
        stamp(flags, time_ns);
        n += static_cast<long long>(m);
        if (longer) {
            longer = false;
            counts->corrupt += m;
            return static_cast<int>(want) + 4096;
        }
        for (uint64_t i = 0; cf32 && poison > 0 && i < m; i++, poison--) {
            static const float bad[3] = {std::numeric_limits<float>::quiet_NaN(),
                                         std::numeric_limits<float>::infinity(), -1e38f};
            static_cast<float *>(out)[2 * i + i % 2] = bad[i % 3];
            counts->not_finite++;
        }
        faults.handed(m);
        return static_cast<int>(m);
    }

  public:
    explicit Sim(const Kwargs &a)
        : args(a), serial(get(a, "serial", "SIM0")), native(get(a, "native", "CS16")),
          counts(sim::open_counts(get(a, "counts", ""))), faults(a, counts), air(a),
          has_time(get_number(a, "time", 1) != 0), numbers(air.is_count()),
          has_gains(get_number(a, "gains", 0) != 0), corrects(get_number(a, "correction", 0) != 0),
          settle_s(1e-3 * get_number(a, "settle", 5))
    {
        if (!sim::plugged_in(*counts))
            throw std::runtime_error("attunesim: no device with serial " + serial);
        counts->lives++;
        faults.call("make");
    }

    std::string getDriverKey() const override
    {
        return "attunesim";
    }
    std::string getHardwareKey() const override
    {
        return "attunesim";
    }
    Kwargs getHardwareInfo() const override
    {
        return {{"serial", get(args, "wrong_serial", serial.c_str())}};
    }
    size_t getNumChannels(const int direction) const override
    {
        return direction == SOAPY_SDR_RX ? 1 : 0;
    }
    std::vector<std::string> listAntennas(const int, const size_t) const override
    {
        return {"RX", "RX2"};
    }
    void setAntenna(const int, const size_t, const std::string &name) override
    {
        if (name != "RX" && name != "RX2")
            throw std::runtime_error("attunesim: no antenna " + name + ", only RX and RX2");
        log("antenna " + name);
    }

    std::vector<std::string> listGains(const int, const size_t) const override
    {
        return has_gains ? std::vector<std::string>{"LNA", "VGA"} : std::vector<std::string>{};
    }
    SoapySDR::Range getGainRange(const int, const size_t, const std::string &name) const override
    {
        return name == "LNA" ? SoapySDR::Range(0, 40) : SoapySDR::Range(0, 20);
    }
    using SoapySDR::Device::getGain;
    using SoapySDR::Device::getGainRange;
    using SoapySDR::Device::setGain;
    void setGain(const int, const size_t, const std::string &name, const double db) override
    {
        double &element = name == "LNA" ? lna : vga;
        if (name != "LNA" && name != "VGA")
            throw std::runtime_error("attunesim: no gain element " + name);
        element = std::clamp(db, 0., name == "LNA" ? 40. : 20.);
        counts->gain_mdb = static_cast<uint64_t>(std::llround((lna + vga) * 1e3));
        log("gain " + name + " " + std::to_string(element));
    }
    double getGain(const int, const size_t, const std::string &name) const override
    {
        return name == "LNA" ? lna : vga;
    }
    bool hasGainMode(const int, const size_t) const override
    {
        return has_gains;
    }
    void setGainMode(const int, const size_t, const bool automatic) override
    {
        log(std::string("agc ") + (automatic ? "on" : "off"));
    }
    bool hasFrequencyCorrection(const int, const size_t) const override
    {
        return corrects;
    }
    void setFrequencyCorrection(const int, const size_t, const double value) override
    {
        ppm = value;
        log("ppm " + std::to_string(value));
    }
    double getFrequencyCorrection(const int, const size_t) const override
    {
        return ppm;
    }
    SoapySDR::ArgInfoList getSettingInfo() const override
    {
        SoapySDR::ArgInfo bias, mode;
        bias.key = "biastee";
        bias.type = SoapySDR::ArgInfo::BOOL;
        mode.key = "direct_samp";
        mode.type = SoapySDR::ArgInfo::STRING;
        return {bias, mode};
    }
    void writeSetting(const std::string &key, const std::string &value) override
    {
        if (key != "biastee" && key != "direct_samp")
            throw std::runtime_error("attunesim: no setting " + key);
        log("setting " + key + " " + value);
    }

    void setSampleRate(const int, const size_t, const double r) override
    {
        faults.call("rate");
        if (!(r >= kRateMin) || r > kRateMax)
            throw std::runtime_error("attunesim: rates from 8 kS/s to 250 MS/s");
        rate = get_number(args, "wrong_rate", r);
        log("rate " + std::to_string(r));
    }
    double getSampleRate(const int, const size_t) const override
    {
        return rate;
    }
    SoapySDR::RangeList getSampleRateRange(const int, const size_t) const override
    {
        return {SoapySDR::Range(kRateMin, kRateMax)};
    }

    void setFrequency(const int, const size_t, const std::string &, const double f,
                      const Kwargs &) override
    {
        if (!(f >= 0) || f > 10e9)
            throw std::runtime_error("attunesim: frequencies up to 10 GHz");
        faults.call("tune");
        if (streams && std::fabs(get_number(args, "bad_freq", f) - f) < 1)
            faults.call("retune");
        freq = f;
        log("frequency " + std::to_string(f));
        if (!streams)
            return;
        counts->retunes++;
        auto heard = numbers ? nullptr : air.look(freq, rate, cf32);
        std::lock_guard<std::mutex> hold(tuning);
        next_from = due() + static_cast<long long>(settle_s * rate);
        next_loop = std::move(heard);
    }
    double getFrequency(const int, const size_t, const std::string &) const override
    {
        return freq;
    }
    std::vector<std::string> listFrequencies(const int, const size_t) const override
    {
        return {"RF"};
    }
    SoapySDR::RangeList getFrequencyRange(const int, const size_t,
                                          const std::string &) const override
    {
        return {SoapySDR::Range(0, 10e9)};
    }

    std::vector<std::string> getStreamFormats(const int, const size_t) const override
    {
        return {SOAPY_SDR_CS16, SOAPY_SDR_CF32};
    }
    std::string getNativeStreamFormat(const int, const size_t, double &full_scale) const override
    {
        full_scale = native == SOAPY_SDR_CF32 ? 1 : 32768;
        return native == SOAPY_SDR_CF32 ? SOAPY_SDR_CF32 : SOAPY_SDR_CS16;
    }
    SoapySDR::ArgInfoList getStreamArgsInfo(const int, const size_t) const override
    {
        SoapySDR::ArgInfo length;
        length.key = "bufflen";
        length.type = SoapySDR::ArgInfo::INT;
        length.units = "bytes";
        return {length};
    }
    SoapySDR::Stream *setupStream(const int direction, const std::string &format,
                                  const std::vector<size_t> &, const Kwargs &stream_args) override
    {
        if (direction != SOAPY_SDR_RX || (format != SOAPY_SDR_CF32 && format != SOAPY_SDR_CS16))
            throw std::runtime_error("attunesim: CS16 or CF32, receiving only");
        cf32 = format == SOAPY_SDR_CF32;
        if (numbers && cf32)
            throw std::runtime_error("attunesim: scene=count is CS16");
        log("stream " + format + " bufflen " + get(stream_args, "bufflen", "none"));
        return reinterpret_cast<SoapySDR::Stream *>(this);
    }
    void closeStream(SoapySDR::Stream *) override
    {
        faults.call("close");
    }
    size_t getStreamMTU(SoapySDR::Stream *) const override
    {
        return static_cast<size_t>(rate * kBlockSeconds) / 16 * 16 + 16;
    }
    int activateStream(SoapySDR::Stream *, const int, const long long, const size_t) override
    {
        faults.call("activate");
        if (args.count("says"))
            std::fprintf(stderr, "%s\n", args.at("says").c_str());
        if (!numbers) {
            render_ahead();
            air.begin(freq, rate, cf32);
            loop = air.look(freq, rate, cf32);
        }
        next_loop.reset();
        n = clock_shift = 0;
        counts->activations++;
        began = Clock::now();
        silent_until = counts->mute ? began + seconds(1e9) : Clock::time_point{};
        streams = true;
        return 0;
    }
    int deactivateStream(SoapySDR::Stream *, const int, const long long) override
    {
        faults.call("deactivate");
        streams = false;
        return 0;
    }

    int readStream(SoapySDR::Stream *stream, void *const *buffs, const size_t want, int &flags,
                   long long &time_ns, const long timeout_us) override
    {
        const auto deadline = Clock::now() + std::chrono::microseconds(timeout_us);
        const size_t block = std::min(want, getStreamMTU(stream));
        if (!streams) {
            std::this_thread::sleep_until(std::min(deadline, Clock::now() + seconds(1e-3)));
            return SOAPY_SDR_TIMEOUT;
        }
        if (silence(deadline))
            return SOAPY_SDR_TIMEOUT;
        while (faults.room() == 0) {
            const int code = strike(block, flags, time_ns);
            if (code != kGoOn)
                return code;
        }
        const auto m = static_cast<size_t>(std::min<uint64_t>(block, faults.room()));
        const auto ready = when(n + static_cast<long long>(m));
        std::this_thread::sleep_until(std::min(ready, deadline));
        if (ready > deadline)
            return SOAPY_SDR_TIMEOUT;
        const long long late = due() - n;
        if (late > static_cast<long long>(rate * kBufferSeconds)) { /* the reader was away */
            n += late;
            counts->overflow += static_cast<uint64_t>(late);
            counts->late += static_cast<uint64_t>(late);
            stamp(flags, time_ns);
            return SOAPY_SDR_OVERFLOW;
        }
        return hand_over(buffs[0], m, want, flags, time_ns);
    }
};

SoapySDR::KwargsList find(const Kwargs &args)
{
    const std::string serial = get(args, "serial", "SIM0");
    attunesim_counts *counts = sim::open_counts(get(args, "counts", ""));
    Kwargs with = args;
    const char *bad =
        std::getenv("ATTUNESIM_BAD_FIND"); /* who looks for all devices gives no arguments */
    if (bad && *bad)
        with["bad_call"] = std::string("find:") + bad;
    sim::Faults(with, counts).call("find");
    if (!sim::plugged_in(*counts))
        return {};
    return {{{"label", "attune simulated receiver"}, {"serial", serial}}};
}

SoapySDR::Device *make(const Kwargs &args)
{
    return new Sim(args);
}

SoapySDR::Registry registration("attunesim", &find, &make, SOAPY_SDR_ABI_VERSION);

} // namespace
