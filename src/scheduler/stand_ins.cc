// SPDX-License-Identifier: MIT
//
// The threads of stand-ins: made when one is wanted and none rests, and kept until the pool ends.
//
// What a stand-in does is in in_place.cc, when the watchdog calls one in watchdog.h. Each has a
// number, which is its index after those of the workers and part of its thread's name. One whose
// thread cannot have a driver (no descriptors, no memory that may be locked) ends again, and its
// number is used for the next that is wanted: a shortage that passes must not use them up.
//
// Threads: make_stand_in by any worker and by the watchdog, under stand_in_lock; the others by the
// owner of the pool and by who leads its end.
#include "base/log.h"
#include "memory/frame_pool.h"
#include "scheduler/pool_state.h"
#include "scheduler/worker.h"

#include <rt/hooks.h>

#include <algorithm>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rt::scheduler {
namespace {

// A shortage lasts, and each worker that goes away asks.
constinit base::log_limit no_driver;
constinit base::log_limit no_memory;
constinit base::log_limit no_thread;

void report(base::log_limit& limit, const char* why) noexcept {
    base::log_seldom(
        limit, base::log_level::warning, "no stand-in for a worker that is away or held: %s", why
    );
}

// The thread of a stand-in.
void stand_in_main(pool_state& pool, worker& self) {
    const auto workers = static_cast<std::uint32_t>(pool.workers.size());
    const std::uint32_t number = self.index - workers;
    const std::string name = pool.settings.name + "-s" + std::to_string(number);
    prepare_thread(pool, name, pool.stand_in_cpus, self.node);
    if (const result<void> attached = self.attach(); !attached) {
        report(no_driver, attached.error().message().c_str());
        pool.give_up_stand_in(number);
        return;
    }
    self.enter();
    pool.stand_ins[number].store_release(&self); // pairs with pool_state::find
    if (pool.hooks != nullptr) {
        detail::call_hook(pool.hooks->on_thread_start, detail::hook_kind::thread_start);
    }
    self.stand_in();
    self.leave();
    self.tid.store_relaxed(0); // as a worker's
    if (pool.hooks != nullptr) {
        detail::call_hook(pool.hooks->on_thread_stop, detail::hook_kind::thread_stop);
    }
    memory::flush_thread();
}

} // namespace

void pool_state::give_up_stand_in(std::uint32_t number) noexcept {
    const base::guard hold(stand_in_lock);
    stand_ins_given_up.push_back(number); // there is room
    sleepers.give_up_making();
}

void pool_state::make_stand_in(const worker& near) noexcept {
    const base::guard hold(stand_in_lock);
    const bool is_reused = !stand_ins_given_up.empty();
    const std::uint32_t number =
        is_reused ? stand_ins_given_up.back() : stand_in_count.load_relaxed();
    if (number == std::min(stand_ins_max, settings.blocking_threads_max)) {
        sleepers.give_up_making();
        return;
    }
    if (is_reused) {
        stand_ins_given_up.pop_back();
        if (stand_in_threads[number]) {
            stand_in_threads[number]->join(); // it has nothing left to do
            stand_in_threads[number].reset();
        }
    } else if (!add_stand_in(number, near.node)) {
        report(no_memory, "out of memory");
        sleepers.give_up_making();
        return;
    }
    auto thread = base::thread::start(stack_bytes(), [this, &self = *stand_in_workers[number]] {
        stand_in_main(*this, self);
    });
    if (!thread) {
        report(no_thread, thread.error().message().c_str());
        stand_ins_given_up.push_back(number);
        sleepers.give_up_making();
        return;
    }
    stand_in_threads[number].emplace(std::move(*thread));
    if (!is_watchdog_over) {
        dog.start(*this);
    }
}

// False: memory is exhausted; nothing has changed.
bool pool_state::add_stand_in(std::uint32_t number, std::uint32_t node) noexcept {
    try {
        const auto first = static_cast<std::uint32_t>(workers.size());
        auto made = std::make_unique<worker>(*this, first + number, node);
        steal_group everybody;
        for (std::uint32_t i = 0; i < first; ++i) {
            everybody.workers.push_back(i);
        }
        made->victims.push_back(std::move(everybody));
        stand_ins_given_up.reserve(number + 1);
        stand_in_workers.reserve(number + 1);
        stand_in_threads.resize(number + 1);
        stand_in_workers.push_back(std::move(made));
    } catch (const std::bad_alloc&) {
        return false;
    }
    stand_in_count.store_release(number + 1);
    return true;
}

void pool_state::wake_stand_ins() noexcept {
    for (auto i = static_cast<std::uint32_t>(workers.size()); i < index_end(); ++i) {
        if (worker* const each = find(i)) {
            each->unpark();
        }
    }
}

void pool_state::join_stand_ins() noexcept {
    // No task is left that could have another one made.
    std::vector<std::optional<base::thread>> threads;
    {
        const base::guard hold(stand_in_lock);
        threads = std::move(stand_in_threads);
    }
    for (std::optional<base::thread>& thread : threads) {
        if (thread) {
            thread->join();
        }
    }
}

} // namespace rt::scheduler
