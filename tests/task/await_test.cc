// SPDX-License-Identifier: MIT
//
// Awaiting tasks: values, exceptions, long chains, and what a task's result may be.
//
// Chains are checked for the stack they use and not only for coming to an end: a transfer that is a
// call in disguise survives a hundred awaits and kills a server at the hundred thousandth.
#include "support/test.h"
#include "task/gate.h"

#include <rt/join.h>
#include <rt/paused_clock.h>
#include <rt/runtime.h>
#include <rt/sync/mutex.h>
#include <rt/task.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <array>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::everywhere;
using rt::test::on_each_flavor;

task<int> ready(int value) {
    co_return value;
}

task<int> slow(int value) {
    co_await rt::sleep(1ms);
    co_return value;
}

task<int> twice(int value) {
    const int first = co_await ready(value);
    co_return first + co_await slow(value);
}

// The range of stack addresses that the bodies of a chain have seen.
struct stack_range {
    std::uintptr_t lowest = UINTPTR_MAX;
    std::uintptr_t highest = 0;

    [[gnu::noinline]] void note() {
        const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
        lowest = here < lowest ? here : lowest;
        highest = here > highest ? here : highest;
    }
    [[nodiscard]] std::uintptr_t bytes() const { return highest - lowest; }
};

constexpr std::uintptr_t stack_bytes_max = 16 * 1024; // a few calls, whatever the chain's length
constexpr int chain_length = 100'000;

task<long> loop_of_awaits(int count, stack_range& range) {
    long sum = 0;
    for (int i = 0; i < count; ++i) {
        sum += co_await ready(i);
        range.note();
    }
    co_return sum;
}

task<int> nested(int depth, stack_range& range) {
    range.note();
    if (depth == 0) {
        co_return 0;
    }
    const int below = co_await nested(depth - 1, range);
    range.note();
    co_return below + 1;
}

task<int> nested_over_a_suspension(int depth, stack_range& range) {
    range.note();
    if (depth == 0) {
        co_await rt::yield();
        co_return 0;
    }
    const int below = co_await nested_over_a_suspension(depth - 1, range);
    range.note();
    co_return below + 1;
}

} // namespace

Test(await, b001_block_on_yields_the_value_of_a_ready_task) {
    everywhere([](rt::runtime& runtime) { cr_assert_eq(runtime.block_on(ready(7)), 7); });
}

Test(await, b001_block_on_waits_for_a_task_that_suspends) {
    everywhere([](rt::runtime& runtime) { cr_assert_eq(runtime.block_on(slow(8)), 8); });
}

Test(await, a_task_awaits_others_in_turn) {
    on_each_flavor([](rt::runtime& runtime) { cr_assert_eq(runtime.block_on(twice(21)), 42); });
}

Test(await, a_hundred_thousand_awaits_in_a_row_use_no_stack) {
    on_each_flavor([](rt::runtime& runtime) {
        stack_range range;
        const long sum = runtime.block_on(loop_of_awaits(chain_length, range));
        cr_assert_eq(sum, static_cast<long>(chain_length) * (chain_length - 1) / 2);
        cr_assert(range.bytes() < stack_bytes_max);
    });
}

Test(await, a_chain_of_a_hundred_thousand_frames_uses_no_stack) {
    on_each_flavor([](rt::runtime& runtime) {
        stack_range range;
        cr_assert_eq(runtime.block_on(nested(chain_length, range)), chain_length);
        cr_assert(range.bytes() < stack_bytes_max);
    });
}

Test(await, a_long_chain_is_resumed_at_its_leaf) {
    // One worker: the addresses are of one stack.
    rt::runtime runtime(rt::test::with_workers(1));
    stack_range range;
    const int depth = runtime.block_on(nested_over_a_suspension(chain_length, range));
    cr_assert_eq(depth, chain_length);
    cr_assert(range.bytes() < stack_bytes_max);
}

// ---- what a task may return ---------------------------------------------------------------------

namespace {

struct large {
    explicit large(std::uint8_t first) {
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            bytes[i] = static_cast<std::uint8_t>(first + i);
        }
    }
    [[nodiscard]] bool is_intact(std::uint8_t first) const {
        for (std::size_t i = 0; i < bytes.size(); ++i) {
            if (bytes[i] != static_cast<std::uint8_t>(first + i)) {
                return false;
            }
        }
        return true;
    }

    std::array<std::uint8_t, 5000> bytes;
};

