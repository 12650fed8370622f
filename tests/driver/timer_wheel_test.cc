// SPDX-License-Identifier: MIT
//
// The timer wheel against a model that is too simple to be wrong: a list of ticks.
//
// Time is a number that the tests pass in, so years pass in microseconds. Timers return no task;
// they note that they have fired. Seeds are printed with each failure.
#include "driver/timer_wheel.h"
#include "support/test.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

namespace {

using rt::driver::timer_wheel;

constexpr std::uint64_t ms = 1'000'000;
constexpr std::uint64_t start_ns = 123'456'789; // not a multiple of a tick
constexpr std::uint64_t range_ticks = std::uint64_t{1} << 36U;

struct timer : rt::detail::timer_node {
    timer() noexcept
        : timer_node(&on_fire) {}

    static rt::detail::task_header* on_fire(timer_node* node) noexcept {
        ++static_cast<timer*>(node)->fired;
        return nullptr;
    }

    int fired = 0;
    std::uint64_t due = 0; // model: the tick at which it fires
    bool armed = false;    // model
};

std::uint64_t at(std::uint64_t tick) {
    return start_ns + tick * ms;
}

// A wheel and its model.
class pair {
public:
    explicit pair(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            timers_.push_back(std::make_unique<timer>());
        }
    }
    ~pair() {
        for (const std::unique_ptr<timer>& one : timers_) {
            static_cast<void>(one->wheel != nullptr && wheel_.cancel(*one));
        }
    }

    timer& operator[](std::size_t index) { return *timers_[index]; }
    timer_wheel& wheel() { return wheel_; }
    std::uint64_t now() const { return now_; }

    void insert(timer& one, std::uint64_t deadline_ns) {
        const std::uint64_t since = deadline_ns > start_ns ? deadline_ns - start_ns : 0;
        one.due = std::max((since + ms - 1) / ms, now_ + 1);
        one.armed = true;
        wheel_.insert(one, deadline_ns);
    }

    bool cancel_agrees(timer& one) {
        const bool was_armed = one.wheel != nullptr && wheel_.cancel(one);
        return std::exchange(one.armed, false) == was_armed;
    }

    // Goes to `tick` and compares what fired. Returns null or what is wrong.
    const char* advance(std::uint64_t tick) {
        now_ = std::max(now_, tick);
        unsigned expected = 0;
        for (const std::unique_ptr<timer>& one : timers_) {
            one->fired = 0;
        }
        const unsigned fired = wheel_.advance(at(tick) + ms - 1);
        for (const std::unique_ptr<timer>& one : timers_) {
            const bool is_due = one->armed && one->due <= now_;
            if (one->fired != (is_due ? 1 : 0)) {
                return is_due ? "a timer is late" : "a timer fired that should not";
            }
            if (is_due) {
                ++expected;
                one->armed = false;
            }
        }
        return fired == expected ? check() : "advance miscounts";
    }

    const char* check() {
        std::uint64_t earliest = UINT64_MAX;
        std::uint64_t armed = 0;
        for (const std::unique_ptr<timer>& one : timers_) {
            if (one->armed) {
                ++armed;
                earliest = std::min(earliest, one->due);
            }
        }
        if (wheel_.size() != armed) {
            return "the size is wrong";
        }
        const std::int64_t next = wheel_.next_deadline_ns();
        if (armed == 0) {
            return next == INT64_MAX ? nullptr : "an empty wheel has a deadline";
        }
        if (next > static_cast<std::int64_t>(at(earliest))) {
            return "the next deadline is late";
        }
        if (next <= static_cast<std::int64_t>(at(now_))) {
            return "the next deadline has passed"; // the worker would not sleep
        }
        return nullptr;
    }

private:
    timer_wheel wheel_{start_ns};
    std::uint64_t now_ = 0;
    std::vector<std::unique_ptr<timer>> timers_;
};

// Numbers whose logarithm is evenly spread, so that every level is hit.
std::uint64_t spread(std::mt19937_64& random, unsigned bits_max) {
    const unsigned bits = static_cast<unsigned>(random() % (bits_max + 1));
    return random() & ((std::uint64_t{1} << bits) - 1);
}

void random_walk(std::uint64_t seed, unsigned bits_max, unsigned step_bits_max) {
    std::mt19937_64 random(seed);
    pair both(64);
    for (int step = 0; step < 4000; ++step) {
        const auto index = static_cast<std::size_t>(random() % 64);
        timer& one = both[index];
        const char* fault = nullptr;
        switch (random() % 4) {
        case 0:
        case 1:
            if (!one.armed) {
                both.insert(one, at(both.now()) + spread(random, bits_max) * ms + random() % ms);
            }
            fault = both.check();
            break;
        case 2:
            fault = both.cancel_agrees(one) ? both.check() : "cancel disagrees";
            break;
        default:
            fault = both.advance(both.now() + spread(random, step_bits_max));
            break;
        }
        cr_assert(
            fault == nullptr,
            "seed %llu, step %d: %s",
            static_cast<unsigned long long>(seed),
            step,
            fault
        );
    }
}

} // namespace

Test(timer_wheel, random_operations_agree_with_the_model) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        random_walk(seed, 20, 12);
    }
}

Test(timer_wheel, random_operations_over_all_levels) {
    for (std::uint64_t seed = 100; seed <= 120; ++seed) {
        random_walk(seed, 36, 34);
    }
}

Test(timer_wheel, random_operations_beyond_the_range) {
    for (std::uint64_t seed = 200; seed <= 220; ++seed) {
        random_walk(seed, 40, 37);
    }
}

