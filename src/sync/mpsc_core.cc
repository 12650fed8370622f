// SPDX-License-Identifier: MIT
//
// The queue of mpsc channels: its life, its blocks, claiming and publishing. The rules are in
// rt/detail/mpsc_core.h; waiting is in mpsc_wait.cc.
//
// Memory is never taken under lock_: a claimer that finds the block full and no spare one lets go
// of the lock, makes a block, and looks at everything again.
#include "base/assert.h"

#include <rt/detail/channel_end.h>
#include <rt/detail/frame.h>
#include <rt/detail/mpsc_core.h>

#include <memory>
#include <new>
#include <utility>

namespace rt::detail {
namespace {

constexpr std::uint32_t pooled_alignment = 16; // what allocate_frame gives

} // namespace

// ---- life ---------------------------------------------------------------------------------------

mpsc_core::mpsc_core(std::uint64_t capacity, const mpsc_values& values) noexcept
    : values_(values)
    , capacity_(capacity) {
}

mpsc_core* mpsc_core::create(std::uint64_t capacity, const mpsc_values& values) noexcept {
    RT_ASSERT(capacity == unbounded || (capacity > 0 && capacity <= capacity_max));
    void* const memory =
        ::operator new (sizeof(mpsc_core), std::align_val_t{alignof(mpsc_core)}, std::nothrow);
    return memory == nullptr ? nullptr : ::new (memory) mpsc_core(capacity, values);
}

// Both sides are gone: the receiver has destroyed the values, or left them to their senders.
mpsc_core::~mpsc_core() {
    for (mpsc_block* block = head_block_; block != nullptr;) {
        mpsc_block* const next = block->next.load_relaxed(); // relaxed: release() ordered it
        if (block != &origin_) {
            free_block(block);
        }
        block = next;
    }
    if (mpsc_block* const spare = spare_.load_relaxed()) {
        free_block(spare);
    }
}

void mpsc_core::release() noexcept {
    // acq_rel: what either side did comes before the end of the queue.
    if (holds_.sub_acq_rel(1) == 1) {
        this->~mpsc_core();
        ::operator delete (this, std::align_val_t{alignof(mpsc_core)});
    }
}

void mpsc_core::drop_sender() noexcept {
    // acq_rel: what the other senders sent comes before the end of the stream.
    if (senders_.sub_acq_rel(1) != 1) {
        return;
    }
    sync_guard hold(lock_);
    RT_ASSERT(reserved_ == 0); // each permit has a share
    if (!waiting_.is_empty() || !closed_waiters_.is_empty()) [[unlikely]] {
        gone_in_use("the last rt::mpsc::sender"); // rule 6
    }
    is_abandoned_ = true;
    sync_wait* const receiver = std::exchange(receiver_, nullptr);
    hold.unlock();
    if (receiver != nullptr) {
        sync_wait::wake(receiver);
    }
    release();
}

void mpsc_core::drop_receiver() noexcept {
    refuse(true);
    while (mpsc_cell* const cell = front()) {
        values_.destroy(cell);
        pop();
        head_.bump_relaxed(1);
    }
    orphan();
    release();
}

// Rule 5, for what is left behind the first cell that is not published. Its blocks stay as they
// are: a publisher may still have to do with any of them.
void mpsc_core::orphan() noexcept {
    mpsc_block* block = head_block_;
    mpsc_cell* cell = head_cell_;
    std::uint32_t left = head_left_;
    // No lock: is_gone_ is set, so that nothing is claimed any more.
    for (std::uint64_t head = head_.load_relaxed(); head != claimed_; ++head) {
        if (left == 0) {
            block = block->next.load_acquire(); // acquire: pairs with the release in extend
            RT_ASSERT(block != nullptr);
            cell = first_cell(block);
            left = values_.cells;
        }
        // acq_rel: release pairs with publish; acquire, of the value, if it was published.
        const std::uint32_t before = cell->state.exchange_acq_rel(orphaned);
        if (before == published) {
            values_.destroy(cell);
        } else if (before == awaited) [[unlikely]] {
            gone_in_use(receiver_text); // rule 6
        }
        cell = following(cell);
        --left;
    }
}

void mpsc_core::refuse(bool is_gone) noexcept {
    wake_list refused;
    {
        const sync_guard hold(lock_);
        if (is_gone && receiver_ != nullptr) [[unlikely]] {
            gone_in_use(receiver_text); // rule 6
        }
        is_closed_ = true;
        is_gone_ = is_gone;
        while (!waiting_.is_empty()) {
            auto* const sender = static_cast<mpsc_send_wait*>(waiting_.pop_front());
            sender->outcome_ = mpsc_outcome::closed;
            refused.add(sender);
        }
        has_waiting_.store_relaxed(0); // relaxed: nothing more will wait
        refused.add_all(closed_waiters_);
        if (receiver_ != nullptr && is_finished_locked()) {
            refused.add(std::exchange(receiver_, nullptr)); // closed by another task
        }
    }
    refused.wake_all();
}

bool mpsc_core::is_closed() noexcept {
    const sync_guard hold(lock_);
    return is_closed_;
}

bool mpsc_core::is_ended() noexcept {
    const sync_guard hold(lock_);
    return is_closed_ || is_abandoned_;
}

bool mpsc_core::is_finished_locked() const noexcept {
    // relaxed: head_ is asked for by the receiver only.
    return head_.load_relaxed() == claimed_ && (is_abandoned_ || (is_closed_ && reserved_ == 0));
}

mpsc_core::sight mpsc_core::try_front() noexcept {
    for (std::uint32_t round = 0; front() == nullptr; ++round) {
        {
            const sync_guard hold(lock_);
            if (head_.load_relaxed() == claimed_) { // relaxed: ours
                return is_finished_locked() ? sight::none_ever : sight::none_now;
            }
        }
        back_off(round); // bounded by a move constructor of the claimer
    }
    return sight::value;
}

std::uint64_t mpsc_core::size() noexcept {
    const sync_guard hold(lock_);
    return claimed_ - head_.load_relaxed(); // relaxed: a moment old is good enough
}

std::uint64_t mpsc_core::room() noexcept {
    const sync_guard hold(lock_);
    return capacity_ - (claimed_ + reserved_ - head_.load_relaxed()); // relaxed: as above
}

// ---- blocks -------------------------------------------------------------------------------------

mpsc_cell* mpsc_core::first_cell(mpsc_block* block) const noexcept {
    return reinterpret_cast<mpsc_cell*>(reinterpret_cast<std::byte*>(block) + values_.first_cell);
}

mpsc_block* mpsc_core::make_block() noexcept {
    const std::size_t bytes = values_.block_bytes();
    void* memory = nullptr;
    if (values_.alignment <= pooled_alignment) {
        memory = allocate_frame(bytes);
    } else {
        memory = ::operator new (bytes, std::align_val_t{values_.alignment}, std::nothrow);
    }
    if (memory == nullptr) {
        return nullptr;
    }
    auto* const block = ::new (memory) mpsc_block;
    auto* at = reinterpret_cast<std::byte*>(first_cell(block));
    for (std::uint32_t i = 0; i < values_.cells; ++i) {
        ::new (static_cast<void*>(at)) mpsc_cell{};
        at += values_.cell_bytes;
    }
    return block;
}

void mpsc_core::free_block(mpsc_block* block) noexcept {
    if (values_.alignment <= pooled_alignment) {
        deallocate_frame(block, values_.block_bytes());
    } else {
        ::operator delete (block, std::align_val_t{values_.alignment});
    }
}

// Keeps an empty block for the next claimer that needs one. All its cells are empty.
void mpsc_core::recycle(mpsc_block* block) noexcept {
    block->next.store_relaxed(nullptr);
    mpsc_block* expected = nullptr;
    // release: pairs with the acquire in extend.
    if (!spare_.cas_strong_release(expected, block)) {
        free_block(block);
    }
}

bool mpsc_core::enter_next_block() noexcept {
    // acquire: pairs with the release in extend.
    mpsc_block* const next = head_block_->next.load_acquire();
    if (next == nullptr) {
        return false;
    }
    mpsc_block* const done = std::exchange(head_block_, next);
    head_cell_ = first_cell(next);
    head_left_ = values_.cells;
    if (done != &origin_) {
        recycle(done);
    }
    return true;
}

// ---- sending ------------------------------------------------------------------------------------

bool mpsc_core::has_room_for(std::uint32_t count) noexcept {
    // What is taken never exceeds the capacity, which may be UINT64_MAX.
    if (capacity_ - (claimed_ + reserved_ - seen_head_) >= count) [[likely]] {
        return true;
    }
    // acquire: the cells before head_ are not read any more; pairs with make_room.
    seen_head_ = head_.load_acquire();
    return capacity_ - (claimed_ + reserved_ - seen_head_) >= count;
}

// Makes sure that a cell can be claimed. False: there is no block; the caller brings one.
bool mpsc_core::extend(mpsc_block*& fresh) noexcept {
    if (tail_left_ != 0) [[likely]] {
        return true;
    }
    mpsc_block* next = std::exchange(fresh, nullptr);
    if (next == nullptr && spare_.load_relaxed() != nullptr) {
        next = spare_.exchange_acquire(nullptr); // acquire: pairs with the release in recycle
    }
    if (next == nullptr) {
        return false;
    }
    mpsc_block* const full = std::exchange(tail_block_, next);
    tail_cell_ = first_cell(next);
    tail_left_ = values_.cells;
    // release: pairs with enter_next_block; the receiver may free `full` from here on.
    full->next.store_release(next);
    return true;
}

mpsc_outcome
mpsc_core::claim_as(bool is_reserved, mpsc_cell*& cell, sync_wait*& receiver) noexcept {
    mpsc_block* fresh = nullptr;
    mpsc_outcome outcome = mpsc_outcome::granted;
    lock_.lock();
    for (;;) {
        if (is_reserved ? is_gone_ : is_closed_) {
            outcome = mpsc_outcome::closed;
            break;
        }
        if (!is_reserved && (!waiting_.is_empty() || !has_room_for(1))) {
            outcome = mpsc_outcome::full;
            break;
        }
        if (extend(fresh)) [[likely]] {
            cell = take_cell();
            receiver = std::exchange(receiver_, nullptr); // rule 2
            reserved_ -= is_reserved ? 1 : 0;
            break;
        }
        lock_.unlock();
        fresh = make_block();
        if (fresh == nullptr) {
            return mpsc_outcome::no_memory;
        }
        lock_.lock();
    }
    lock_.unlock();
    if (fresh != nullptr) [[unlikely]] {
        recycle(fresh); // somebody else extended the list meanwhile
    }
    return outcome;
}

mpsc_outcome mpsc_core::claim(mpsc_cell*& cell, sync_wait*& receiver) noexcept {
    return claim_as(false, cell, receiver);
}

mpsc_outcome mpsc_core::claim_reserved(mpsc_cell*& cell, sync_wait*& receiver) noexcept {
    const mpsc_outcome outcome = claim_as(true, cell, receiver);
    if (outcome != mpsc_outcome::granted) {
        unreserve(1);
    }
    return outcome;
}

void mpsc_core::published_late(mpsc_cell* cell, std::uint32_t before) noexcept {
    if (before == awaited) {
        sync_wait::wake(cell_waiter_); // rule 1
    } else {
        RT_ASSERT(before == orphaned);
        values_.destroy(cell); // rule 5
    }
}

mpsc_outcome mpsc_core::reserve(std::uint32_t count) noexcept {
    const sync_guard hold(lock_);
    if (is_closed_) {
        return mpsc_outcome::closed;
    }
    if (count > capacity_) {
        return mpsc_outcome::impossible;
    }
    if (!waiting_.is_empty() || !has_room_for(count)) {
        return mpsc_outcome::full;
    }
    reserved_ += count;
    return mpsc_outcome::granted;
}

void mpsc_core::unreserve(std::uint32_t count) noexcept {
    sync_guard hold(lock_);
    RT_ASSERT(reserved_ >= count);
    reserved_ -= count;
    const bool is_wanted = !waiting_.is_empty();
    sync_wait* receiver = nullptr;
    if (receiver_ != nullptr && is_finished_locked()) {
        receiver = std::exchange(receiver_, nullptr); // it waited for the last reservation
    }
    hold.unlock();
    if (receiver != nullptr) {
        sync_wait::wake(receiver);
    }
    if (is_wanted) {
        refill();
    }
}

} // namespace rt::detail
