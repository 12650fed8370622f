// SPDX-License-Identifier: MIT
//
// How a pool starts.
//
// The placement is decided on the calling thread; each worker's thread pins itself, then makes its
// driver, so that its memory is local, and reports. start() waits for all of them: a worker that
// cannot have a driver (EMFILE, ENOMEM) fails the whole pool with its error, after the threads that
// did start have been told to leave.
#include "base/log.h"
#include "memory/frame_pool.h"
#include "scheduler/pool_state.h"
#include "scheduler/scheduler.h"
#include "task/task.h"
#include "topology/affinity.h"
#include "topology/placement.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <expected>
#include <string>
#include <system_error>

namespace rt::scheduler {
namespace {

topology::pin_mode to_pin(rt::pin_mode mode) noexcept {
    switch (mode) {
    case rt::pin_mode::none:
        return topology::pin_mode::none;
    case rt::pin_mode::cpu:
        return topology::pin_mode::cpu;
    case rt::pin_mode::cache:
        return topology::pin_mode::cache_group;
    case rt::pin_mode::node:
        return topology::pin_mode::node;
    case rt::pin_mode::automatic:
        break;
    }
    return topology::pin_mode::automatic;
}

std::expected<topology::placement, std::string> place(const config& settings) {
    topology::placement_request request;
    request.worker_count = settings.workers;
    if (!settings.cpus.empty()) {
        request.cpus = topology::cpu_set::parse(settings.cpus).value();
    }
    request.quota = topology::read_cpu_quota();
    request.pin = to_pin(settings.pin);
    std::shared_ptr<const topology::snapshot> machine = topology::discover();
    if (!machine->problem().empty()) {
        base::log(base::log_level::warning, "%s", machine->problem().c_str());
    }
    return topology::place_workers(std::move(machine), request);
}

std::string describe_refusal(int code) {
    return "librt: cannot start the workers: " + std::generic_category().message(code) +
        " (each needs a thread, a ring or an epoll instance, and an eventfd; see ulimit -n, -u, "
        "-l)";
}

// One of the sources that a seed stands for, by splitmix64's increment; random_source mixes it.
base::random_source source_of(std::uint64_t seed, std::uint64_t number) noexcept {
    return base::random_source(seed + number * 0x9E3779B97F4A7C15U);
}

// The thread of a worker, from pinning to the end.
void worker_main(pool_state& pool, worker& self, std::size_t pin, atomic<std::uint32_t>& ready) {
    const std::string name = pool.settings.name + "-w" + std::to_string(self.index);
    const bool is_pinned = pin < pool.pins.size();
    prepare_thread(pool, name, is_pinned ? pool.pins[pin] : topology::cpu_set(), self.node);
    const result<void> attached = self.attach();
    pool.start_errors[self.index] = attached ? 0 : attached.error().code();
    ready.add_acq_rel(1); // release: the constructor reads start_errors after it
    futex_wake_all(ready);
    if (!attached) {
        return;
    }
    self.enter();
    if (pool.settings.seed != 0) {
        tasks::exchange_order(source_of(pool.settings.seed, 2 * std::uint64_t{self.index} + 1));
    }
    if (pool.hooks != nullptr) {
        detail::call_hook(pool.hooks->on_thread_start, detail::hook_kind::thread_start);
    }
    self.run(pool.phase);
    pool.drain(self);
    self.leave();
    self.tid.store_relaxed(0); // soon the number may be another thread's
    if (pool.hooks != nullptr) {
        detail::call_hook(pool.hooks->on_thread_stop, detail::hook_kind::thread_stop);
    }
    memory::flush_thread();
}

bool has_task_hooks(const rt::hooks& hooks) {
    return hooks.on_task_spawn || hooks.on_before_task_poll || hooks.on_after_task_poll ||
        hooks.on_task_terminate;
}

void make_workers(pool_state& state, const topology::placement& placed) {
    state.may_spin = placed.machine().cpus().size() > 1;
    const std::size_t nodes = std::max<std::size_t>(placed.machine().nodes().size(), 1);
    for (std::size_t node = 0; node < nodes; ++node) {
        state.injected.push_back(std::make_unique<inject_queue>());
    }
    for (std::uint32_t i = 0; i < placed.worker_count(); ++i) {
        const topology::worker_place& at = placed.workers()[i];
        auto made = std::make_unique<worker>(state, i, at.cpu.node);
        for (const topology::steal_group& group : placed.steal_order(i)) {
            made->victims.push_back({static_cast<std::uint32_t>(group.distance), group.workers});
        }
        if (state.settings.seed != 0) {
            made->choose_from(source_of(state.settings.seed, 2 * std::uint64_t{i}));
        }
        state.workers.push_back(std::move(made));
        state.pins.push_back(at.bound_to);
    }
    const bool are_pinned = std::none_of(state.pins.begin(), state.pins.end(), [](const auto& pin) {
        return pin.is_empty();
    });
    if (are_pinned) {
        state.stand_in_cpus = state.settings.cpus.empty()
            ? placed.machine().usable()
            : topology::cpu_set::parse(state.settings.cpus).value();
    }
    if (state.workers.size() == 1) {
        state.workers[0]->be_lone();
        state.sleepers.begin_lone();
    }
}

} // namespace

std::string cpus_fault(const std::string& cpus) {
    config asked;
    asked.cpus = cpus;
    const auto placed = place(asked);
    return placed ? std::string() : placed.error();
}

void prepare_thread(
    pool_state& pool, const std::string& name, const topology::cpu_set& pin, std::uint32_t node
) {
    topology::name_this_thread(name);
    // Signals are for the threads that the program made; workers take only directed ones, whatever
    // the thread that makes them blocks.
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGURG); // the observer's stack samples
    sigdelset(&all, SIGPROF);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);
    if (!pin.is_empty()) {
        if (const auto pinned = topology::pin_this_thread(pin); !pinned) {
            base::log(
                base::log_level::warning,
                "%s is not pinned: %s",
                name.c_str(),
                pinned.error().message().c_str()
            );
        }
    }
    memory::use_node(node);
    offload::set_current_pool(pool.blocking);
}

