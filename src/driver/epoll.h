// SPDX-License-Identifier: MIT
//
// The fallback driver: one epoll instance per worker, for machines where io_uring is refused.
#pragma once

#include "driver/driver.h"

#include <memory>

namespace rt::driver {

// Errors: EMFILE, ENFILE, ENOMEM of epoll_create1 and eventfd.
result<std::unique_ptr<driver>> make_epoll() noexcept;

} // namespace rt::driver
