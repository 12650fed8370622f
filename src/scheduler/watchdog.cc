// SPDX-License-Identifier: MIT
//
// The watchdog's thread reads what workers publish and takes no lock of theirs but the wheel's. The
// signal handler touches only its own thread's worker, guarded by flags that this thread alone
// writes (worker::on_kick), and the ring by one system call.
#include "scheduler/watchdog.h"

#include "base/clock.h"
#include "base/log.h"
#include "scheduler/pool_state.h"
#include "scheduler/tuning.h"
#include "topology/affinity.h"

#include <rt/detail/context.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <string>
#include <system_error>

#include <sys/syscall.h>
#include <unistd.h>

namespace rt::scheduler {
namespace {

struct sigaction former_action; // what SIGURG did before; constant once the handler is set

void on_signal(int number, siginfo_t* info, void* interrupted) noexcept {
    const int kept = errno;
    if (worker* const self = detail::this_thread.worker) {
        self->on_kick();
    } else if (driver::driver* const source = detail::this_thread.driver) {
        source->kick(); // in rt::block_in_place
    }
    if ((former_action.sa_flags & SA_SIGINFO) != 0) {
        former_action.sa_sigaction(number, info, interrupted);
    } else if (former_action.sa_handler != SIG_DFL && former_action.sa_handler != SIG_IGN) {
        former_action.sa_handler(number);
    }
    errno = kept;
}

// Once per process; whoever installs a handler later must call ours, as ours calls the former one.
void install_handler() noexcept {
    static const bool is_installed = [] {
        struct sigaction action {};
        action.sa_sigaction = &on_signal;
        action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
        sigemptyset(&action.sa_mask);
        return ::sigaction(SIGURG, &action, &former_action) == 0;
    }();
    static_cast<void>(is_installed);
}

void nap(std::int64_t ns) noexcept {
    const timespec time{ns / 1'000'000'000, ns % 1'000'000'000};
    static_cast<void>(::clock_nanosleep(CLOCK_MONOTONIC, 0, &time, nullptr));
}

// Sends the signal, and gives the handler time. What it misses is found at the next sample.
template<typename Awaited>
void kick(const worker& stuck, Awaited is_awaited) noexcept {
    metrics::count(&metrics::worker_counters::kicks_sent);
    static_cast<void>(::syscall(SYS_tgkill, ::getpid(), stuck.tid.load_relaxed(), SIGURG));
    for (int naps = 0; naps < watchdog_kick_naps; ++naps) {
        nap(watchdog_kick_ns);
        if (!is_awaited()) {
            break;
        }
    }
}

// Whether others take all that is in its ring within a moment.
bool is_emptied(const worker& stuck) noexcept {
    for (int naps = 0; naps < watchdog_kick_naps && !stuck.queue.is_empty(); ++naps) {
        nap(watchdog_kick_ns);
    }
    return stuck.queue.is_empty();
}

} // namespace

bool watchdog::start(pool_state& pool) noexcept {
    if (thread_.joinable()) {
        return true;
    }
    install_handler();
    try {
        turns_.assign(pool.workers.size() + stand_ins_max, {});
        thread_ = std::thread([this, &pool] { run(pool); });
    } catch (const std::exception& error) {
        base::log(
            base::log_level::warning,
            "no thread for the watchdog (%s): a long-running task will delay others",
            error.what()
        );
        return false;
    }
    return true;
}

void watchdog::stop() noexcept {
    if (thread_.joinable()) {
        vigil_.stop();
        thread_.join();
    }
}

void watchdog::run(pool_state& pool) noexcept {
    topology::name_this_thread(pool.settings.name + "-dog");
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    std::uint32_t quiet = 0;
    while (!vigil_.is_over()) {
        nap(watchdog_period_ns);
        quiet = sample(pool) ? 0 : quiet + 1;
        if (quiet == watchdog_quiet_periods) {
            quiet = 0;
            vigil_.rest([&] { return sample(pool); });
        }
    }
}

// One look at every worker. False: all of them sleep.
bool watchdog::sample(pool_state& pool) noexcept {
    bool any_awake = false;
    bool any_free = false;
    bool any_same = false;
    std::uint32_t held = 0;
    for (std::uint32_t i = 0; i < pool.index_end(); ++i) {
        const worker* const found = pool.find(i);
        if (found == nullptr) {
            continue;
        }
        const worker_state state = found->state.load_relaxed();
        seen_turn& seen = turns_[i];
        if (state == worker_state::parked) {
            seen.samples = 0;
            continue;
        }
        any_awake = true;
        const std::uint64_t turn = found->turn.load_relaxed();
        const bool is_same = found->current.load_relaxed() != nullptr && turn == seen.turn;
        seen.samples = is_same ? seen.samples + 1 : 0;
        seen.turn = turn;
        if (is_same) {
            any_same = true;
            pool.is_company_wanted.store_relaxed(pool.settings.relief_threads != 0);
            help(pool, i);
        }
        if (state == worker_state::in_place) {
            continue; // somebody counts in its place
        }
        if (seen.samples < relief_samples) {
            any_free = true;
        } else {
            ++held;
        }
    }
    held += pool.sleepers.unrelieved(); // they are away, and count
    count_reliefs(pool);
    if (held != 0 && !any_free) {
        reinforce(pool);
    }
    if (!any_same) {
        pool.is_company_wanted.store_relaxed(false);
    }
    while (pool.sleepers.reinforcements() > held && pool.sleepers.dismiss()) {
    }
    reinforcements_ = std::min(reinforcements_, pool.sleepers.reinforcements());
    return any_awake;
}

void watchdog::count_reliefs(pool_state& pool) noexcept {
    const std::uint32_t now = pool.sleepers.reinforcements();
    if (now > reinforcements_) {
        metrics::add(&metrics::worker_counters::reliefs, now - reinforcements_);
        reinforcements_ = now;
        until_made_ = 0;
    }
}

// Every worker that is awake is held. Those that are about to wake up are the others' business.
void watchdog::reinforce(pool_state& pool) noexcept {
    if (pool.settings.relief_threads == 0 || pool.phase.load_relaxed() != phase_running) {
        return;
    }
    worker& first = *pool.workers[0];
    if (pool.sleepers.is_lone() && (pool.has_work() || first.has_private())) {
        kick(first, [&] { return pool.sleepers.is_lone(); });
    }
    if (!pool.has_work()) {
        return;
    }
    until_made_ -= until_made_ != 0 ? 1 : 0;
    const idle::relief relief =
        pool.sleepers.reinforce(pool.settings.relief_threads, until_made_ == 0);
    if (relief == idle::relief::wanted) {
        until_made_ = relief_retry_samples;
        pool.make_stand_in(first);
    } else if (relief == idle::relief::found) {
        pool.notify(no_preference); // rule D
    }
}

void watchdog::help(pool_state& pool, std::uint32_t index) noexcept {
    worker& stuck = *pool.find(index);
    stuck.wheel.advance(base::monotonic_ns());
    driver::driver& source = *stuck.driver();
    // As many tasks as the ring has room for become visible by each signal.
    for (int kicks = 0; kicks < watchdog_kicks_max; ++kicks) {
        if (stuck.has_private() || source.needs_kick()) {
            kick(stuck, [&] {
                return source.needs_kick() || (stuck.has_private() && stuck.queue.is_empty());
            });
        }
        source.rescue();
        if (!stuck.queue.is_empty()) {
            pool.notify(no_preference);
        }
        if (!stuck.has_private() || !is_emptied(stuck)) {
            break;
        }
    }
}

} // namespace rt::scheduler
