/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "soapy-sim/loop.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <stdexcept>

#include "lib/synth/synth.h"
#include "soapy-sim/faults.hpp"
extern "C" {
#include "lib/source/convert.h"
#include "lib/source/iqname.h"
}

using SoapySDR::Kwargs;

namespace sim
{

namespace
{

constexpr double kLoopSamplesMax = 24e6; /* 96 MB as CS16 */
constexpr size_t kFileBytesMax = 256u << 20;
constexpr size_t kCacheBytesMax = 512u << 20;
constexpr double kFullScale = 32767;
constexpr long long kToneSamples = 8192;
constexpr double kInView = 0.45; /* of the rate: emissions farther out than this are left out */
constexpr double kCarrierSnrDb = 50;

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

/* shift: of the tone's scene against the receiver's centre, Hz. */
std::shared_ptr<Loop> render_tone(double shift, double rate, bool cf32)
{
    auto loop = std::make_shared<Loop>();
    std::vector<float> iq(2 * kToneSamples);
    const double turns = 0.125 + shift / rate;
    const auto step = std::llround(turns * kToneSamples);
    for (long long i = 0; i < kToneSamples && std::fabs(turns) < 0.5; i++) {
        const double turn = static_cast<double>(i * step % kToneSamples) / kToneSamples;
        iq[2 * i] = static_cast<float>(0.5 * std::cos(2 * M_PI * turn));
        iq[2 * i + 1] = static_cast<float>(0.5 * std::sin(2 * M_PI * turn));
    }
    store(*loop, cf32, iq.data(), kToneSamples);
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

/* Moves the scene's emissions; what comes to lie outside the band is gone. */
void move(at_scene &scene, double shift)
{
    size_t kept = 0;
    for (size_t i = 0; i < scene.n_emitters; i++) {
        at_emitter e = scene.emitters[i];
        e.offset_hz += shift;
        if (std::fabs(e.offset_hz) <= kInView * scene.rate_hz)
            scene.emitters[kept++] = e;
    }
    scene.n_emitters = kept;
}

/* A carrier where the tone is, in noise. */
int carrier_scene(double rate, uint64_t seed, at_scene *scene)
{
    const int found = at_scene_named("quiet", rate, seed, scene);
    at_emitter &e = scene->emitters[scene->n_emitters++];
    e.signal.class_id = AT_CLASS_CARRIER;
    e.signal.seed = seed;
    e.signal.clean = 1;
    std::snprintf(e.signal.variant, sizeof e.signal.variant, "carrier_steady");
    e.offset_hz = rate / 8;
    e.snr_db = kCarrierSnrDb;
    return found;
}

std::shared_ptr<Loop> render_scene(const Kwargs &args, const std::string &name, double shift,
                                   double rate, bool cf32)
{
    auto scene = std::make_unique<at_scene>();
    const auto seed = static_cast<uint64_t>(get_number(args, "seed", 1));
    const int found = name == "carrier" ? carrier_scene(rate, seed, scene.get())
                                        : at_scene_named(name.c_str(), rate, seed, scene.get());
    if (found < 0)
        throw std::runtime_error("attunesim: scene " + name + ": " + std::strerror(-found));
    scene->duration_s = get_number(args, "duration", scene->duration_s);
    scene->duration_s = std::min(scene->duration_s, kLoopSamplesMax / scene->rate_hz);
    if (shift != 0)
        move(*scene, shift);
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
std::shared_ptr<Loop> find_loop(const Kwargs &args, const std::string &scene, double shift,
                                double rate, bool cf32)
{
    static auto &lock = *new std::mutex;
    static auto &cache = *new std::vector<std::pair<std::string, std::shared_ptr<Loop>>>;
    const std::string file = get(args, "file", "");
    const std::string key = file + "|" + scene + "|" + get(args, "seed", "") + "|" +
                            get(args, "duration", "") + "|" + get(args, "format", "") + "|" +
                            std::to_string(shift) + "|" + std::to_string(rate) + (cf32 ? "f" : "s");
    std::lock_guard<std::mutex> hold(lock);
    size_t bytes = 0;
    for (const auto &entry : cache) {
        if (entry.first == key)
            return entry.second;
        bytes += entry.second->size();
    }
    auto loop = !file.empty()     ? read_file(file, get(args, "format", ""), cf32)
                : scene == "tone" ? render_tone(shift, rate, cf32)
                                  : render_scene(args, scene, shift, rate, cf32);
    for (bytes += loop->size(); !cache.empty() && bytes > kCacheBytesMax;
         cache.erase(cache.begin()))
        bytes -= cache.front().second->size();
    cache.emplace_back(key, loop);
    return loop;
}

} // namespace

/* NAME[@HZ];NAME[@HZ]... */
Air::Air(const Kwargs &a) : args(a)
{
    const std::string text = get(args, "scene", "demo");
    for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find(';', at), text.size());
        const std::string one = text.substr(at, end - at);
        const size_t mark = one.find('@');
        places.push_back({one.substr(0, mark), NAN});
        if (mark != std::string::npos)
            places.back().center = number("scene", one.substr(mark + 1));
        at = end + 1;
    }
    if (places.empty())
        throw std::runtime_error("attunesim: scene= names nothing; say scene=demo");
}

bool Air::is_count() const
{
    return places.front().scene == "count";
}

void Air::begin(double freq, double rate, bool cf32)
{
    for (Place &p : places) {
        if (std::isnan(p.center))
            p.center = freq;
        find_loop(args, p.scene, 0, rate, cf32);
    }
}

std::shared_ptr<Loop> Air::look(double freq, double rate, bool cf32) const
{
    const auto nearest =
        std::min_element(places.begin(), places.end(), [freq](const Place &a, const Place &b) {
            return std::fabs(a.center - freq) < std::fabs(b.center - freq);
        });
    const double shift = get(args, "file", "").empty() ? nearest->center - freq : 0;
    return find_loop(args, nearest->scene, shift, rate, cf32);
}

} // namespace sim
