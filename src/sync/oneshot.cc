// SPDX-License-Identifier: MIT
//
// The transitions of a oneshot channel. The bits and the rules are in rt/detail/oneshot_core.h.
//
// All changes are acquire-release: whoever sees a bit sees what its setter did before, the value
// and the pointer to the waiter included, and the one that frees the state comes after everybody.
#include "base/assert.h"

#include <rt/detail/channel_end.h>
#include <rt/detail/oneshot_core.h>

namespace rt::detail {
namespace {

constexpr char oneshot_sender_text[] = "an rt::oneshot::sender";
constexpr char oneshot_receiver_text[] = "an rt::oneshot::receiver";

} // namespace

bool oneshot_core::publish() noexcept {
    std::uint32_t word = word_.load_relaxed();
    do {
        RT_DEBUG_ASSERT((word & sender_gone) == 0);
        if ((word & refused) != 0) {
            return false;
        }
        // release: pairs with is_settled and take_value; acquire: with enroll, of receiver_.
    } while (!word_.cas_weak_acq_rel(word, word | has_value | sender_gone));
    if ((word & sender_waits) != 0) [[unlikely]] {
        gone_in_use(oneshot_sender_text); // rule 6
    }
    if ((word & receiver_waits) != 0) {
        sync_wait::wake(receiver_); // rule 2
    }
    return true;
}

void oneshot_core::drop_sender() noexcept {
    // release: pairs with is_settled; acquire: with enroll, and with drop_receiver (rule 1).
    const std::uint32_t word = word_.or_acq_rel(sender_gone);
    RT_DEBUG_ASSERT((word & sender_gone) == 0);
    if ((word & (refused | sender_waits)) == sender_waits) [[unlikely]] {
        gone_in_use(oneshot_sender_text); // rule 6
    }
    if ((word & receiver_gone) != 0) {
        destroy_(this, false);
    } else if ((word & (refused | receiver_waits)) == receiver_waits) {
        sync_wait::wake(receiver_); // rule 2
    }
}

void oneshot_core::refuse() noexcept {
    // release: pairs with is_refused; acquire: with enroll, of sender_.
    const std::uint32_t word = word_.or_acq_rel(refused);
    if ((word & (refused | sender_waits)) == sender_waits) {
        sync_wait::wake(sender_); // rule 3
    }
    if ((word & (settled | receiver_waits)) == receiver_waits) {
        sync_wait::wake(receiver_); // rule 2
    }
}

void oneshot_core::drop_receiver() noexcept {
    std::uint32_t word = word_.load_acquire(); // acquire: pairs with publish and drop_sender
    if ((word & sender_gone) == 0) {
        // release: pairs with drop_sender (rule 1) and is_refused; acquire: with both ends' last.
        word = word_.or_acq_rel(receiver_gone | refused);
        if ((word & sender_gone) == 0) {
            if ((word & (refused | receiver_waits)) == receiver_waits) [[unlikely]] {
                gone_in_use(oneshot_receiver_text); // rule 6
            }
            if ((word & (refused | sender_waits)) == sender_waits) {
                sync_wait::wake(sender_); // rule 3
            }
            return;
        }
    }
    destroy_(this, (word & has_value) != 0);
}

bool oneshot_core::enroll(
    sync_wait*& place, sync_wait* waiter, std::uint32_t own, std::uint32_t stop
) noexcept {
    std::uint32_t word = word_.load_relaxed();
    if ((word & (own | stop)) == own) [[unlikely]] {
        // Rule 5. relaxed: the bit is this end's own, which was given to this thread with it.
        waited_twice(own == receiver_waits ? oneshot_receiver_text : oneshot_sender_text);
    }
    while ((word & stop) == 0) {
        place = waiter; // which nobody reads as long as the bit is clear
        // release: pairs with the acquire of who sets `stop` and reads the waiter.
        if (word_.cas_weak_acq_rel(word, word | own)) {
            return true;
        }
    }
    return false;
}

bool oneshot_core::withdraw(std::uint32_t own, std::uint32_t stop) noexcept {
    std::uint32_t word = word_.load_relaxed();
    while ((word & stop) == 0) { // rule 4
        if (word_.cas_weak_acq_rel(word, word & ~own)) {
            return true;
        }
    }
    return false;
}

const sync_wait_type oneshot_receive_wait::wait_type{&enroll, &withdraw, wait_kind::oneshot};

bool oneshot_receive_wait::enroll(sync_wait* waiter) noexcept {
    oneshot_core* const core = static_cast<oneshot_receive_wait*>(waiter)->core();
    if (core == nullptr) {
        return false;
    }
    return core->enroll(
        core->receiver_, waiter, oneshot_core::receiver_waits, oneshot_core::settled
    );
}

wait_node::cancel_result oneshot_receive_wait::withdraw(wait_node* node) noexcept {
    oneshot_core* const core = static_cast<oneshot_receive_wait*>(node)->core();
    return core->withdraw(oneshot_core::receiver_waits, oneshot_core::settled)
        ? cancel_result::detached
        : cancel_result::in_flight;
}

const sync_wait_type oneshot_closed_wait::wait_type{&enroll, &withdraw, wait_kind::oneshot};

bool oneshot_closed_wait::enroll(sync_wait* waiter) noexcept {
    oneshot_core* const core = static_cast<oneshot_closed_wait*>(waiter)->core();
    if (core == nullptr) {
        return false;
    }
    return core->enroll(core->sender_, waiter, oneshot_core::sender_waits, oneshot_core::refused);
}

wait_node::cancel_result oneshot_closed_wait::withdraw(wait_node* node) noexcept {
    oneshot_core* const core = static_cast<oneshot_closed_wait*>(node)->core();
    return core->withdraw(oneshot_core::sender_waits, oneshot_core::refused)
        ? cancel_result::detached
        : cancel_result::in_flight;
}

} // namespace rt::detail
