// SPDX-License-Identifier: MIT
//
// What the parts of a storm share: its totals, the member that acts in it, tokens that are counted,
// joins that are checked, and the ground on which several tasks meet.
//
// A storm is made to be cheap beside what it tests: a member counts in its own frame and adds up
// when it ends, however it ends; whether the storm is over is one flag; a token, which is the proof
// that a frame or a message was destroyed once, costs one addition and one subtraction.
//
// Counted as an operation: a spawn, join, abort, yield, sleep, timeout, select, wait, wake,
// blocking call, message sent, message received, and each section under a lock or a permit. What a
// cancelled task had begun is not counted where it is counted at its end.
#pragma once

#include "base/random.h"
#include "support/test.h"

#include <rt/detail/atomic.h>
#include <rt/join.h>
#include <rt/spawn.h>
#include <rt/task.h>
#include <rt/yield.h>

#include <array>
#include <coroutine>
#include <cstdint>
#include <stdexcept>
#include <utility>

namespace rt::test {

struct planned : std::runtime_error {
    planned()
        : std::runtime_error("as planned") {}
};

// Shared by all tasks of a storm; outlives them.
struct totals {
    alignas(64) atomic<bool> is_over{false}; // read at every step, written once
    std::uint64_t operations_wanted = UINT64_MAX;
    // The runtime ends while the storm blows: tasks are cancelled that nobody has aborted.
    bool is_cut_off = false;

    alignas(64) atomic<std::uint64_t> operations{0};
    atomic<std::uint64_t> joined{0};
    atomic<std::uint64_t> cancelled{0};
    atomic<std::uint64_t> thrown{0};

    alignas(64) atomic<std::int64_t> tokens{0}; // that live

    void add_operations(std::uint64_t more) {
        if (operations.add_relaxed(more) + more >= operations_wanted) {
            is_over.store_relaxed(true);
        }
    }
};

// An assertion where there are millions: those of Criterion count what has passed, too.
inline void require(bool is_so, const char* what) {
    if (!is_so) [[unlikely]] {
        cr_assert_fail("%s", what);
    }
}

// Owned by a frame or a message. Movable; one that was moved from counts for nothing.
class token {
public:
    token() noexcept = default; // counts for nothing
    explicit token(totals* counted) noexcept
        : counted_(counted) {
        counted->tokens.add_relaxed(1);
    }
    token(token&& other) noexcept
        : counted_(std::exchange(other.counted_, nullptr)) {}
    token& operator=(token&& other) noexcept {
        std::swap(counted_, other.counted_);
        return *this;
    }
    ~token() {
        if (counted_ != nullptr) {
            // acq_rel: whoever sees the count at zero comes after the destructors.
            counted_->tokens.sub_acq_rel(1);
        }
    }

private:
    totals* counted_ = nullptr;
};

// A task of the storm that acts at random. Lives in its frame, and belongs to its task.
class actor {
public:
    actor(totals* storm, std::uint64_t seed, std::uint32_t its_depth) noexcept
        : all(storm)
        , random(seed)
        , depth(its_depth) {}
    actor(const actor&) = delete;
    actor& operator=(const actor&) = delete;
    ~actor() {
        add(all->joined, joined);
        add(all->cancelled, cancelled);
        add(all->thrown, thrown);
        if (operations_ != 0) {
            all->add_operations(operations_);
        }
    }

    void count(std::uint64_t more = 1) noexcept { operations_ += more; }
    bool one_in(std::uint32_t many) noexcept { return random.below(many) == 0; }

    totals* const all;
    base::random_source random;
    const std::uint32_t depth;
    std::uint64_t joined = 0;
    std::uint64_t cancelled = 0;
    std::uint64_t thrown = 0;

private:
    static void add(atomic<std::uint64_t>& to, std::uint64_t value) {
        if (value != 0) {
            to.add_relaxed(value);
        }
    }

