// SPDX-License-Identifier: MIT
//
// When a worker that rests from sharing (steal_profit.h) looks at the clock, and what it sees.
//
// A look takes half as long as an empty turn, so it is one in so many events, which are spawns and
// ends of turns. And it tells what they take: a rest was ordered because the tasks were too short
// to be worth a steal, so it is over when those of late are not. That is why a rest may be long:
// without it a program that goes over from a flood of short tasks to long ones would run them on
// one worker for all of it.
//
// Threads: the worker.
#pragma once

#include <cstdint>

namespace rt::scheduler {

class rest_looks {
public:
    // One event has gone by. True: it is time to look.
    [[nodiscard]] bool is_due() noexcept { return --left_ < 0; }

    // It is `now_ns`; the next look comes after so many events. True: those since the last look
    // took long_ns each or more, and the worker was never out of work meanwhile. What went by since
    // a look before this rest says nothing.
    [[nodiscard]] bool look(std::uint64_t now_ns, std::uint32_t events) noexcept {
        const std::uint64_t since_ns = now_ns - seen_ns_;
        const bool was_long =
            seen_ns_ != 0 && since_ns <= rest_max_ns && since_ns >= long_ns * gone();
        seen_ns_ = now_ns;
        wanted_ = events;
        left_ = events;
        return was_long;
    }

    // The next look is due at once.
    void hurry() noexcept { limit(0); }

    // It is due after so many events since the last at the latest.
    void limit(std::uint32_t events) noexcept {
        if (events < wanted_) {
            left_ -= wanted_ - events;
            wanted_ = events;
        }
    }

    // The worker is out of work: what goes by until the next look says nothing.
    void forget() noexcept { seen_ns_ = 0; }

    // A task that is spawned and run is two events.
    static constexpr std::uint64_t long_ns = 1000;
    // The longest rest.
    static constexpr std::uint64_t rest_max_ns = 4'000'000;

private:
    // Events since the last look.
    [[nodiscard]] std::uint64_t gone() const noexcept {
        return static_cast<std::uint64_t>(wanted_ - left_);
    }

    std::int64_t wanted_ = 0;   // events that go by between two looks
    std::int64_t left_ = 0;     // of these; less than none while a look is put off
    std::uint64_t seen_ns_ = 0; // the last look; 0: it does not count
};

} // namespace rt::scheduler
