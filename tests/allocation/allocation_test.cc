// SPDX-License-Identifier: MIT
//
// After warm-up, tasks and what they wait for call no malloc, on any thread.
//
// This program has a malloc of its own, which counts and passes on to jemalloc, and an operator new
// on top of it. A workload runs over and over until a stretch of it makes no allocation; one that
// allocates in each stretch fails. What warms up is the frames and headers that each worker keeps,
// and how far they spread depends on who steals from whom, so that no fixed number of rounds would
// do. Chunks of the frame pool come from jemalloc directly and are counted by the pool.
#include "memory/frame_pool.h"
#include "support/runtimes.h"
#include "support/test.h"

#include <rt/buffer.h>
#include <rt/detail/atomic.h>
#include <rt/net/tcp.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/sync/mpsc.h>
#include <rt/sync/mutex.h>
#include <rt/sync/notify.h>
#include <rt/sync/oneshot.h>
#include <rt/task_label.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <optional>
#include <vector>

#if !defined(RT_SANITIZED)
#    include <jemalloc/jemalloc.h>

namespace {
rt::atomic<std::uint64_t> allocations{0};
} // namespace

// relaxed, all: read when those that count are known to be at rest, or soon will be.
extern "C" {
void* malloc(std::size_t bytes) noexcept {
    allocations.add_relaxed(1);
    return mallocx(std::max<std::size_t>(bytes, 1), 0);
}
void* calloc(std::size_t count, std::size_t bytes) noexcept {
    allocations.add_relaxed(1);
    std::size_t total = 0;
    if (__builtin_mul_overflow(count, bytes, &total)) {
        return nullptr;
    }
    return mallocx(std::max<std::size_t>(total, 1), MALLOCX_ZERO);
}
void* realloc(void* old, std::size_t bytes) noexcept {
    if (old == nullptr) {
        return malloc(bytes);
    }
    allocations.add_relaxed(1);
    return rallocx(old, std::max<std::size_t>(bytes, 1), 0);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
    allocations.add_relaxed(1);
    return mallocx(std::max<std::size_t>(bytes, 1), MALLOCX_ALIGN(alignment));
}
void free(void* memory) noexcept {
    if (memory != nullptr) {
        dallocx(memory, 0);
    }
}
} // extern "C"

void* operator new(std::size_t bytes) {
    return malloc(bytes);
}
void* operator new(std::size_t bytes, const std::nothrow_t& /*tag*/) noexcept {
    return malloc(bytes);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return aligned_alloc(static_cast<std::size_t>(alignment), bytes);
}
void* operator new(
    std::size_t bytes, std::align_val_t alignment, const std::nothrow_t& /*tag*/
) noexcept {
    return aligned_alloc(static_cast<std::size_t>(alignment), bytes);
}
void operator delete(void* memory) noexcept {
    free(memory);
}
void operator delete(void* memory, std::size_t /*bytes*/) noexcept {
    free(memory);
}
void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept {
    free(memory);
}
void operator delete(void* memory, std::size_t /*bytes*/, std::align_val_t /*alignment*/) noexcept {
    free(memory);
}
#else
namespace {
rt::atomic<std::uint64_t> allocations{0};
} // namespace
#endif