template<std::size_t Alignment>
struct alignas(Alignment) aligned {
    explicit aligned(int v) noexcept
        : value(v)
        , is_aligned(is_aligned_here()) {}
    aligned(aligned&& other) noexcept
        : value(other.value)
        , is_aligned(other.is_aligned && is_aligned_here()) {}

    [[nodiscard]] bool is_aligned_here() const noexcept {
        // Through volatile: the compiler may otherwise assume the answer.
        const volatile auto address = reinterpret_cast<std::uintptr_t>(this);
        return address % Alignment == 0;
    }

    int value;
    bool is_aligned; // wherever it has lived
};

template<typename T, typename... Args>
task<T> make(Args... args) {
    co_await rt::yield();
    co_return T(std::move(args)...);
}

task<std::unique_ptr<int>> make_unique_int(int value) {
    co_return std::make_unique<int>(value);
}

task<std::unique_ptr<int>> pass_on(int value) {
    co_return co_await make_unique_int(value);
}

task<std::string> convert() {
    co_return "from a literal";
}

task<std::optional<int>> nothing() {
    co_return std::nullopt;
}

template<typename T, typename... Args>
task<bool> awaits_aligned(Args... args) {
    const T value = co_await make<T>(args...);
    co_return value.is_aligned&& value.is_aligned_here() && value.value == 5;
}

task<bool> awaits_large() {
    const large value = co_await make<large>(std::uint8_t{3});
    co_return value.is_intact(3);
}

} // namespace

Test(await, a_result_may_be_move_only) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert_eq(*runtime.block_on(make_unique_int(3)), 3);
        cr_assert_eq(*runtime.block_on(pass_on(4)), 4);
    });
}

Test(await, a_result_is_converted_to_the_tasks_type) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert(runtime.block_on(convert()) == "from a literal");
        cr_assert(!runtime.block_on(nothing()).has_value());
    });
}

Test(await, a_result_may_be_large) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert(runtime.block_on(awaits_large()));
        cr_assert(runtime.block_on(make<large>(std::uint8_t{9})).is_intact(9));
    });
}

Test(await, a_result_may_be_aligned_to_16_bytes) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert(runtime.block_on(awaits_aligned<aligned<16>>(5)));
        cr_assert(runtime.block_on(make<aligned<16>>(5)).is_aligned);
    });
}

// ---- exceptions ---------------------------------------------------------------------------------

namespace {

struct carried : std::runtime_error {
    explicit carried(int c)
        : std::runtime_error("carried")
        , code(c) {}
    int code;
};

task<int> throws(int code, bool is_late) {
    if (is_late) {
        co_await rt::yield();
    }
    throw carried(code);
}

task<int> through(int depth, int code, bool is_late) {
    if (depth == 0) {
        co_return co_await throws(code, is_late);
    }
    co_return co_await through(depth - 1, code, is_late);
}

task<int> catches(int code, bool is_late) {
    try {
        co_await through(1000, code, is_late);
    } catch (const carried& caught) {
        co_return caught.code;
    }
    co_return -1;
}

task<void> throws_something_else() {
    co_await rt::yield();
    throw 42;
}

task<int> throws_then_goes_on() {
    int caught = 0;
    for (int i = 0; i < 3; ++i) {
        try {
            co_await throws(i, i % 2 == 0);
        } catch (const carried&) {
            ++caught;
        }
    }
    co_return caught + co_await slow(10);
}

task<void> owns_and_throws(rt::test::member /*owned*/) {
    co_await rt::yield();
    throw carried(1);
}

task<long> live_after_throw(rt::test::census& counted) {
    try {
        co_await owns_and_throws(rt::test::member(counted));
    } catch (const carried&) {
    }
    co_return counted.live.load_relaxed();
}

} // namespace

Test(await, an_exception_passes_through_every_await_to_who_catches_it) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(catches(5, false)), 5);
        cr_assert_eq(runtime.block_on(catches(6, true)), 6);
        cr_assert_eq(runtime.block_on(throws_then_goes_on()), 13);
    });
}

Test(await, b022_an_exception_of_the_root_leaves_block_on) {
    everywhere([](rt::runtime& runtime) {
        int code = 0;
        try {
            runtime.block_on(throws(9, true));
        } catch (const carried& caught) {
            code = caught.code;
        }
        cr_assert_eq(code, 9);
        int other = 0;
        try {
            runtime.block_on(throws_something_else());
        } catch (int caught) {
            other = caught;
        }
        cr_assert_eq(other, 42);
        cr_assert_eq(runtime.block_on(slow(1)), 1, "the runtime goes on");
    });
}

