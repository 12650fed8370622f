// SPDX-License-Identifier: MIT
//
// A runtime for tests that walk over its tasks themselves, without a socket: a core that is put on
// the observed list as long as the object lives, and by nobody else. Walks may be on any thread,
// beside the workers.
#pragma once

#include "introspect/observed.h"
#include "runtime/core.h"
#include "support/test.h"

#include <rt/detail/promise.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/task.h>

#include <cstdint>
#include <memory>
#include <utility>

namespace rt::introspect {

inline constexpr std::uint64_t no_deadline = UINT64_MAX;

// A core that only its test observes; of flavor::current_thread if it has 0 workers.
class observed_core {
public:
    explicit observed_core(std::uint32_t workers = 2)
        : core_(std::make_shared<rt::engine::core>(settings(workers))) {
        cr_assert(core_->start().text.empty());
        observed().add(*core_);
    }
    ~observed_core() {
        observed().remove(*core_);
        core_->shut_down();
    }
    template<class T>
    void spawn(rt::task<T> body) {
        rt::detail::launch(
            rt::detail::scheduler_of(*core_), std::move(body), rt::detail::site::current()
        )
            .detach();
    }

    rt::join_handle<void> spawn_joinable(rt::task<void> body) {
        return rt::detail::launch(
            rt::detail::scheduler_of(*core_), std::move(body), rt::detail::site::current()
        );
    }

    void block_on(rt::task<void> body) {
        rt::detail::block_on(*core_, std::move(body), rt::detail::site::current());
    }

    rt::engine::core& core() { return *core_; }

    rt::detail::scheduler_base* bound_to(std::uint32_t worker) {
        return core_->workers().bound_to_or_fatal(worker, rt::detail::site::current());
    }

private:
    static rt::config settings(std::uint32_t workers) {
        rt::config made;
        made.flavor = workers == 0 ? rt::flavor::current_thread : rt::flavor::multi_thread;
        made.workers = workers;
        made.pin = rt::pin_mode::none;
        made.introspect = false;
        made.relief_threads = 0; // what is queued behind held workers stays there
        return made;
    }

    std::shared_ptr<rt::engine::core> core_;
};

} // namespace rt::introspect
