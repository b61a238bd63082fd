/* driver=attunesim: a SoapySDR receiver that plays a scene of lib/synth, or a recording, in real time.
 * SPDX-License-Identifier: GPL-3.0-or-later */
// clang-format off
/*
 * Arguments of the device:
 *   scene=demo seed=1 duration=S   a scene of lib/synth, rendered once at the rate that is set, then looped without a seam
 *   scene=tone                     a carrier at 1/8 of the rate, half of full scale
 *   scene=count                    CS16 samples that say their own number: I the low 15 bits, Q the next 15
 *   file=PATH [format=cs16]        a raw recording, looped (format: by its name, where it says so)
 *   serial=SIM0 native=CS16|CF32 time=0|1 wrong_rate=HZ
 * Faults, for tests: fault=NAME with after=N (at the N-th read of each activation) or every=N (each N-th), times=N (at
 * most so often in this process and serial), lose=N samples, back=S seconds:
 *   overflow  N samples lost, and it says so        gap       N samples lost, and only the timestamps tell
 *   corrupt   one buffer lost, and it says so       nan       three samples not finite (native=CF32)
 *   overlong  claims more than was asked for        throw     an exception
 *   timeout   nothing for S seconds (0: for ever)   unplug    nothing for ever, gone from the list for S seconds
 *   hang      never comes back from the read (S seconds), hang-activate, hang-deactivate likewise
 *   abort     the process dies
 */
// clang-format on
#include <SoapySDR/Device.hpp>
#include <SoapySDR/Errors.hpp>
#include <SoapySDR/Formats.hpp>
#include <SoapySDR/Registry.hpp>
#include <SoapySDR/Time.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "lib/synth/synth.h"
extern "C" {
#include "lib/source/convert.h"
#include "lib/source/iqname.h"
}

using SoapySDR::Kwargs;
using Clock = std::chrono::steady_clock;

