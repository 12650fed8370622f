// SPDX-License-Identifier: MIT
//
// Guards that make a runtime the calling thread's. They change what rt::spawn and its relatives
// look at in the thread's context, and leave its worker, task and driver alone.
//
// The guards of a thread are a list, the innermost first. Whoever wants to know whose thread it is
// by nature (is it one that a runtime's end waits for?) looks at what it was outside all of them.
#include "base/assert.h"
#include "blocking/pool.h"
#include "runtime/core.h"

#include <rt/detail/context.h>
#include <rt/enter.h>

#include <utility>

namespace rt {

using detail::this_thread;

namespace {

constinit thread_local enter_guard* innermost = nullptr;

} // namespace

enter_guard::enter_guard(std::shared_ptr<engine::core> core) noexcept
    : core_(std::move(core))
    , outer_(innermost)
    , former_runtime_(this_thread.runtime)
    , former_scheduler_(this_thread.scheduler)
    , former_pool_(offload::current_pool()) {
    RT_ASSERT(core_ != nullptr);
    core_->check_process();
    if (this_thread.task != nullptr) {
        base::fatal("rt::handle::enter inside a task, which may go on in another thread: "
                    "use rt::handle::spawn");
    }
    innermost = this;
    this_thread.runtime = core_.get();
    this_thread.scheduler = &core_->workers();
    offload::set_current_pool(&core_->blocking_pool());
}

enter_guard::~enter_guard() {
    if (innermost != this) {
        base::fatal("a guard of rt::handle::enter is destroyed before one that was made later, or "
                    "on another thread");
    }
    innermost = outer_;
    this_thread.runtime = former_runtime_;
    this_thread.scheduler = former_scheduler_;
    offload::set_current_pool(former_pool_);
}

engine::core* engine_of_thread() noexcept {
    engine::core* found = this_thread.runtime;
    for (const enter_guard* each = innermost; each != nullptr; each = each->outer_) {
        found = each->former_runtime_;
    }
    return found;
}

} // namespace rt
