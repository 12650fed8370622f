// SPDX-License-Identifier: MIT
//
// The kernel's futex under the explorer, for threads that wait outside of any task.
//
// A source that is compiled for the model says `syscall`, which a macro turns into model_syscall.
// As in the kernel, looking at the word and going to sleep are one step, looking always finds the
// newest value, and a wake-up reaches those who sleep on the address at that moment. The address is
// only a number to a waker: the word may be gone.
//
// Time is an event too: whoever sleeps until some moment sleeps until a fiber of the scenario calls
// pass_time(), after which no such sleep is one. A wake-up that comes before the sleeper runs again
// is the one that it reports, as in the kernel.
#pragma once

#include "model/atomic.h"
#include "model/explore.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <memory>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace rt::model {

class futex_table {
public:
    // Begins an execution.
    void reset() {
        for (place& each : places_) {
            each.word = nullptr;
            std::construct_at(&each.wakes, 0U);
        }
        std::construct_at(&is_late_, 0U);
    }

    // False: it slept until time had passed.
    bool wait(const void* word, std::uint32_t value, bool has_limit = false) {
        machine& m = machine::instance();
        if (newest(word) != value) {
            return true;
        }
        m.join_next();
        atomic<std::uint32_t>& wakes = at(word).wakes;
        const std::uint32_t before = newest(wakes.address());
        wait_until([&] { return wakes.peek() != before || (has_limit && is_late_.peek() != 0); });
        return !has_limit || newest(wakes.address()) != before;
    }

    // The moment comes until which anybody sleeps.
    void pass_time() { is_late_.store_relaxed(1); }

    void wake(const void* word) {
        if (!machine::instance().is_broken(fault::no_wake)) {
            at(word).wakes.add_relaxed(1);
        }
    }

private:
    struct place {
        const void* word = nullptr;
        atomic<std::uint32_t> wakes{0};
    };

    static std::uint32_t newest(const void* word) {
        const auto keep = [](std::uint64_t old, void*, bool* is_kept) {
            *is_kept = true;
            return old;
        };
        return static_cast<std::uint32_t>(machine::instance().modify(
            const_cast<void*>(word), sizeof(std::uint32_t), keep, nullptr, order::relaxed
        ));
    }

    place& at(const void* word) {
        for (place& each : places_) {
            if (each.word == nullptr || each.word == word) {
                each.word = word;
                return each;
            }
        }
        machine::instance().fail("too many futexes for the model");
    }

    std::array<place, 6> places_;
    atomic<std::uint32_t> is_late_{0};
};
inline futex_table futexes;

} // namespace rt::model

template<typename... Rest>
long model_syscall(
    long number,
    const void* word,
    int operation,
    std::uint32_t value,
    const timespec* until,
    Rest...
) {
    rt::model::check(number == SYS_futex, "a system call that the model does not know");
    if (operation == FUTEX_WAIT_PRIVATE || operation == FUTEX_WAIT_BITSET_PRIVATE) {
        if (!rt::model::futexes.wait(word, value, until != nullptr)) {
            errno = ETIMEDOUT;
            return -1;
        }
    } else {
        rt::model::futexes.wake(word);
    }
    return 0;
}