namespace
{

constexpr double kRateMin = 8e3, kRateMax = 250e6;
constexpr double kBlockSeconds = 0.010;
constexpr double kBufferSeconds = 1.0;   /* what the device holds for a reader that is late */
constexpr double kLoopSamplesMax = 24e6; /* 96 MB as CS16 */
constexpr size_t kFileBytesMax = 256u << 20;
constexpr double kFullScale = 32767;

std::string get(const Kwargs &args, const char *key, const char *fallback)
{
    const auto it = args.find(key);
    return it == args.end() ? fallback : it->second;
}

double get_number(const Kwargs &args, const char *key, double fallback)
{
    const std::string text = get(args, key, "");
    if (text.empty())
        return fallback;
    char *end;
    const double x = std::strtod(text.c_str(), &end);
    if (*end || !std::isfinite(x))
        throw std::runtime_error("attunesim: " + std::string(key) + "=" + text + " is no number");
    return x;
}

/* ---- what it plays: a loop of samples in the stream's format ---- */

using Loop = std::vector<char>;

void store(Loop &loop, bool cf32, const float *iq, size_t n)
{
    const size_t at = loop.size();
    loop.resize(at + n * (cf32 ? 8 : 4));
    if (cf32) {
        std::memcpy(&loop[at], iq, n * 8);
        return;
    }
    auto *out = reinterpret_cast<int16_t *>(&loop[at]);
    for (size_t i = 0; i < 2 * n; i++)
        out[i] = static_cast<int16_t>(std::lround(std::clamp(iq[i], -1.f, 1.f) * kFullScale));
}

std::shared_ptr<Loop> render_tone(bool cf32)
{
    auto loop = std::make_shared<Loop>();
    std::vector<float> iq(2 * 8192);
    for (size_t i = 0; i < 8192; i++) {
        iq[2 * i] = static_cast<float>(0.5 * std::cos(2 * M_PI * static_cast<double>(i % 8) / 8));
        iq[2 * i + 1] =
            static_cast<float>(0.5 * std::sin(2 * M_PI * static_cast<double>(i % 8) / 8));
    }
    store(*loop, cf32, iq.data(), 8192);
    return loop;
}

std::shared_ptr<Loop> read_file(const std::string &path, const std::string &format, bool cf32)
{
    at_iq_name name;
    at_iq_name_parse(path.c_str(), &name);
    const int f = format.empty() ? name.format : at_iq_format_from_name(format.c_str());
    if (f < 0)
        throw std::runtime_error("attunesim: " + path + ": say format=cu8, cs8, cs16 or cf32");
    std::unique_ptr<FILE, int (*)(FILE *)> in(std::fopen(path.c_str(), "rbe"), std::fclose);
    if (!in)
        throw std::runtime_error("attunesim: " + path + ": " + std::strerror(errno));
    const auto kind = static_cast<at_iq_format>(f);
    const size_t bytes = at_iq_format_size(kind), block = 65536;
    std::vector<char> raw(block * bytes);
    std::vector<float> iq(2 * block);
    auto loop = std::make_shared<Loop>();
    while (loop->size() < kFileBytesMax) {
        const size_t n = std::fread(raw.data(), bytes, block, in.get());
        if (n == 0)
            break;
        at_iq_convert(kind, at_iq_format_full_scale(kind), raw.data(), n, iq.data());
        store(*loop, cf32, iq.data(), n);
    }
    if (loop->empty())
        throw std::runtime_error("attunesim: " + path + ": no samples in it");
    return loop;
}

std::shared_ptr<Loop> render_scene(const Kwargs &args, double rate, bool cf32)
{
    auto scene = std::make_unique<at_scene>();
    const std::string name = get(args, "scene", "demo");
    const int found = at_scene_named(
        name.c_str(), rate, static_cast<uint64_t>(get_number(args, "seed", 1)), scene.get());
    if (found < 0)
        throw std::runtime_error("attunesim: scene " + name + ": " + std::strerror(-found));
    scene->duration_s = get_number(args, "duration", scene->duration_s);
    scene->duration_s = std::min(scene->duration_s, kLoopSamplesMax / scene->rate_hz);
    const double n = std::floor(scene->rate_hz * scene->duration_s);
    if (!(n >= 1))
        throw std::runtime_error("attunesim: scene " + name + " is empty at this rate");
    std::vector<float> iq(2 * static_cast<size_t>(n));
    const int rendered = at_scene_render(scene.get(), 1, iq.data(), nullptr);
    if (rendered < 0)
        throw std::runtime_error("attunesim: scene " + name +
                                 " does not render: " + std::strerror(-rendered));
    auto loop = std::make_shared<Loop>();
    store(*loop, cf32, iq.data(), static_cast<size_t>(n));
    return loop;
}

/* Rendering costs seconds: the newest loops are kept while the module lives. */
std::shared_ptr<Loop> find_loop(const Kwargs &args, double rate, bool cf32)
{
    static auto &lock = *new std::mutex;
    static auto &cache = *new std::vector<std::pair<std::string, std::shared_ptr<Loop>>>;
    const std::string file = get(args, "file", ""), scene = get(args, "scene", "demo");
    const std::string key = file + "|" + scene + "|" + get(args, "seed", "") + "|" +
                            get(args, "duration", "") + "|" + get(args, "format", "") + "|" +
                            std::to_string(rate) + (cf32 ? "f" : "s");
    std::lock_guard<std::mutex> hold(lock);
    for (const auto &entry : cache)
        if (entry.first == key)
            return entry.second;
    auto loop = !file.empty()     ? read_file(file, get(args, "format", ""), cf32)
                : scene == "tone" ? render_tone(cf32)
                                  : render_scene(args, rate, cf32);
    if (cache.size() >= 4)
        cache.erase(cache.begin());
    cache.emplace_back(key, loop);
    return loop;
}

/* ---- what outlives a device: whether it is plugged in, and how often it has failed ---- */

struct Socket {
    Clock::time_point gone_until{};
    long faults = 0;
};

/* Never destroyed: a thread that hangs in a read may outlive the process's exit handlers. */
auto &sockets_lock = *new std::mutex;
auto &sockets = *new std::map<std::string, Socket>;

bool plugged_in(const std::string &serial)
{
    std::lock_guard<std::mutex> hold(sockets_lock);
    return Clock::now() >= sockets[serial].gone_until;
}

Clock::duration seconds(double s)
{
    return std::chrono::nanoseconds(static_cast<int64_t>(s * 1e9));
}

class Sim : public SoapySDR::Device
{
    const Kwargs args;
    const std::string serial, fault, native;
    const long after, every, times;
    const long long lose;
    const double back;
    const bool has_time, counts;
    double rate = 2.4e6, freq = 100e6;
    bool cf32 = false;
    std::shared_ptr<Loop> loop;
    long long n = 0; /* number of the next sample since activate */
    long reads = 0;
    Clock::time_point began, silent_until{};

