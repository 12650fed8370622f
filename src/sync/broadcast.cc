// SPDX-License-Identifier: MIT
//
// The ring of broadcast channels. What guards what is in rt/detail/broadcast_core.h.
//
// Values are destroyed outside the lock, because their destructors are user code: what falls out of
// the ring is collected and given up after it.
#include "base/assert.h"

#include <rt/detail/broadcast_core.h>

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

namespace rt::detail {
namespace {

// Entries that one hold of the lock may step over: a receiver that leaves a long way behind does
// not stop the senders meanwhile.
constexpr std::uint64_t steps_per_lock = 64;

constexpr char broadcast_receiver_text[] = "an rt::broadcast::receiver";

} // namespace

broadcast_core* broadcast_core::create(std::uint64_t capacity) noexcept {
    const std::uint64_t size = std::bit_ceil(std::clamp<std::uint64_t>(capacity, 1, capacity_max));
    auto* const ring = new (std::nothrow) shared_node*[size]();
    if (ring == nullptr) {
        return nullptr;
    }
    auto* const core = new (std::nothrow) broadcast_core(size, ring);
    if (core == nullptr) {
        delete[] ring;
    }
    return core;
}

broadcast_core::~broadcast_core() {
    for (std::uint64_t i = 0; i <= mask_; ++i) {
        if (ring_[i] != nullptr) {
            ring_[i]->unhold();
        }
    }
}

void broadcast_core::release() noexcept {
    // acq_rel: what every side did comes before the end of the channel.
    if (holds_.sub_acq_rel(1) == 1) {
        delete this;
    }
}

void broadcast_core::drop_sender() noexcept {
    // acq_rel: what the other senders sent comes before the end.
    if (senders_.sub_acq_rel(1) != 1) {
        return;
    }
    wake_list ready;
    {
        const sync_guard hold(lock_);
        if (!unheard_.is_empty()) [[unlikely]] {
            gone_in_use("the last rt::broadcast::sender");
        }
        is_closed_.store_release(true); // release: pairs with has_news
        ready.add_all(waiters_);
    }
    ready.wake_all();
    release();
}

std::uint32_t broadcast_core::send(shared_node* node) noexcept {
    wake_list ready;
    shared_node* old = nullptr;
    std::uint32_t reached = 0;
    {
        const sync_guard hold(lock_);
        reached = receivers_;
        if (reached == 0) {
            return 0;
        }
        const std::uint64_t position = tail_.load_relaxed(); // relaxed: guarded by lock_
        old = std::exchange(ring_[position & mask_], node);
        node->unseen = reached;
        tail_.store_release(position + 1); // release: pairs with has_news
        ready.add_all(waiters_);
    }
    ready.wake_all();
    if (old != nullptr) {
        old->unhold();
    }
    return reached;
}

std::uint64_t broadcast_core::subscribe() noexcept {
    holds_.add_relaxed(1); // relaxed: the caller is a sender or a receiver
    const sync_guard hold(lock_);
    ++receivers_;
    return tail_.load_relaxed(); // relaxed: guarded by lock_
}

// One receiver needs the entry no more. Returns it if that was the last, with the ring's hold.
shared_node* broadcast_core::step_over(std::uint64_t position) noexcept {
    shared_node*& entry = ring_[position & mask_];
    RT_ASSERT(entry != nullptr && entry->unseen > 0);
    return --entry->unseen == 0 ? std::exchange(entry, nullptr) : nullptr;
}

void broadcast_core::drop_receiver(std::uint64_t position) noexcept {
    std::uint64_t end = 0;
    bool is_counted = true;
    wake_list ready;
    do {
        shared_node* freed = nullptr;
        {
            const sync_guard hold(lock_);
            const std::uint64_t tail = tail_.load_relaxed(); // relaxed: guarded by lock_
            if (std::exchange(is_counted, false)) {
                if (--receivers_ == 0) {
                    ready.add_all(unheard_);
                }
                end = tail; // what is sent from here on does not count it
            }
            position = std::max(position, tail - std::min(tail, capacity()));
            const std::uint64_t stop = std::min(end, position + steps_per_lock);
            for (; position < stop; ++position) {
                if (shared_node* const node = step_over(position)) {
                    node->next_free = std::exchange(freed, node);
                }
            }
        }
        while (freed != nullptr) {
            std::exchange(freed, freed->next_free)->unhold();
        }
        ready.wake_all();
    } while (position < end);
    release();
}

broadcast_find broadcast_core::receive(std::uint64_t& position) noexcept {
    using kind = broadcast_find::kind;
    const sync_guard hold(lock_);
    const std::uint64_t tail = tail_.load_relaxed(); // relaxed: guarded by lock_
    if (position == tail) {
        return {.what = is_closed_.load_relaxed() ? kind::closed : kind::empty};
    }
    const std::uint64_t oldest = tail - std::min(tail, capacity());
    if (position < oldest) {
        return {.what = kind::lagged, .lost = oldest - std::exchange(position, oldest)};
    }
    shared_node* const node = ring_[position & mask_];
    const bool is_last = step_over(position) != nullptr;
    if (!is_last) {
        node->hold();
    }
    ++position;
    return {.what = kind::value, .is_last = is_last, .node = node};
}

std::uint32_t broadcast_core::receivers() noexcept {
    const sync_guard hold(lock_);
    return receivers_;
}

const sync_wait_type broadcast_wait::wait_type{&enroll, &withdraw, wait_kind::channel_receive};

bool broadcast_wait::enroll(sync_wait* waiter) noexcept {
    auto* const self = static_cast<broadcast_wait*>(waiter);
    broadcast_core* const core = self->core();
    if (core == nullptr) {
        return false;
    }
    const sync_guard hold(core->lock_);
    if (core->has_news(self->position_)) {
        return false;
    }
    self->use_.begin_alone(broadcast_receiver_text);
    core->waiters_.push_back(waiter);
    return true;
}

wait_node::cancel_result broadcast_wait::withdraw(wait_node* node) noexcept {
    auto* const self = static_cast<broadcast_wait*>(node);
    const sync_guard hold(self->core()->lock_);
    return self->core()->waiters_.remove(self) ? cancel_result::detached : cancel_result::in_flight;
}

const sync_wait_type broadcast_closed_wait::wait_type{&enroll, &withdraw, wait_kind::channel_send};

bool broadcast_closed_wait::enroll(sync_wait* waiter) noexcept {
    broadcast_core* const core = static_cast<broadcast_closed_wait*>(waiter)->core();
    if (core == nullptr) {
        return false;
    }
    const sync_guard hold(core->lock_);
    if (core->receivers_ == 0) {
        return false;
    }
    core->unheard_.push_back(waiter);
    return true;
}

wait_node::cancel_result broadcast_closed_wait::withdraw(wait_node* node) noexcept {
    auto* const self = static_cast<broadcast_closed_wait*>(node);
    const sync_guard hold(self->core()->lock_);
    return self->core()->unheard_.remove(self) ? cancel_result::detached : cancel_result::in_flight;
}

} // namespace rt::detail
