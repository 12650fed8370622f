// SPDX-License-Identifier: MIT
//
// What the scenarios about mpsc channels share: values that are counted, and a channel whose two
// ends live as long as the scenario. Values have numbers, even ones first: those of one sender are
// neighbours, and must come out in their order. All fibers of one execution use the counts, which
// are plain: the explorer runs one at a time.
#pragma once

#include "model/sync_model.h"

namespace rt_model::scenario {

inline constexpr unsigned values_max = 6;

// Where each value is. One that was moved from is nobody's.
struct census {
    unsigned destroyed[values_max];
};
inline census seen;

struct large {
    explicit large(unsigned of) noexcept
        : id(of) {}
    large(large&& other) noexcept
        : id(std::exchange(other.id, values_max)) {}
    ~large() {
        if (id != values_max) {
            ++seen.destroyed[id];
        }
    }

    unsigned id;
    std::byte bulk[480]; // is not looked at
};
static_assert(rt_model::detail::mpsc_value<large>::cells == 2);

struct small {
    explicit small(unsigned of) noexcept
        : id(of) {}
    unsigned id;
    std::byte bulk[60];
};
static_assert(rt_model::detail::mpsc_value<small>::is_small);

template<typename T>
struct channel_base {
    explicit channel_base(std::uint64_t capacity) {
        rt_model::scenario::set_up_sync();
        seen = {};
        auto [tx, rx] = rt_model::mpsc::channel<T>(capacity);
        sender[0] = std::move(tx);
        receiver.emplace(std::move(rx));
    }

    void note(unsigned id) {
        check(id < values_max && received[id]++ == 0, "a value came out twice, or none did");
        // Values of one sender have neighbouring numbers.
        const bool is_in_order = id % 2 == 0 || received[id - 1] == sent[id - 1];
        check(is_in_order, "the values of a sender came out of order");
    }
    void take_the_rest() {
        while (auto got = receiver->try_recv()) {
            note(got->id);
        }
    }
    // All that was sent came out, or was destroyed inside where that is allowed.
    void check_values(bool may_be_dropped) {
        for (unsigned i = 0; i < values_max; ++i) {
            check(received[i] <= sent[i], "a value came out that was not sent");
            check(may_be_dropped || received[i] == sent[i], "a value was lost");
            if constexpr (std::is_same_v<T, large>) {
                check(seen.destroyed[i] == made[i], "a value was not destroyed exactly once");
            }
        }
    }
    void drop_ends() {
        for (auto& each : sender) {
            each = {};
        }
        receiver.reset();
    }

    rt_model::mpsc::sender<T> sender[2];
    std::optional<rt_model::mpsc::receiver<T>> receiver;
    unsigned made[values_max] = {};
    unsigned sent[values_max] = {};
    unsigned received[values_max] = {};
};

} // namespace rt_model::scenario
