// SPDX-License-Identifier: MIT
//
// The protocol is in roster.h. Here each change of the numbers under the lock ends in publish(),
// which says to submitters whether they need to take it.
//
// Threads: submitters call after_push, begin_start and end_start; a thread of the pool the rest,
// and those too when it sends for another one. Nothing is called out to under the lock, except that
// close() wakes sleepers under it.
// Orders: what the lock guards is read and written relaxed where it is atomic; so are the sizes of
// the queues. The two fences are named where they stand, each with its partner.
#include "blocking/roster.h"

#include "base/arch.h"
#include "base/assert.h"
#include "base/clock.h"
#include "blocking/thread_calls.h"

#include <utility>

namespace rt::offload {
namespace {

// How often a submitter looks at the word while somebody else has the lock, before it waits for the
// lock: longer than it is held.
constexpr unsigned looks_max = 64;

} // namespace

void roster::push_idle(member& self) noexcept {
    RT_ASSERT(!self.is_claimed);
    self.above = nullptr;
    self.below = idle_top_;
    if (idle_top_ != nullptr) {
        idle_top_->above = &self;
    }
    idle_top_ = &self;
    ++idle_;
}

void roster::unlink_idle(member& self) noexcept {
    RT_ASSERT(idle_ != 0);
    (self.above == nullptr ? idle_top_ : self.above->below) = self.below;
    if (self.below != nullptr) {
        self.below->above = self.above;
    }
    --idle_;
}

bool roster::can_start() const noexcept {
    return !is_starting_ && threads_.load_relaxed() < threads_max_;
}

// One that has been made, has done what there was and has left, all before its maker was done, may
// be the one that counts here: then there is none.
bool roster::is_making_the_only_thread() const noexcept {
    return is_starting_ && threads_.load_relaxed() <= 1;
}

// After each change of the numbers. Who makes the word true looks at the queues afterwards.
void roster::publish() noexcept {
    const bool can_call = coming_ < coming_max && (idle_top_ != nullptr || can_start());
    const bool is_possible = can_call || is_making_the_only_thread();
    if (is_possible == is_call_possible_.load_relaxed()) {
        return;
    }
    is_call_possible_.store_relaxed(is_possible); // relaxed: the fence orders it
    if (is_possible) {
        fence_seq_cst(); // pairs with after_push's
    }
}

void roster::call(member& one, errand& left) noexcept {
    // release: pairs with the acquire in wait_for_call. Under the lock, because without it the
    // member may go.
    if (one.signal.exchange_acq_rel(call_word::called) == call_word::asleep) {
        left.sleeper = &one.signal;
    }
}

// Rule R.
roster::errand roster::summon(std::uint32_t shard) noexcept {
    errand left;
    if (coming_ == coming_max || !jobs_.has_more_than(coming_, shard)) {
        return left;
    }
    if (member* const sleeper = idle_top_) {
        unlink_idle(*sleeper);
        sleeper->is_claimed = true;
        ++coming_;
        publish();
        call(*sleeper, left);
    } else {
        left.is_start = can_start();
    }
    return left;
}

roster::errand roster::after_push(std::uint32_t shard) noexcept {
    fence_seq_cst(); // pairs with publish's
    // While others have the lock the word may become false, and then there is nothing to do.
    for (unsigned tries = 0;; ++tries) {
        if (!is_call_possible_.load_relaxed()) { // relaxed: the fence orders it
            return {};
        }
        if (lock_.try_lock()) {
            break;
        }
        if (tries == looks_max) {
            lock_.lock();
            break;
        }
        base::cpu::relax();
    }
    errand left = summon(shard);
    // If the only thread cannot be made, nobody has this job: whoever makes it has to be waited
    // for.
    left.is_start = left.is_start || is_making_the_only_thread();
    lock_.unlock();
    return left;
}

roster::errand roster::after_arrival() noexcept {
    if (jobs_.is_empty()) { // after the fence of the publish in arrive or rest
        return {};
    }
    const guard hold(lock_);
    return summon(0);
}

roster::errand roster::begin_start() noexcept {
    const guard hold(lock_);
    // Somebody may have become idle, and the job may have been run.
    const errand left = summon(0);
    if (left.is_start) {
        ++coming_;
        threads_.add_relaxed(1);
        is_starting_ = true;
        publish();
    }
    return left;
}

bool roster::end_start(bool is_made, const job_shards::ticket& job, errand& left) noexcept {
    base::guard<base::futex_lock> hold(lock_);
    is_starting_ = false;
    if (is_made) {
        publish();
        if (coming_ == 0) {
            left = summon(job.shard); // for what came after the thread's own look
        }
        return false;
    }
    --coming_;
    const bool is_last = threads_.sub_relaxed(1) == 1;
    publish();
    bool is_taken = false;
    if (is_last) {
        is_taken = jobs_.take(job);
    } else {
        left = summon(job.shard); // what came meanwhile relied on that thread
        left.is_start = false;    // which would fail again; those that there are will do it
    }
    hold.unlock();
    if (is_last) {
        futex_wake(&threads_);
    }
    return is_taken;
}

void roster::arrive() noexcept {
    const guard hold(lock_);
    RT_ASSERT(coming_ != 0);
    --coming_;
    publish();
}

bool roster::rest(member& self, std::uint64_t keep_alive_ns, member*& before) noexcept {
    bool is_late = false;
    lock_.lock();
    if (is_closed_ && !jobs_.is_empty()) {
        lock_.unlock();
        return true; // and never to sleep: close() calls nobody again
    }
    if (!is_closed_) {
        self.signal.store_relaxed(call_word::listening); // relaxed: published by the lock
        push_idle(self);
        publish();
        lock_.unlock();
        if (jobs_.is_empty()) {
            is_late = !wait_for_call(self.signal, keep_alive_ns);
        }
        lock_.lock();
        if (self.is_claimed) { // its caller has unlinked it
            self.is_claimed = false;
            RT_ASSERT(coming_ != 0);
            --coming_;
            publish();
            lock_.unlock();
            return true;
        }
        unlink_idle(self);
        if (!jobs_.is_empty() || !(is_late || is_closed_)) {
            publish();
            lock_.unlock();
            return true;
        }
    }
    before = std::exchange(exited_, &self);
    const bool is_last = threads_.sub_relaxed(1) == 1;
    publish();
    lock_.unlock();
    if (is_last) {
        futex_wake(&threads_);
    }
    return false;
}

void roster::close() noexcept {
    const guard hold(lock_);
    is_closed_ = true;
    for (member* one = idle_top_; one != nullptr; one = one->below) {
        errand left;
        call(*one, left);
        if (left.sleeper != nullptr) {
            futex_wake(left.sleeper); // at the end of a runtime, under the lock: it keeps the list
        }
    }
}

bool roster::is_over() const noexcept {
    const guard hold(lock_);
    return threads_.load_relaxed() == 0 && jobs_.is_empty();
}

bool roster::has_threads() const noexcept {
    const guard hold(lock_);
    return threads_.load_relaxed() != 0;
}

void roster::wait_for_leaver() const noexcept {
    const std::uint32_t seen = threads_.load_relaxed(); // relaxed: only to be compared
    if (seen != 0) {
        futex_wait_until(threads_, seen, base::monotonic_ns() + base::ns_per_second);
    }
}

roster::member* roster::take_exited() noexcept {
    const guard hold(lock_);
    return std::exchange(exited_, nullptr);
}

headcount roster::read() const noexcept {
    const guard hold(lock_);
    return {threads_.load_relaxed(), idle_};
}

} // namespace rt::offload