namespace {

using namespace std::chrono_literals;

constexpr int stretches_max = 200;

std::uint64_t counted() {
    const rt::memory::pool_counters pool = rt::memory::counters();
    return allocations.load_relaxed() + pool.chunks + pool.header_chunks;
}

// Calls `stretch` until it allocates nothing.
template<typename Stretch>
void expect_none(const char* what, Stretch stretch) {
#if defined(RT_SANITIZED)
    cr_skip_test("sanitizers have a malloc of their own");
#endif
    std::uint64_t made = 0;
    for (int i = 0; i < stretches_max; ++i) {
        const std::uint64_t before = counted();
        stretch();
        made = counted() - before;
        if (made == 0 && i > 0) {
            return;
        }
    }
    cr_assert(false, "%s: %d allocations in each stretch", what, static_cast<int>(made));
}

// The same for coroutines, in one block_on each.
template<typename Body, typename... Args>
void expect_none_in(const char* what, Body body, Args&... arguments) {
    for (const rt::config& on : {rt::test::settings(), rt::test::single()}) {
        rt::runtime instance(on);
        expect_none(what, [&] { instance.block_on(body(arguments...)); });
    }
}

rt::task<int> nothing() {
    co_return 1;
}

rt::task<void> spawn_and_join() {
    for (int i = 0; i < 1000; ++i) {
        co_await rt::spawn(nothing());
    }
}

rt::task<void> relabel() {
    co_await rt::yield();
    rt::set_task_label("a label that did not fit into any small string");
}

rt::task<void> spawn_labelled() {
    for (int i = 0; i < 1000; ++i) {
        co_await rt::spawn({.name = "peer", .label = "127.0.0.1:4711"}, relabel());
        co_await rt::spawn(relabel());
    }
}

rt::task<void> spawn_many(std::vector<rt::join_handle<int>>& handles) {
    handles.clear();
    for (int i = 0; i < 1000; ++i) {
        handles.push_back(rt::spawn(nothing()));
    }
    for (rt::join_handle<int>& each : handles) {
        co_await std::move(each);
    }
}

rt::task<void> join_all(std::vector<rt::join_handle<int>>& handles) {
    for (rt::join_handle<int>& each : handles) {
        co_await std::move(each);
    }
}

rt::task<void> yield_often() {
    for (int i = 0; i < 1000; ++i) {
        co_await rt::yield();
    }
}

rt::task<void> sleep_briefly() {
    co_await rt::sleep(1ms);
}

rt::task<void> sleep_together() {
    rt::join_handle<void> first = rt::spawn(sleep_briefly());
    rt::join_handle<void> second = rt::spawn(sleep_briefly());
    co_await rt::sleep(2ms);
    co_await std::move(first);
    co_await std::move(second);
}

rt::task<void> answer(rt::notify& ping, rt::notify& pong) {
    for (int i = 0; i < 500; ++i) {
        co_await ping.notified();
        pong.notify_one();
    }
}

rt::task<void> notify_each_other(rt::notify& ping, rt::notify& pong) {
    rt::join_handle<void> other = rt::spawn(answer(ping, pong));
    for (int i = 0; i < 500; ++i) {
        ping.notify_one();
        co_await pong.notified();
    }
    co_await std::move(other);
}

rt::task<void> send_some(rt::mpsc::sender<int>& to) {
    for (int i = 0; i < 1000; ++i) {
        static_cast<void>(co_await to.send(i));
    }
}

rt::task<void> pass_through(rt::mpsc::sender<int>& tx, rt::mpsc::receiver<int>& rx) {
    rt::join_handle<void> first = rt::spawn(send_some(tx));
    rt::join_handle<void> second = rt::spawn(send_some(tx));
    for (int i = 0; i < 2000; ++i) {
        static_cast<void>(co_await rx.recv());
    }
    co_await std::move(first);
    co_await std::move(second);
}

rt::task<void> send_one(rt::oneshot::sender<int> to) {
    static_cast<void>(to.send(1));
    co_return;
}

rt::task<void> reply_once() {
    for (int i = 0; i < 500; ++i) {
        auto [tx, rx] = rt::oneshot::channel<int>();
        rt::join_handle<void> other = rt::spawn(send_one(std::move(tx)));
        static_cast<void>(co_await rx);
        co_await std::move(other);
    }
}

rt::task<void> lock_often(rt::mutex& shared) {
    for (int i = 0; i < 500; ++i) {
        auto hold = co_await shared.lock();
        co_await rt::yield();
    }
}

rt::task<void> contend(rt::mutex& shared) {
    rt::join_handle<void> first = rt::spawn(lock_often(shared));
    rt::join_handle<void> second = rt::spawn(lock_often(shared));
    co_await lock_often(shared);
    co_await std::move(first);
    co_await std::move(second);
}

rt::task<void> echo(rt::tcp_stream& peer, int rounds) {
    std::byte bytes[16];
    for (int i = 0; i < rounds; ++i) {
        const std::size_t got = rt::or_throw(co_await peer.read(bytes));
        rt::or_throw(co_await peer.write_all(std::span(bytes).first(got)));
    }
}

// Connects first, which may allocate, and says how many allocations the rounds made.
rt::task<std::uint64_t> ping_pong() {
    rt::tcp_listener listener = rt::or_throw(rt::tcp_listener::bind("127.0.0.1:0"));
    auto connecting = rt::spawn(rt::tcp_stream::connect(rt::or_throw(listener.local_address())));
    rt::tcp_stream there = rt::or_throw(co_await listener.accept());
    rt::tcp_stream here = rt::or_throw(co_await std::move(connecting));
    constexpr int stretch = 200;
    rt::join_handle<void> other = rt::spawn(echo(there, stretch * stretches_max));
    std::byte bytes[16]{};
    std::uint64_t made = 1;
    for (int i = 0; i < stretches_max; ++i) {
        const std::uint64_t before = counted();
        for (int round = 0; round < stretch; ++round) {
            rt::or_throw(co_await here.write_all(bytes));
            static_cast<void>(rt::or_throw(co_await here.read(bytes)));
        }
        made = i == 0 ? made : std::min(made, counted() - before);
    }
    co_await std::move(other);
    co_return made;
}

} // namespace

