// SPDX-License-Identifier: MIT
//
// The io_uring driver: one ring per worker.
#pragma once

#include "driver/driver.h"

#include <cstdint>
#include <memory>
#include <string>

namespace rt::driver {

// Errors: what io_uring_setup and eventfd give: ENOSYS, EPERM, ENOMEM, EMFILE.
result<std::unique_ptr<driver>> make_ring(std::uint32_t entries, bool roams) noexcept;

// Tries a ring of `entries` here and now. Empty: it works; otherwise what failed, why that may be
// and what to do about it.
std::string ring_unusable(std::uint32_t entries) noexcept;

} // namespace rt::driver
