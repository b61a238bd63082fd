/* What goes wrong, when: the script and the bad calls of attunesim.cpp, and the counts of what was done.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef ATTUNESIM_FAULTS_HPP
#define ATTUNESIM_FAULTS_HPP

#include <SoapySDR/Device.hpp>

#include <string>
#include <vector>

#include "soapy-sim/counts.h"

namespace sim
{

std::string get(const SoapySDR::Kwargs &args, const char *key, const char *fallback);
/* Of key=text; throws where that is no number. */
double number(const std::string &key, const std::string &text);
double get_number(const SoapySDR::Kwargs &args, const char *key, double fallback);

/* The counts of this device: a mapped file, or memory of this process. Lives on after the device. */
attunesim_counts *open_counts(const std::string &path);
bool plugged_in(const attunesim_counts &counts);
void sleep_ms(double ms); /* 0: for ever */

struct Step {
    std::string name;
    uint64_t at = 0; /* samples handed over since the step before */
    double amount = 0;
    bool has_amount = false;
};

class Faults
{
    std::vector<Step> script;
    bool repeat = false;
    std::string bad_call, bad_what;
    double bad_ms = 0;
    uint64_t bad_lives = 0;
    attunesim_counts *counts;

  public:
    Faults(const SoapySDR::Kwargs &args, attunesim_counts *counts);
    /* The step that is next, or NULL. */
    const Step *next() const;
    /* Samples that may be handed over before it strikes; no step: UINT64_MAX. */
    uint64_t room() const;
    void handed(uint64_t n);
    void done();
    /* Does to the call `name` what bad_call= says. */
    void call(const char *name) const;
};

} // namespace sim

#endif