Test(allocation, is_counted) {
#if !defined(RT_SANITIZED)
    const std::uint64_t before = counted();
    const std::vector<int> some(100);
    cr_assert_gt(counted(), before);
    void* volatile block = std::malloc(10);
    std::free(block);
    cr_assert_geq(counted(), before + 2);
#endif
}

Test(allocation, none_for_spawn_and_join) {
    expect_none_in("spawn and join", spawn_and_join);
}

Test(allocation, none_for_labels) {
    expect_none_in("labels", spawn_labelled);
}

Test(allocation, none_for_many_tasks_from_a_worker) {
    std::vector<rt::join_handle<int>> handles;
    handles.reserve(1000);
    expect_none_in("spawn many", spawn_many, handles);
}

Test(allocation, none_for_many_tasks_from_outside) {
    std::vector<rt::join_handle<int>> handles;
    handles.reserve(1000);
    rt::runtime instance(rt::test::settings());
    const rt::handle handle = instance.get_handle();
    expect_none("from outside", [&] {
        handles.clear();
        for (int i = 0; i < 1000; ++i) {
            handles.push_back(handle.spawn(nothing()));
        }
        instance.block_on(join_all(handles));
    });
}

Test(allocation, none_for_yield) {
    expect_none_in("yield", yield_often);
}

Test(allocation, none_for_timers) {
    expect_none_in("sleep", sleep_together);
}

Test(allocation, none_for_notify) {
    rt::notify ping;
    rt::notify pong;
    expect_none_in("notify", notify_each_other, ping, pong);
}

Test(allocation, none_for_a_bounded_channel) {
    auto [tx, rx] = rt::mpsc::channel<int>(16);
    expect_none_in("mpsc", pass_through, tx, rx);
}

Test(allocation, none_for_oneshot) {
    expect_none_in("oneshot", reply_once);
}

Test(allocation, none_for_a_contended_mutex) {
    rt::mutex shared;
    expect_none_in("mutex", contend, shared);
}

Test(allocation, none_for_tcp) {
#if defined(RT_SANITIZED)
    cr_skip_test("sanitizers have a malloc of their own");
#endif
    for (const auto driver : {rt::driver_kind::automatic, rt::driver_kind::epoll}) {
        cr_assert_eq(rt::block_on(rt::test::settings(driver), ping_pong()), 0U);
    }
}
