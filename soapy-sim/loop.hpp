/* What attunesim plays: a loop of samples in the stream's format.
 * SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef ATTUNESIM_LOOP_HPP
#define ATTUNESIM_LOOP_HPP

#include <SoapySDR/Types.hpp>

#include <memory>
#include <string>
#include <vector>

namespace sim
{

using Loop = std::vector<char>;

/* The scenes that scene= names, each at its place in frequency, or the file of file=, which is at every place. */
class Air
{
    struct Place {
        std::string scene;
        double center; /* NAN: where the receiver was tuned first */
    };
    const SoapySDR::Kwargs args;
    std::vector<Place> places;

  public:
    explicit Air(const SoapySDR::Kwargs &args);
    /* scene=count: samples that say their own number, and no loop. */
    bool is_count() const;
    /* From now on a scene without a place of its own lies around freq, and all scenes are rendered as they look from
     * their own centres, so that tuning to one costs no time. Throws where there is no such scene or file. */
    void begin(double freq, double rate, bool cf32);
    /* What a receiver at freq hears of the scene whose centre is nearest, as CF32 or CS16; after begin(). Emissions that
     * the band's edge would cut are left out. */
    std::shared_ptr<Loop> look(double freq, double rate, bool cf32) const;
};

} // namespace sim

#endif