Test(await, what_a_throwing_task_owned_is_destroyed_before_the_awaiter_goes_on) {
    on_each_flavor([](rt::runtime& runtime) {
        rt::test::census counted;
        cr_assert_eq(runtime.block_on(live_after_throw(counted)), 0);
        cr_assert(counted.made.load_relaxed() > 0);
    });
}

// ---- what cannot be awaited twice ---------------------------------------------------------------

namespace {

template<typename A>
constexpr bool is_awaitable_as = rt::detail::is_awaitable_as<A>;

using deadline = decltype(rt::timeout(1ms, ready(1)));
using lock = decltype(std::declval<rt::mutex&>().lock());

static_assert(is_awaitable_as<task<int>> && !is_awaitable_as<task<int>&>);
static_assert(is_awaitable_as<deadline> && !is_awaitable_as<deadline&>);
static_assert(!is_awaitable_as<const task<void>&>);
static_assert(!is_awaitable_as<decltype(rt::advance_clock(1ms))&>);
// These may be, as often as one likes, or say by themselves that there is nothing any more.
static_assert(is_awaitable_as<decltype(rt::sleep(1ms))&>);
static_assert(is_awaitable_as<lock&>);
static_assert(is_awaitable_as<rt::join_handle<int>&>);

} // namespace

// ---- tasks that are not run ---------------------------------------------------------------------

namespace {

task<void> owns(rt::test::member /*owned*/, bool& ran) {
    ran = true;
    co_return;
}

task<int> awaits_moved_from() {
    task<int> first = ready(1);
    task<int> second = std::move(first);
    cr_assert(!first && second);
    co_return co_await std::move(second);
}

} // namespace

Test(await, a_task_that_is_dropped_destroys_its_arguments_and_nothing_runs) {
    rt::test::census counted;
    bool ran = false;
    {
        const task<void> dropped = owns(rt::test::member(counted), ran);
        cr_assert(static_cast<bool>(dropped));
        cr_assert_eq(counted.live.load_relaxed(), 1);
    }
    cr_assert_eq(counted.live.load_relaxed(), 0);
    cr_assert(!ran);
}

Test(await, a_task_may_be_moved_before_it_is_awaited) {
    on_each_flavor([](rt::runtime& runtime) {
        cr_assert_eq(runtime.block_on(awaits_moved_from()), 1);
        rt::test::census counted;
        bool ran = false;
        task<void> body = owns(rt::test::member(counted), ran);
        body = owns(rt::test::member(counted), ran);
        cr_assert_eq(counted.live.load_relaxed(), 1, "the one that was assigned over is gone");
        runtime.block_on(std::move(body));
        cr_assert(ran);
        cr_assert_eq(counted.live.load_relaxed(), 0);
    });
}

// A frame that no machine has memory for: the array is used across a suspension, so it cannot live
// anywhere else.
namespace {

constexpr std::size_t impossible_bytes = std::size_t{1} << 56U;

struct impossible {
    impossible() {}
    char bytes[impossible_bytes];
};

task<int> needs_an_impossible_frame(rt::test::member /*owned*/, int index) {
    impossible space;
    char* volatile escaped = space.bytes;
    escaped[index] = 1;
    co_await rt::yield();
    co_return escaped[index];
}

[[maybe_unused]] task<bool> survives_an_impossible_frame(rt::test::census& counted) {
    try {
        co_await needs_an_impossible_frame(rt::test::member(counted), 1);
    } catch (const std::bad_alloc&) {
        co_return true;
    }
    co_return false;
}

} // namespace

#if !defined(RT_SANITIZED)
Test(await, a_frame_that_cannot_be_allocated_gives_a_task_that_throws_bad_alloc) {
    rt::test::census counted;
    {
        const task<int> empty = needs_an_impossible_frame(rt::test::member(counted), 1);
        cr_assert(!empty);
    }
    on_each_flavor([&](rt::runtime& runtime) {
        cr_assert(runtime.block_on(survives_an_impossible_frame(counted)));
        cr_assert_throw(
            runtime.block_on(needs_an_impossible_frame(rt::test::member(counted), 1)),
            std::bad_alloc
        );
    });
    cr_assert_eq(counted.live.load_relaxed(), 0);
}
#endif