// One timer, every distance around each level's edge, from positions around each level's edge.
Test(timer_wheel, fires_at_its_tick_across_every_wrap) {
    std::vector<std::uint64_t> edges;
    for (unsigned bits = 0; bits <= 37; ++bits) {
        const std::uint64_t edge = std::uint64_t{1} << bits;
        for (const std::uint64_t value : {edge - 1, edge, edge + 1}) {
            edges.push_back(value);
        }
    }
    for (const std::uint64_t from : edges) {
        for (const std::uint64_t distance : edges) {
            pair both(1);
            cr_assert_null(both.advance(from));
            both.insert(both[0], at(from + distance));
            const std::uint64_t due = from + std::max(distance, std::uint64_t{1});
            cr_assert_eq(both[0].due, due);
            cr_assert_null(both.advance(due - 1), "%lu + %lu", from, distance);
            cr_assert(both[0].armed);
            cr_assert_null(both.advance(due), "%lu + %lu", from, distance);
            cr_assert_not(both[0].armed);
        }
    }
}

// A deadline for ever must not hide one that is in the level below.
Test(timer_wheel, a_far_deadline_hides_no_nearer_one) {
    pair both(2);
    cr_assert_null(both.advance(7));
    both.insert(both[0], at(range_ticks * 4));
    both.insert(both[1], at((std::uint64_t{1} << 30U) + 5));
    cr_assert_null(both.check());
    cr_assert_null(both.advance((std::uint64_t{1} << 30U) + 5));
    cr_assert_not(both[1].armed);
    cr_assert(both[0].armed);
}

Test(timer_wheel, saturated_deadlines_wait) {
    pair both(1);
    both.insert(both[0], 8'000'000'000'000'000'000ULL);
    cr_assert_null(both.advance(range_ticks * 3));
    cr_assert(both[0].armed);
    cr_assert(both.cancel_agrees(both[0]));
    cr_assert_eq(both.wheel().size(), 0);
}

Test(timer_wheel, deadlines_are_rounded_up) {
    pair both(3);
    both.insert(both[0], at(5) - 1);
    both.insert(both[1], at(5));
    both.insert(both[2], at(5) + 1);
    cr_assert_eq(both[0].due, 5);
    cr_assert_eq(both[2].due, 6);
    cr_assert_null(both.advance(4));
    cr_assert_null(both.advance(5));
    cr_assert(!both[0].armed && !both[1].armed && both[2].armed);
    cr_assert_null(both.advance(6));
}

Test(timer_wheel, past_deadlines_fire_at_the_next_tick) {
    pair both(2);
    cr_assert_null(both.advance(1000));
    both.insert(both[0], 0);
    both.insert(both[1], at(10));
    cr_assert_null(both.advance(1000));
    cr_assert(both[0].armed && both[1].armed);
    cr_assert_null(both.advance(1001));
    cr_assert(!both[0].armed && !both[1].armed);
}

Test(timer_wheel, more_timers_than_a_batch_in_one_slot) {
    pair both(1000);
    for (std::size_t i = 0; i < 1000; ++i) {
        both.insert(both[i], at(50));
    }
    cr_assert_null(both.advance(49));
    cr_assert_null(both.advance(50));
    cr_assert_eq(both.wheel().size(), 0);
}

Test(timer_wheel, time_may_stand_still_but_does_not_run_backwards) {
    pair both(1);
    cr_assert_null(both.advance(100));
    both.insert(both[0], at(120));
    cr_assert_null(both.advance(50));
    cr_assert_null(both.advance(100));
    cr_assert(both[0].armed);
    cr_assert_null(both.advance(120));
    cr_assert_not(both[0].armed);
}

// A node that cancel finds unlinked has fired, and its fire has returned: exactly one of the two
// happens, however the threads meet.
Test(timer_wheel, cancel_from_another_thread_excludes_firing) {
    constexpr std::size_t count = 2000;
    pair both(count);
    for (std::size_t i = 0; i < count; ++i) {
        both.insert(both[i], at(1 + i / 10));
    }
    std::vector<char> taken(count);
    std::thread canceller([&] {
        for (std::size_t i = 0; i < count; ++i) {
            taken[i] = both.wheel().cancel(both[i]) ? 1 : 0;
        }
    });
    unsigned fired = 0;
    for (std::uint64_t tick = 1; tick <= count / 10 + 1; ++tick) {
        fired += both.wheel().advance(at(tick));
    }
    canceller.join();
    unsigned cancelled = 0;
    for (std::size_t i = 0; i < count; ++i) {
        cr_assert_eq(both[i].fired + taken[i], 1);
        cancelled += static_cast<unsigned>(taken[i]);
    }
    cr_assert_eq(fired + cancelled, count);
}

// A node whose fire has it armed again fires when that deadline comes, and can be cancelled.
Test(timer_wheel, a_timer_that_asks_for_it_fires_again) {
    struct repeating : rt::detail::timer_node {
        repeating() noexcept
            : timer_node(&on_fire) {}
        static rt::detail::task_header* on_fire(timer_node* node) noexcept {
            auto* const self = static_cast<repeating*>(node);
            ++self->fired;
            return rt::detail::fire_again_at(*self, at(self->next));
        }
        int fired = 0;
        std::uint64_t next = 0;
    };
    timer_wheel wheel(start_ns);
    repeating one;
    wheel.insert(one, at(5));
    one.next = 70;
    cr_assert_eq(wheel.advance(at(5)), 1U);
    cr_assert_eq(wheel.size(), 1U);
    one.next = 3; // past: the next tick
    cr_assert_eq(wheel.advance(at(69)), 0U);
    cr_assert_eq(wheel.advance(at(70)), 1U);
    one.next = 1000;
    cr_assert_eq(wheel.advance(at(71)), 1U);
    cr_assert_eq(one.fired, 3);
    cr_assert(wheel.cancel(one));
    cr_assert_eq(wheel.size(), 0U);
}