    double back_or_ever() const
    {
        return back > 0 ? back : 1e9;
    }

    /* Is this read the one that fails? */
    bool strikes()
    {
        reads++;
        if (fault.empty() || (every > 0 ? reads % every != 0 : reads != after))
            return false;
        std::lock_guard<std::mutex> hold(sockets_lock);
        long &done = sockets[serial].faults;
        return times == 0 || done < times ? (done++, true) : false;
    }

    Clock::time_point when(long long sample) const
    {
        return began + seconds(static_cast<double>(sample) / rate);
    }

    void hang(const char *name) const
    {
        if (fault == name)
            std::this_thread::sleep_for(seconds(back > 0 ? back : 3600));
    }

    void fill(void *out, size_t m) const
    {
        if (counts) {
            auto *p = static_cast<int16_t *>(out);
            for (size_t i = 0; i < m; i++) {
                p[2 * i] = static_cast<int16_t>((n + static_cast<long long>(i)) & 0x7fff);
                p[2 * i + 1] =
                    static_cast<int16_t>(((n + static_cast<long long>(i)) >> 15) & 0x7fff);
            }
            return;
        }
        const size_t bytes = cf32 ? 8 : 4, length = loop->size() / bytes;
        size_t at = static_cast<size_t>(n) % length;
        for (size_t done = 0; done < m; at = 0) {
            const size_t k = std::min(m - done, length - at);
            std::memcpy(static_cast<char *>(out) + done * bytes, &(*loop)[at * bytes], k * bytes);
            done += k;
        }
    }

    void stamp(int &flags, long long &time_ns) const
    {
        if (!has_time)
            return;
        flags |= SOAPY_SDR_HAS_TIME;
        time_ns = SoapySDR::ticksToTimeNs(n, rate);
    }

    /* A fault without samples: its return code; 0: the samples come all the same. */
    int strike(size_t m, Clock::time_point deadline, int &flags, long long &time_ns)
    {
        if (fault == "overflow") {
            n += lose;
            stamp(flags, time_ns);
            return SOAPY_SDR_OVERFLOW;
        }
        if (fault == "gap")
            n += lose;
        if (fault == "corrupt") {
            n += static_cast<long long>(m);
            return SOAPY_SDR_CORRUPTION;
        }
        if (fault == "throw")
            throw std::runtime_error("attunesim: injected");
        if (fault == "abort")
            std::abort();
        hang("hang");
        if (fault == "timeout" || fault == "unplug")
            silent_until = Clock::now() + seconds(fault == "unplug" ? 1e9 : back_or_ever());
        if (fault == "unplug") {
            std::lock_guard<std::mutex> hold(sockets_lock);
            sockets[serial].gone_until = Clock::now() + seconds(back_or_ever());
        }
        return silence(deadline) ? SOAPY_SDR_TIMEOUT : 0;
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
        n = std::max(n, due());
        return false;
    }

    long long due() const
    {
        return static_cast<long long>(std::chrono::duration<double>(Clock::now() - began).count() *
                                      rate);
    }

  public:
    explicit Sim(const Kwargs &a)
        : args(a), serial(get(a, "serial", "SIM0")), fault(get(a, "fault", "")),
          native(get(a, "native", "CS16")), after(std::lround(get_number(a, "after", 50))),
          every(std::lround(get_number(a, "every", 0))),
          times(std::lround(get_number(a, "times", 0))),
          lose(std::llround(get_number(a, "lose", 10000))), back(get_number(a, "back", 0)),
          has_time(get_number(a, "time", 1) != 0), counts(get(a, "scene", "") == "count")
    {
        if (!plugged_in(serial))
            throw std::runtime_error("attunesim: no device with serial " + serial);
    }

