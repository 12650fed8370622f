// SPDX-License-Identifier: MIT
//
// The public faces of a core: runtime, handle, block_on.
//
// Nothing here throws: start() hands the reasons to the inline constructor in the user's program.
// A handle keeps the core's memory, not its workers; what is spawned on a core that is down is
// cancelled by the spawner.
#include "base/assert.h"
#include "runtime/config.h"
#include "runtime/core.h"
#include "runtime/observer.h"
#include "topology/cpu_set.h"

#include <rt/detail/context.h>
#include <rt/runtime.h>

#include <cstdlib>
#include <exception>

#include <sysexits.h>
#include <unistd.h>

namespace rt {

runtime::~runtime() {
    if (is_handed_over_ || core_->is_of_parent()) {
        return;
    }
    if (engine_of_thread() == core_.get()) {
        base::fatal("a runtime is destroyed on one of its own workers: destroy it outside its tasks"
        );
    }
    core_->shut_down();
}

handle runtime::get_handle() const noexcept {
    return handle(core_);
}

std::uint32_t runtime::worker_count() const noexcept {
    return core_->workers().worker_count();
}

std::string runtime::introspection_path() const {
    return core_->settings().introspect ? engine::observer_path() : std::string();
}

handle::handle(std::shared_ptr<engine::core> core) noexcept
    : core_(std::move(core)) {
}

handle handle::try_current() noexcept {
    engine::core* const core = detail::this_thread.runtime;
    return core == nullptr ? handle(nullptr) : handle(core->shared_from_this());
}

handle handle::current() {
    handle found = try_current();
    if (!found) {
        base::fatal("rt::handle::current() outside a runtime: keep the handle of rt::runtime");
    }
    return found;
}

detail::scheduler_base* handle::scheduler() const noexcept {
    core_or_fatal()->check_process();
    return &core_->workers();
}

detail::scheduler_base* handle::scheduler_on(std::uint32_t worker, detail::site at) const noexcept {
    core_or_fatal()->check_process();
    return core_->workers().bound_to_or_fatal(worker, at);
}

engine::core* handle::core_or_fatal() const noexcept {
    if (core_ == nullptr) {
        base::fatal("an empty rt::handle is used: ask it first (operator bool), or take the handle "
                    "of rt::runtime");
    }
    return core_.get();
}

std::uint64_t handle::id() const noexcept {
    return core_or_fatal()->id();
}

const std::string& handle::name() const noexcept {
    return core_or_fatal()->settings().name;
}

std::uint32_t handle::worker_count() const noexcept {
    return core_or_fatal()->workers().worker_count();
}

detail::blocking_target handle::target() const noexcept {
    core_or_fatal()->check_process();
    return {&core_->blocking_pool(), &core_->workers(), core_.get()};
}

enter_guard handle::enter() const {
    static_cast<void>(core_or_fatal());
    return enter_guard(core_);
}

std::string introspection_path() {
    return engine::observer_path();
}

namespace detail {

namespace {

std::string invalid(const std::vector<std::string>& faults) {
    std::string text = "librt: invalid configuration";
    for (const std::string& fault : faults) {
        text += "\n  " + fault;
    }
    return text;
}

} // namespace

started start(const config& wanted) {
    started result;
    engine::resolved_config resolved = engine::resolve(wanted);
    const auto of_cpus = [&](const std::string& fault) {
        return std::string(resolved.cpus_from) + ": " + fault;
    };
    if (!resolved.faults.empty()) {
        // What the workers' start would say: the list is checked for its form before.
        const std::string& cpus = resolved.settings.cpus;
        if (!cpus.empty() && topology::cpu_set::parse(cpus)) {
            if (const std::string fault = scheduler::cpus_fault(cpus); !fault.empty()) {
                resolved.faults.push_back(of_cpus(fault));
            }
        }
        result.fault = invalid(resolved.faults);
        return result;
    }
    try {
        auto made = std::make_shared<engine::core>(resolved.settings);
        const scheduler::start_fault fault = made->start();
        result.code = fault.code;
        if (fault.text.empty()) {
            result.core = std::move(made);
        } else {
            result.fault = fault.code == 0 ? invalid({of_cpus(fault.text)}) : fault.text;
        }
    } catch (const std::bad_alloc&) {
        result.code = ENOMEM;
        result.fault = "librt: out of memory while starting";
    }
    return result;
}

std::unique_ptr<runtime> runtime_or_exit(const config& wanted) {
    std::string reason;
    try {
        return std::make_unique<runtime>(wanted);
    } catch (const std::exception& error) {
        reason = error.what();
    }
    reason += '\n';
    static_cast<void>(!::write(STDERR_FILENO, reason.data(), reason.size()));
    std::exit(EX_CONFIG);
}

void run_root(engine::core& core, const join_handle_base& root) noexcept {
    core.workers().run_root(root);
}

std::exception_ptr unhandled_of(engine::core& core, const join_handle_base& root) noexcept {
    // Ended, and so the outcome is ours to read.
    return root.header()->ended == outcome::cancelled ? core.workers().unhandled() : nullptr;
}

scheduler_base* scheduler_of(engine::core& core) noexcept {
    core.check_process();
    return &core.workers();
}

void forbid_nested_block_on(site at) noexcept {
    if (this_thread.task != nullptr) {
        base::fatal(
            "block_on inside a task, at %s:%u, would stop its worker: co_await the task instead",
            at.file_name(),
            static_cast<unsigned>(at.line())
        );
    }
}

} // namespace detail
} // namespace rt
