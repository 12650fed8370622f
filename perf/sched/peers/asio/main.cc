// SPDX-License-Identifier: MIT
//
// sched-asio: rows of perf-sched on standalone Asio, written from the same definitions: coroutines
// by co_spawn on a thread_pool. What Asio lacks is made from what its users have: a join is a
// countdown and a concurrent_channel of one, a wake-up is a post.
#include "support/bench.h"

#include <array>
#include <asio.hpp>
#include <asio/experimental/as_tuple.hpp>
#include <asio/experimental/concurrent_channel.hpp>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <semaphore>
#include <thread>
#include <utility>

namespace {

using signal = std::counting_semaphore<>;
template<typename T>
using channel = asio::experimental::concurrent_channel<void(asio::error_code, T)>;
using asio::use_awaitable;

constexpr std::uint32_t many = 10'000;

struct shared {
    std::shared_ptr<std::atomic<std::uint32_t>> remaining =
        std::make_shared<std::atomic<std::uint32_t>>();
    std::shared_ptr<signal> done = std::make_shared<signal>(0);

    void finish_one() const {
        if (remaining->fetch_sub(1, std::memory_order_relaxed) == 1) {
            done->release();
        }
    }
};

asio::awaitable<void> finish_one(shared with) {
    with.finish_one();
    co_return;
}

void spawn_many_local(perf::bench& b) {
    asio::thread_pool pool(b.workers());
    const shared with;
    b.measure([&] {
        with.remaining->store(many, std::memory_order_relaxed);
        for (std::uint32_t i = 0; i < many; ++i) {
            asio::co_spawn(pool, finish_one(with), asio::detached);
        }
        with.done->acquire();
    });
}

asio::awaitable<void> spawn_finishers(shared with) {
    const auto executor = co_await asio::this_coro::executor;
    for (std::uint32_t i = 0; i < many; ++i) {
        asio::co_spawn(executor, finish_one(with), asio::detached);
    }
}

void spawn_many_from_worker(perf::bench& b) {
    asio::thread_pool pool(b.workers());
    const shared with;
    b.measure([&] {
        with.remaining->store(many, std::memory_order_relaxed);
        asio::co_spawn(pool, spawn_finishers(with), asio::detached);
        with.done->acquire();
    });
}

asio::awaitable<void> yield_and_signal(std::shared_ptr<signal> done) {
    constexpr std::uint32_t yields = 1000;
    const auto executor = co_await asio::this_coro::executor;
    for (std::uint32_t i = 0; i < yields; ++i) {
        co_await asio::post(executor, use_awaitable);
    }
    done->release();
}

void yield_many(perf::bench& b) {
    constexpr std::uint32_t yielders = 200;
    asio::thread_pool pool(b.workers());
    const auto done = std::make_shared<signal>(0);
    b.measure([&] {
        for (std::uint32_t i = 0; i < yielders; ++i) {
            asio::co_spawn(pool, yield_and_signal(done), asio::detached);
        }
        for (std::uint32_t i = 0; i < yielders; ++i) {
            done->acquire();
        }
    });
}

asio::awaitable<void>
pong(std::shared_ptr<channel<int>> there, std::shared_ptr<channel<int>> back) {
    co_await there->async_receive(use_awaitable);
    back->try_send(asio::error_code(), 0);
}

asio::awaitable<void> ping(shared with) {
    const auto executor = co_await asio::this_coro::executor;
    const auto there = std::make_shared<channel<int>>(executor, 1);
    const auto back = std::make_shared<channel<int>>(executor, 1);
    asio::co_spawn(executor, pong(there, back), asio::detached);
    there->try_send(asio::error_code(), 0);
    co_await back->async_receive(use_awaitable);
    with.finish_one();
}

constexpr std::uint32_t pairs = 1000;

asio::awaitable<void> spawn_pings(shared with) {
    const auto executor = co_await asio::this_coro::executor;
    for (std::uint32_t i = 0; i < pairs; ++i) {
        asio::co_spawn(executor, ping(with), asio::detached);
    }
}

void ping_pong(perf::bench& b) {
    asio::thread_pool pool(b.workers());
    const shared with;
    b.measure([&] {
        with.remaining->store(pairs, std::memory_order_relaxed);
        asio::co_spawn(pool, spawn_pings(with), asio::detached);
        with.done->acquire();
    });
}

asio::awaitable<void> spawn_next(std::shared_ptr<signal> done, std::uint32_t left) {
    if (left == 0) {
        done->release();
        co_return;
    }
    const auto executor = co_await asio::this_coro::executor;
    asio::co_spawn(executor, spawn_next(std::move(done), left - 1), asio::detached);
}

void chained_spawn(perf::bench& b) {
    constexpr std::uint32_t chain_length = 1000;
    asio::thread_pool pool(b.workers());
    const auto done = std::make_shared<signal>(0);
    b.measure([&] {
        asio::co_spawn(pool, spawn_next(done, chain_length), asio::detached);
        done->acquire();
    });
}

constexpr std::size_t stream_length = 100'000;

asio::awaitable<void> produce(std::shared_ptr<channel<std::size_t>> into) {
    for (std::size_t i = 0; i < stream_length; ++i) {
        co_await into->async_send(asio::error_code(), i, use_awaitable);
    }
}

asio::awaitable<std::size_t> consume(std::shared_ptr<channel<std::size_t>> from) {
    std::size_t sum = 0;
    for (std::size_t i = 0; i < stream_length; ++i) {
        sum += co_await from->async_receive(use_awaitable);
    }
    co_return sum;
}

void mpsc_1p1c_cap128_100k(perf::bench& b) {
    asio::thread_pool pool(b.workers());
    b.measure([&] {
        const auto values = std::make_shared<channel<std::size_t>>(pool.get_executor(), 128);
        asio::co_spawn(pool, produce(values), asio::detached);
        auto sum = asio::co_spawn(pool, consume(values), asio::use_future);
        if (sum.get() != stream_length * (stream_length - 1) / 2) {
            b.fail("the sum is wrong");
        }
    });
}

// What the children of a node share with it; lives in the node's frame.
struct family {
    family(const asio::any_io_executor& executor, std::uint32_t size)
        : remaining(size)
        , whole(executor, 1) {}

