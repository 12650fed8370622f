// SPDX-License-Identifier: MIT
//
// What is said when an end of a channel is used wrongly. See rt/detail/channel_end.h.
#include "base/assert.h"

#include <rt/detail/channel_end.h>

namespace rt::detail {

void gone_in_use(const char* what) noexcept {
    base::fatal(
        "%s was destroyed, moved, used up or assigned to while a task or thread waits on it, "
        "but it must outlive the wait: give it to the task that waits, or abort that task and "
        "await its join handle first",
        what
    );
}

void waited_twice(const char* what) noexcept {
    base::fatal(
        "two tasks, or two parts of one, wait at the same time on %s, but it has one waiter at "
        "a time: let one of them wait, and tell the other",
        what
    );
}

void received_elsewhere(const char* what) noexcept {
    base::fatal(
        "what a task waited for on %s was received by another task, or another part of the same, "
        "before it went on: receive in one place at a time",
        what
    );
}

void no_channel(const char* call) noexcept {
    base::fatal(
        "%s of an end that was moved from, or was never part of a channel: call it before "
        "the move, or on the end that it was moved to",
        call
    );
}

void no_value() noexcept {
    base::fatal(
        "an rt::watch::ref that refers to no value was dereferenced: it was moved from, or it was "
        "borrowed from an end that was; ask `if (ref)` first"
    );
}

} // namespace rt::detail