    std::uint64_t operations_ = 0;
};

// co_await joined(self, handle, seed) joins and checks the answer: a task returns its seed, or was
// cancelled, or threw as planned. An awaiter around that of the library, so that it needs no frame.
// Of the tasks that were cancelled one in 16 says so by an exception, which under a sanitizer costs
// more than all else that a task does.
class joined {
public:
    joined(actor* self, join_handle<std::uint64_t>& child, std::uint64_t seed) noexcept
        : inner_(std::move(child).operator co_await())
        , self_(self)
        , seed_(seed) {}

    bool await_ready() noexcept { return inner_.await_ready(); }
    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> waiter) noexcept {
        return inner_.await_suspend(waiter);
    }
    void await_resume() {
        self_->count();
        if (inner_.handle_.header()->ended == detail::outcome::cancelled && !self_->one_in(16)) {
            ++self_->cancelled;
            return;
        }
        try {
            require(inner_.await_resume() == seed_, "a task returns its seed");
            ++self_->joined;
        } catch (const planned&) {
            ++self_->thrown;
        } catch (const join_error&) {
            ++self_->cancelled;
        }
    }

private:
    decltype(std::declval<join_handle<std::uint64_t>>().operator co_await()) inner_;
    actor* const self_;
    const std::uint64_t seed_;
};

// What several tasks share, each of which may die at any moment: they hold it in a shared_ptr, and
// the last one checks that the counts come out even, in the destructor of the derived class.
class ground {
public:
    explicit ground(actor* maker) noexcept
        : all(maker->all)
        , pause(8U << (3 * maker->random.below(3)))
        , owned_(maker->all) {}
    ground(const ground&) = delete;
    ground& operator=(const ground&) = delete;

    totals* const all;
    const std::uint32_t pause;     // one in so many times a task yields in the middle of something
    atomic<std::uint64_t> done{0}; // operations; see deeds

protected:
    ~ground() { all->add_operations(done.load_relaxed()); }

private:
    const token owned_;
};

// Counts in a frame, and adds up when the frame goes.
class deeds {
public:
    explicit deeds(atomic<std::uint64_t>& to) noexcept
        : to_(to) {}
    deeds(const deeds&) = delete;
    deeds& operator=(const deeds&) = delete;
    ~deeds() {
        if (count != 0) {
            to_.add_relaxed(count);
        }
    }

    std::uint64_t count = 0;

private:
    atomic<std::uint64_t>& to_;
};

/// Starts two to four tasks with `start(index, seed)`, aborts some at random moments, leaves some
/// and joins the others. None is aborted or left when `is_calm`.
template<typename Start>
task<void> race(actor* self, Start start, bool is_calm = false) {
    constexpr std::uint32_t most = 4;
    std::array<join_handle<std::uint64_t>, most> children;
    std::array<std::uint64_t, most> seeds{};
    const std::uint32_t count = 2 + self->random.below(most - 1);
    {
        Start owned = std::move(start); // what the tasks share is theirs alone afterwards
        for (std::uint32_t i = 0; i < count; ++i) {
            seeds[i] = self->random.next();
            children[i] = owned(i, seeds[i]);
        }
    }
    self->count(count);
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint32_t dice = is_calm ? 15 : self->random.below(16);
        if (dice < 4) {
            if (dice < 2) {
                self->count();
                co_await yield();
            }
            self->count();
            children[i].abort();
        }
        if (dice % 4 == 0) {
            children[i].detach();
            continue;
        }
        co_await joined(self, children[i], seeds[i]);
    }
}

// The parts of the mix: each lets some tasks meet once, under aborts, and checks what came of it.
task<void> mutex_storm(actor* self);
task<void> semaphore_storm(actor* self);
task<void> rwlock_storm(actor* self);
task<void> notify_storm(actor* self);
task<void> oneshot_storm(actor* self);
task<void> mpsc_storm(actor* self);
task<void> unbounded_storm(actor* self);
task<void> broadcast_storm(actor* self);
task<void> watch_storm(actor* self);
task<void> join_set_storm(actor* self);
task<void> select_storm(actor* self);
task<void> scope_storm(actor* self);

} // namespace rt::test
