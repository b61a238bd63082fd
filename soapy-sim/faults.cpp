/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "soapy-sim/faults.hpp"

#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <stdexcept>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>

namespace sim
{

std::string get(const SoapySDR::Kwargs &args, const char *key, const char *fallback)
{
    const auto it = args.find(key);
    return it == args.end() ? fallback : it->second;
}

double number(const std::string &key, const std::string &text)
{
    char *end;
    const double x = std::strtod(text.c_str(), &end);
    if (text.empty() || *end || !std::isfinite(x))
        throw std::runtime_error("attunesim: " + key + "=" + text + " is no number");
    return x;
}

double get_number(const SoapySDR::Kwargs &args, const char *key, double fallback)
{
    const std::string text = get(args, key, "");
    return text.empty() ? fallback : number(key, text);
}

static attunesim_counts *map_counts(const std::string &path)
{
    void *memory = MAP_FAILED;
    const size_t size = sizeof(attunesim_counts);
    if (path.empty()) {
        memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    } else {
        const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0 && ftruncate(fd, static_cast<off_t>(size)) == 0)
            memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (fd >= 0)
            close(fd);
    }
    if (memory == MAP_FAILED)
        throw std::runtime_error("attunesim: counts=" + path + " cannot be opened");
    auto *counts = static_cast<attunesim_counts *>(memory);
    counts->magic = ATTUNESIM_MAGIC;
    return counts;
}

attunesim_counts *open_counts(const std::string &path)
{
    static auto &lock = *new std::mutex;
    static auto &open = *new std::map<std::string, attunesim_counts *>;
    std::lock_guard<std::mutex> hold(lock);
    attunesim_counts *&counts = open[path];
    if (!counts)
        counts = map_counts(path);
    return counts;
}

bool plugged_in(const attunesim_counts &counts)
{
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<uint64_t>(std::chrono::nanoseconds(now).count()) >= counts.gone_until;
}

void sleep_ms(double ms)
{
    for (double left = ms > 0 ? ms : 1e12; left > 0; left -= 1e3)
        std::this_thread::sleep_for(
            std::chrono::microseconds(static_cast<int64_t>(1e3 * std::fmin(left, 1e3))));
}

/* NAME@N[:AMOUNT];NAME@N... */
static std::vector<Step> parse(const std::string &text)
{
    std::vector<Step> script;
    for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find(';', at), text.size());
        const std::string one = text.substr(at, end - at);
        const size_t mark = one.find('@'), colon = one.find(':');
        if (mark == std::string::npos)
            throw std::runtime_error("attunesim: script: " + one + ": say NAME@SAMPLES[:AMOUNT]");
        Step s;
        s.name = one.substr(0, mark);
        s.at = static_cast<uint64_t>(
            number("script", one.substr(mark + 1, std::min(colon, one.size()) - mark - 1)));
        s.has_amount = colon != std::string::npos;
        s.amount = s.has_amount ? number("script", one.substr(colon + 1)) : 0;
        script.push_back(s);
        at = end + 1;
    }
    return script;
}

Faults::Faults(const SoapySDR::Kwargs &args, attunesim_counts *c)
    : script(parse(get(args, "script", ""))), repeat(get_number(args, "repeat", 0) != 0),
      bad_lives(static_cast<uint64_t>(get_number(args, "bad_lives", 0))), counts(c)
{
    const std::string bad = get(args, "bad_call", "");
    const size_t first = bad.find(':'), second = bad.find(':', first + 1);
    if (bad.empty())
        return;
    if (first == std::string::npos)
        throw std::runtime_error("attunesim: bad_call=" + bad + ": say CALL:WHAT[:MS]");
    bad_call = bad.substr(0, first);
    bad_what = bad.substr(first + 1, std::min(second, bad.size()) - first - 1);
    if (second != std::string::npos)
        bad_ms = number("bad_call", bad.substr(second + 1));
}

const Step *Faults::next() const
{
    if (script.empty() || (!repeat && counts->steps >= script.size()))
        return nullptr;
    return &script[counts->steps % script.size()];
}

uint64_t Faults::room() const
{
    const Step *s = next();
    return !s ? UINT64_MAX : s->at > counts->since_step ? s->at - counts->since_step : 0;
}

void Faults::handed(uint64_t n)
{
    counts->handed += n;
    counts->since_step += n;
}

void Faults::done()
{
    counts->steps++;
    counts->since_step = 0;
}

void Faults::call(const char *name) const
{
    if (bad_call != name || (bad_lives > 0 && counts->lives > bad_lives))
        return;
    if (bad_what == "hang")
        sleep_ms(bad_ms);
    else if (bad_what == "throw")
        throw std::runtime_error(std::string("attunesim: injected into ") + name);
    else if (bad_what == "abort")
        std::abort();
    else if (bad_what == "crash")
        std::raise(SIGSEGV);
    else
        throw std::runtime_error("attunesim: bad_call: hang, throw, abort or crash");
}

} // namespace sim
