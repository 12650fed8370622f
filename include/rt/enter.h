// SPDX-License-Identifier: MIT
//
// rt::handle::enter: a thread beside a runtime works for it for a while.
//
//     const auto inside = handle.enter();
//     rt::spawn(refresh).detach();             // and rt::spawn_on, rt::spawn_blocking
//     rt::handle here = rt::handle::current();
//
// For libraries that call rt::spawn and are called by threads that are no workers. It makes no
// worker of the thread: it runs no task, so there is nothing to await in, nor for rt::spawn_local.
#pragma once

#include <rt/detail/config.h>
#include <rt/detail/header.h>

#include <memory>

namespace rt {

namespace engine {
class core;
}
namespace offload {
class pool;
}

/// While it lives, its runtime is the calling thread's. Guards may be nested, of one runtime and of
/// several, and are destroyed on the thread that made them, the last made first; else the program
/// ends with a message. What is spawned when the runtime has ended is cancelled.
class [[RT_API_ATTRIBUTE, nodiscard("the thread is inside while it lives")]] enter_guard {
public:
    enter_guard(const enter_guard&) = delete;
    enter_guard& operator=(const enter_guard&) = delete;
    ~enter_guard();

private:
    friend class handle;
    friend engine::core* engine_of_thread() noexcept;
    explicit enter_guard(std::shared_ptr<engine::core> core) noexcept;

    std::shared_ptr<engine::core> core_;
    enter_guard* outer_;
    // What the thread was before.
    engine::core* former_runtime_;
    detail::scheduler_base* former_scheduler_;
    offload::pool* former_pool_;
};

} // namespace rt