std::unique_ptr<metrics::histogram>
worker::make_histogram(bool is_wanted, metrics::histogram*& place) {
    if (!is_wanted) {
        return nullptr;
    }
    auto made = std::make_unique<metrics::histogram>();
    place = made.get();
    return made;
}

base::random_source pool_state::next_order() noexcept {
    return source_of(settings.seed, 2 * block_on_count++ + 1);
}

pool::pool() noexcept = default;

// Tasks of this pool have hooks, or something of their turns is measured.
void pool::hook_tasks(const rt::hooks& hooks) noexcept {
    const bool is_measured = state_->settings.schedule_latency;
    this->hooks = &hooks;
    measures_latency = is_measured;
    for (std::uint32_t i = 0; i < state_->bound_count; ++i) {
        state_->bound[i].hooks = &hooks;
        state_->bound[i].measures_latency = is_measured;
    }
}

start_fault pool::start(
    const config& settings,
    driver::kind driver_kind,
    engine::core* owner,
    offload::pool* blocking,
    const rt::hooks& hooks
) {
    const bool is_current = settings.flavor == flavor::current_thread;
    config wanted = settings;
    if (is_current) {
        wanted.workers = 1;
        wanted.pin = rt::pin_mode::none; // the thread is the user's
    }
    const auto placed = place(wanted);
    if (!placed) {
        return {0, placed.error()};
    }
    state_ = std::make_unique<pool_state>(wanted, driver_kind, placed->worker_count());
    pool_state& state = *state_;
    state.facade = this;
    if (hooks.on_thread_start || hooks.on_thread_stop || hooks.on_thread_park ||
        hooks.on_thread_unpark) {
        state.hooks = &hooks;
    }
    if (has_task_hooks(hooks) || settings.poll_histogram || settings.schedule_latency) {
        hook_tasks(hooks);
    }
    state.owner = owner;
    state.blocking = blocking;
    state.placement_reason = std::to_string(placed->worker_count()) +
        " workers: " + placed->count_reason() + "; " + placed->pin_reason();
    make_workers(state, *placed);
    tasks::set_defer([](task_header* task) noexcept {
        if (task->scheduler == detail::this_thread.scheduler) [[likely]] {
            detail::this_thread.worker->defer(task);
        } else if (task->scheduler == &detail::this_thread.worker->bound) {
            detail::this_thread.worker->bound.defer(task);
        } else {
            task->scheduler->schedule_joiner(task); // a branch: its group waits for the driver
        }
    });
    tasks::set_unhandled([](const std::exception_ptr& exception) noexcept {
        worker* const self = detail::this_thread.worker;
        return self == nullptr || self->pool().on_unhandled(exception);
    });
    if (!is_current) {
        return start_threads();
    }
    if (const auto attached = state.workers[0]->attach(); !attached) {
        state.is_down = true;
        return {attached.error().code(), describe_refusal(attached.error().code())};
    }
    if (settings.start_paused) {
        state.clock.pause(state.workers[0]->wheel.next_tick_ns(state.clock.now_ns()));
    }
    return {};
}

start_fault pool::start_threads() {
    pool_state& state = *state_;
    atomic<std::uint32_t> ready{0};
    int failure = 0;
    std::uint32_t started = 0;
    state.threads.reserve(state.workers.size());
    for (std::uint32_t i = 0; i < state.workers.size() && failure == 0; ++i) {
        auto made = base::thread::start(state.stack_bytes(), [&state, i, &ready] {
            worker_main(state, *state.workers[i], i, ready);
        });
        if (made) {
            state.threads.push_back(std::move(*made));
            ++started;
        } else {
            failure = made.error().code();
        }
    }
    // acquire: pairs with worker_main's release; `ready` is not touched by it afterwards but for a
    // wake-up of this address.
    for (std::uint32_t seen = ready.load_acquire(); seen != started; seen = ready.load_acquire()) {
        futex_wait(ready, seen);
    }
    for (const int code : state.start_errors) {
        failure = failure != 0 ? failure : code;
    }
    if (failure == 0) {
        if (state.workers.size() > 1 || state.settings.relief_threads != 0) {
            const base::guard hold(state.stand_in_lock);
            state.dog.start(state);
        }
        return {};
    }
    // Nothing was spawned yet: those that run have only to leave.
    state.abandon_start(started);
    for (base::thread& thread : state.threads) {
        thread.join();
    }
    return {failure, describe_refusal(failure)};
}

} // namespace rt::scheduler
