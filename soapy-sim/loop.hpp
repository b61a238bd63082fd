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

/* The scene or file that args name, at this rate, as CF32 or CS16. Throws where there is none. */
std::shared_ptr<Loop> find_loop(const SoapySDR::Kwargs &args, double rate, bool cf32);

} // namespace sim

#endif
