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
constexpr double kFullScale = 32767;

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

} // namespace

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

} // namespace sim
