// SPDX-License-Identifier: MIT
//
// From a user's config to settings that can be used as they are.
#pragma once

#include <rt/runtime.h>

#include <string>
#include <string_view>
#include <vector>

namespace rt::engine {

struct resolved_config {
    config settings;
    std::vector<std::string> faults;            // everything that is wrong, each with what to do
    std::string_view cpus_from = "config.cpus"; // or the variable, if that has said it
};

// Applies the LIBRT_* variables to `wanted` and checks every field.
resolved_config resolve(const config& wanted);

} // namespace rt::engine
