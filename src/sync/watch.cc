// SPDX-License-Identifier: MIT
//
// Replacing and waiting in watch channels. What guards what is in rt/detail/watch_core.h.
//
// Threads: any. Values are given up outside the lock, because their destructors are user code; a
// reader that still refers to one keeps it.
#include <rt/detail/channel_end.h>
#include <rt/detail/frame.h>
#include <rt/detail/watch_core.h>

#include <new>
#include <utility>

namespace rt::detail {

watch_core* watch_core::create(shared_node* first) noexcept {
    void* const memory = allocate_frame(sizeof(watch_core));
    return memory == nullptr ? nullptr : ::new (memory) watch_core(first);
}

void watch_core::release() noexcept {
    // acq_rel: what every side did comes before the end of the channel.
    if (holds_.sub_acq_rel(1) == 1) {
        this->~watch_core();
        deallocate_frame(this, sizeof(watch_core));
    }
}

void watch_core::drop_sender() noexcept {
    // acq_rel: what the other senders did comes before the end.
    if (senders_.sub_acq_rel(1) != 1) {
        return;
    }
    wake_list ready;
    {
        const sync_guard hold(lock_);
        if (!unwatched_.is_empty()) [[unlikely]] {
            gone_in_use("the last rt::watch::sender");
        }
        version_.or_release(closed); // release: pairs with is_closed
        ready.add_all(changed_);
    }
    ready.wake_all();
    release();
}

void watch_core::add_receiver() noexcept {
    holds_.add_relaxed(1); // relaxed, both: the caller is a sender or a receiver
    receivers_.add_relaxed(1);
}

void watch_core::drop_receiver() noexcept {
    // release: pairs with receivers(). acquire: what the other receivers did comes before the
    // wake-ups, as it does for one who asks.
    if (receivers_.sub_acq_rel(1) == 1) {
        wake_list ready;
        {
            const sync_guard hold(lock_);
            // A sender may have subscribed meanwhile, and who waits since then is not to be woken:
            // the last one of these will come here, too. relaxed: lock_ orders it after what those
            // who wait have seen.
            if (receivers_.load_relaxed() == 0) {
                ready.add_all(unwatched_);
            }
        }
        ready.wake_all();
    }
    release();
}

shared_node* watch_core::current(std::uint64_t& version) noexcept {
    const sync_guard hold(lock_);
    version = version_.load_relaxed() & ~closed; // relaxed: guarded by lock_
    value_->hold();
    return value_;
}

shared_node* watch_core::exchange(shared_node* node, const shared_node* expected) noexcept {
    wake_list ready;
    shared_node* old = nullptr;
    {
        const sync_guard hold(lock_);
        if (expected != nullptr && expected != value_) {
            return nullptr;
        }
        old = std::exchange(value_, node);
        version_.add_release(one_version); // release: pairs with has_changed
        ready.add_all(changed_);
    }
    ready.wake_all();
    return old;
}

const sync_wait_type watch_changed_wait::wait_type{&enroll, &withdraw, wait_kind::channel_receive};

bool watch_changed_wait::enroll(sync_wait* waiter) noexcept {
    auto* const self = static_cast<watch_changed_wait*>(waiter);
    if (self->core() == nullptr) {
        return false;
    }
    const sync_guard hold(self->core()->lock_);
    if (self->is_settled()) {
        return false;
    }
    self->use_.begin();
    self->core()->changed_.push_back(waiter);
    return true;
}

wait_node::cancel_result watch_changed_wait::withdraw(wait_node* node) noexcept {
    auto* const self = static_cast<watch_changed_wait*>(node);
    const sync_guard hold(self->core()->lock_);
    return self->core()->changed_.remove(self) ? cancel_result::detached : cancel_result::in_flight;
}

const sync_wait_type watch_closed_wait::wait_type{&enroll, &withdraw, wait_kind::channel_send};

bool watch_closed_wait::enroll(sync_wait* waiter) noexcept {
    watch_core* const core = static_cast<watch_closed_wait*>(waiter)->core();
    if (core == nullptr) {
        return false;
    }
    const sync_guard hold(core->lock_);
    // The last receiver counts itself out before it takes the lock, so it is seen here or finds us.
    if (core->receivers() == 0) {
        return false;
    }
    core->unwatched_.push_back(waiter);
    return true;
}

wait_node::cancel_result watch_closed_wait::withdraw(wait_node* node) noexcept {
    auto* const self = static_cast<watch_closed_wait*>(node);
    const sync_guard hold(self->core()->lock_);
    return self->core()->unwatched_.remove(self) ? cancel_result::detached
                                                 : cancel_result::in_flight;
}

} // namespace rt::detail