    void add(std::uint64_t value) {
        sum.fetch_add(value, std::memory_order_relaxed);
        // acq_rel: the last one sees what the others have added.
        if (remaining.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            whole.try_send(asio::error_code(), sum.load(std::memory_order_relaxed));
        }
    }

    std::atomic<std::uint64_t> sum{0};
    std::atomic<std::uint32_t> remaining;
    channel<std::uint64_t> whole;
};

asio::awaitable<void>
skynet(std::shared_ptr<family> parent, std::uint64_t first, std::uint64_t size) {
    constexpr std::uint32_t fan_out = 10;
    if (size == 1) {
        parent->add(first);
        co_return;
    }
    const auto executor = co_await asio::this_coro::executor;
    const auto own = std::make_shared<family>(executor, fan_out);
    for (std::uint32_t i = 0; i < fan_out; ++i) {
        const std::uint64_t share = size / fan_out;
        asio::co_spawn(executor, skynet(own, first + i * share, share), asio::detached);
    }
    parent->add(co_await own->whole.async_receive(use_awaitable));
}

asio::awaitable<void> fib_both(std::shared_ptr<family> parent, std::uint32_t n) {
    if (n < 2) {
        parent->add(n);
        co_return;
    }
    const auto executor = co_await asio::this_coro::executor;
    const auto own = std::make_shared<family>(executor, 2);
    asio::co_spawn(executor, fib_both(own, n - 1), asio::detached);
    asio::co_spawn(executor, fib_both(own, n - 2), asio::detached);
    parent->add(co_await own->whole.async_receive(use_awaitable));
}

// Runs the tree whose root is `make(root)` and returns its value.
template<typename F>
std::uint64_t run_tree(asio::thread_pool& pool, F make) {
    const auto root = std::make_shared<family>(pool.get_executor(), 1);
    asio::co_spawn(pool, make(root), asio::detached);
    return root->whole.async_receive(asio::use_future).get();
}

void skynet_1m(perf::bench& b) {
    asio::thread_pool pool(b.workers());
    const std::uint64_t size = b.is_smoke() ? 10'000 : 1'000'000;
    b.measure([&] {
        if (run_tree(pool, [size](auto root) { return skynet(root, 0, size); }) !=
            size * (size - 1) / 2) {
            b.fail("the sum is wrong");
        }
    });
}

void fib25_both(perf::bench& b) {
    asio::thread_pool pool(b.workers());
    const std::uint32_t n = b.is_smoke() ? 15 : 25;
    b.measure([&] {
        if (run_tree(pool, [n](auto root) { return fib_both(root, n); }) !=
            (b.is_smoke() ? 610 : 75'025)) {
            b.fail("the number is wrong");
        }
    });
}

using asio::ip::tcp;
using message = std::array<char, 4>;

asio::awaitable<void> echo(tcp::socket peer) {
    message buffer = {};
    for (;;) {
        const auto [failed, size] = co_await asio::async_read(
            peer, asio::buffer(buffer), asio::experimental::as_tuple(use_awaitable)
        );
        if (failed) {
            co_return;
        }
        co_await asio::async_write(peer, asio::buffer(buffer, size), use_awaitable);
    }
}

asio::awaitable<bool> call(tcp::socket& server) {
    message buffer = {};
    for (std::uint32_t i = 0; i < 100; ++i) {
        buffer.fill(static_cast<char>(i));
        co_await asio::async_write(server, asio::buffer(buffer), use_awaitable);
        co_await asio::async_read(server, asio::buffer(buffer), use_awaitable);
        if (buffer.back() != static_cast<char>(i)) {
            co_return false;
        }
    }
    co_return true;
}

void tcp_pingpong(perf::bench& b) {
    asio::thread_pool pool(b.workers());
    tcp::acceptor acceptor(pool, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    tcp::socket server(pool);
    server.connect(acceptor.local_endpoint());
    tcp::socket peer = acceptor.accept();
    server.set_option(tcp::no_delay(true));
    peer.set_option(tcp::no_delay(true));
    asio::co_spawn(pool, echo(std::move(peer)), asio::detached);
    b.measure([&] {
        if (!asio::co_spawn(pool, call(server), asio::use_future).get()) {
            b.fail("the echo is wrong");
        }
    });
    server.close();
    pool.join();
}

struct target {
    std::atomic<std::uint64_t> stamp_ns{0};
    std::atomic<std::uint64_t> acknowledged{0};

    void acknowledge(std::uint64_t number) {
        stamp_ns.store(perf::now_ns(), std::memory_order_relaxed);
        acknowledged.store(number, std::memory_order_release);
    }
    [[nodiscard]] bool is_acknowledged(std::uint64_t number) const {
        return acknowledged.load(std::memory_order_acquire) >= number;
    }
};

void wake_remote(perf::bench& b) {
    asio::thread_pool pool(b.workers());
    target with;
    std::uint64_t round_trips_ns = 0;
    std::uint64_t count = 0;
    b.start_samples();
    while (b.wants_sample()) {
        std::this_thread::sleep_for(std::chrono::microseconds(300));
        const std::uint64_t begin = perf::now_ns();
        asio::post(pool, [&with, number = ++count] { with.acknowledge(number); });
        while (!with.is_acknowledged(count)) {
        }
        round_trips_ns += perf::now_ns() - begin;
        b.add_sample(static_cast<double>(with.stamp_ns.load(std::memory_order_relaxed) - begin));
    }
    b.note("roundtrip_mean_ns", static_cast<double>(round_trips_ns) / static_cast<double>(count));
}

asio::awaitable<void> wake_other_worker(perf::bench& b, target& with) {
    const auto executor = co_await asio::this_coro::executor;
    std::uint64_t count = 0;
    b.start_samples();
    while (b.wants_sample()) {
        for (int i = 0; i < 4; ++i) {
            co_await asio::post(executor, use_awaitable);
        }
        for (const std::uint64_t begin = perf::now_ns(); perf::now_ns() - begin < 150'000;) {
        }
        const std::uint64_t begin = perf::now_ns();
        asio::post(executor, [&with, number = ++count] { with.acknowledge(number); });
        while (!with.is_acknowledged(count)) {
        }
        b.add_sample(static_cast<double>(with.stamp_ns.load(std::memory_order_relaxed) - begin));
    }
}

void wake_worker(perf::bench& b) {
    b.set_workers(2);
    asio::thread_pool pool(2);
    target with;
    asio::co_spawn(pool, wake_other_worker(b, with), asio::use_future).get();
}

constexpr perf::row rows[] = {
    {"spawn_many_local", spawn_many_local},
    {"spawn_many_from_worker", spawn_many_from_worker},
    {"yield_many", yield_many},
    {"ping_pong", ping_pong},
    {"chained_spawn", chained_spawn},
    {"mpsc_1p1c_cap128_100k", mpsc_1p1c_cap128_100k},
    {"tcp_pingpong_1conn_100rt", tcp_pingpong},
    {"skynet_1m", skynet_1m},
    {"fib25_both", fib25_both},
    {"wake_remote", wake_remote},
    {"wake_worker", wake_worker},
};

} // namespace

int main(int argc, char** argv) {
    return perf::run_rows(argc, argv, rows);
}