    std::string getDriverKey() const override
    {
        return "attunesim";
    }
    std::string getHardwareKey() const override
    {
        return "attunesim";
    }
    size_t getNumChannels(const int direction) const override
    {
        return direction == SOAPY_SDR_RX ? 1 : 0;
    }
    std::vector<std::string> listAntennas(const int, const size_t) const override
    {
        return {"RX"};
    }
    void setAntenna(const int, const size_t, const std::string &name) override
    {
        if (name != "RX")
            throw std::runtime_error("attunesim: no antenna " + name + ", only RX");
    }

    void setSampleRate(const int, const size_t, const double r) override
    {
        if (!(r >= kRateMin) || r > kRateMax)
            throw std::runtime_error("attunesim: rates from 8 kS/s to 250 MS/s");
        rate = get_number(args, "wrong_rate", r);
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
        freq = f;
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
    SoapySDR::Stream *setupStream(const int direction, const std::string &format,
                                  const std::vector<size_t> &, const Kwargs &) override
    {
        if (direction != SOAPY_SDR_RX || (format != SOAPY_SDR_CF32 && format != SOAPY_SDR_CS16))
            throw std::runtime_error("attunesim: CS16 or CF32, receiving only");
        cf32 = format == SOAPY_SDR_CF32;
        if (counts && cf32)
            throw std::runtime_error("attunesim: scene=count is CS16");
        return reinterpret_cast<SoapySDR::Stream *>(this);
    }
    void closeStream(SoapySDR::Stream *) override
    {
    }
    size_t getStreamMTU(SoapySDR::Stream *) const override
    {
        return static_cast<size_t>(rate * kBlockSeconds) / 16 * 16 + 16;
    }
    int activateStream(SoapySDR::Stream *, const int, const long long, const size_t) override
    {
        hang("hang-activate");
        if (!counts)
            loop = find_loop(args, rate, cf32);
        n = 0;
        reads = 0;
        silent_until = {};
        began = Clock::now();
        return 0;
    }
    int deactivateStream(SoapySDR::Stream *, const int, const long long) override
    {
        hang("hang-deactivate");
        return 0;
    }

    int readStream(SoapySDR::Stream *stream, void *const *buffs, const size_t want, int &flags,
                   long long &time_ns, const long timeout_us) override
    {
        const auto deadline = Clock::now() + std::chrono::microseconds(timeout_us);
        const size_t m = std::min(want, getStreamMTU(stream));
        if (silence(deadline))
            return SOAPY_SDR_TIMEOUT;
        const bool struck = strikes();
        const int code = struck ? strike(m, deadline, flags, time_ns) : 0;
        if (code != 0)
            return code;
        const auto ready = when(n + static_cast<long long>(m));
        std::this_thread::sleep_until(std::min(ready, deadline));
        if (ready > deadline) {
            reads -= struck ? 0 : 1; /* nothing was read: the next call is this one again */
            return SOAPY_SDR_TIMEOUT;
        }
        if (due() - n >
            static_cast<long long>(rate * kBufferSeconds)) { /* the reader was away for too long */
            n = due();
            stamp(flags, time_ns);
            return SOAPY_SDR_OVERFLOW;
        }
        fill(buffs[0], m);
        if (struck && fault == "nan" && cf32 && m >= 3) {
            auto *p = static_cast<float *>(buffs[0]);
            p[0] = std::numeric_limits<float>::quiet_NaN();
            p[3] = std::numeric_limits<float>::infinity();
            p[4] = -1e38f;
        }
        stamp(flags, time_ns);
        n += static_cast<long long>(m);
        return struck && fault == "overlong" ? static_cast<int>(want) + 4096 : static_cast<int>(m);
    }
};

SoapySDR::KwargsList find(const Kwargs &args)
{
    const std::string serial = get(args, "serial", "SIM0");
    if (!plugged_in(serial))
        return {};
    return {{{"label", "attune simulated receiver"}, {"serial", serial}}};
}

SoapySDR::Device *make(const Kwargs &args)
{
    return new Sim(args);
}

SoapySDR::Registry registration("attunesim", &find, &make, SOAPY_SDR_ABI_VERSION);

} // namespace
