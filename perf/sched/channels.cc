// SPDX-License-Identifier: MIT
//
// Rows about channels: mpsc with and without contention, one producer to one consumer, making a
// channel, and a server task that answers through a oneshot.
//
// The rows without tasks (create, send) run a whole batch inside one block_on: they measure the
// channel and not the way into the runtime.
#include "sched/rows.h"

#include <rt/sync/mpsc.h>
#include <rt/sync/oneshot.h>

#include <array>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace sched {
namespace {

constexpr std::size_t messages = 5000;
constexpr std::size_t senders = 5;
constexpr std::uint64_t roomy = 1'000'000;
constexpr std::uint64_t tight = 100;

enum class receive : std::uint8_t { one, many };

// Takes all that the test sends, and says how many that were.
template<receive how>
rt::task<std::size_t> receive_all(rt::mpsc::receiver<std::size_t>& rx) {
    std::size_t received = 0;
    if constexpr (how == receive::many) {
        std::vector<std::size_t> buffer;
        buffer.reserve(messages);
        while (received < messages) {
            buffer.clear();
            const std::size_t count = co_await rx.recv_many(buffer, messages);
            if (count == 0) {
                break;
            }
            received += count;
        }
    } else {
        for (; received < messages; ++received) {
            const auto value = co_await rx.recv();
            if (!value) {
                break;
            }
            perf::keep(*value);
        }
    }
    co_return received;
}

rt::task<void> send_some(rt::mpsc::sender<std::size_t> tx) {
    for (std::size_t i = 0; i < messages / senders; ++i) {
        co_await tx.send(i);
    }
}

rt::task<void> send_some_unbounded(rt::mpsc::unbounded_sender<std::size_t> tx) {
    for (std::size_t i = 0; i < messages / senders; ++i) {
        static_cast<void>(tx.send(i));
    }
    co_return;
}

template<receive how>
rt::task<std::size_t> contend(std::uint64_t capacity) {
    auto [tx, rx] = rt::mpsc::channel<std::size_t>(capacity);
    for (std::size_t i = 0; i < senders; ++i) {
        rt::spawn(send_some(tx)).detach();
    }
    co_return co_await receive_all<how>(rx);
}

template<receive how>
rt::task<std::size_t> contend_unbounded() {
    auto [tx, rx] = rt::mpsc::unbounded_channel<std::size_t>();
    for (std::size_t i = 0; i < senders; ++i) {
        rt::spawn(send_some_unbounded(tx)).detach();
    }
    co_return co_await receive_all<how>(rx);
}

template<receive how>
rt::task<std::size_t> fill_and_drain() {
    auto [tx, rx] = rt::mpsc::channel<std::size_t>(roomy);
    for (std::size_t i = 0; i < messages; ++i) {
        co_await tx.send(i);
    }
    co_return co_await receive_all<how>(rx);
}

template<receive how>
rt::task<std::size_t> fill_and_drain_unbounded() {
    auto [tx, rx] = rt::mpsc::unbounded_channel<std::size_t>();
    for (std::size_t i = 0; i < messages; ++i) {
        static_cast<void>(tx.send(i));
    }
    co_return co_await receive_all<how>(rx);
}

// An iteration is one block_on of `make()`, which says how many messages it received.
template<typename F>
void measure_messages(perf::bench& b, F make) {
    rt::runtime runtime(config_for(b.workers()));
    b.measure([&] {
        if (runtime.block_on(make()) != messages) {
            b.fail("messages were lost");
        }
    });
}

template<std::uint64_t capacity, receive how>
void mpsc_contention(perf::bench& b) {
    measure_messages(b, [] { return contend<how>(capacity); });
}

template<receive how>
void mpsc_contention_unbounded(perf::bench& b) {
    measure_messages(b, contend_unbounded<how>);
}

template<receive how>
void mpsc_uncontented_bounded(perf::bench& b) {
    measure_messages(b, fill_and_drain<how>);
}

template<receive how>
void mpsc_uncontented_unbounded(perf::bench& b) {
    measure_messages(b, fill_and_drain_unbounded<how>);
}

template<std::size_t size>
using message = std::array<std::byte, size>;
using medium = message<512>;
using large = message<std::size_t{32} * 1024>;

template<typename Message>
rt::task<void> send_and_receive(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        auto [tx, rx] = rt::mpsc::channel<Message>(1000);
        co_await tx.send(Message());
        perf::keep(co_await rx.recv());
    }
}

template<typename Message>
rt::task<void> create_and_drop(std::uint64_t count, std::uint64_t capacity) {
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto ends = rt::mpsc::channel<Message>(capacity);
        perf::keep(ends);
    }
    co_return;
}

template<typename Message>
void mpsc_send(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    b.measure_batches([&](std::uint64_t count) {
        const std::uint64_t begin = perf::now_ns();
        runtime.block_on(send_and_receive<Message>(count));
        return perf::now_ns() - begin;
    });
}

template<std::uint64_t capacity>
void mpsc_create_medium(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    b.measure_batches([&](std::uint64_t count) {
        const std::uint64_t begin = perf::now_ns();
        runtime.block_on(create_and_drop<medium>(count, capacity));
        return perf::now_ns() - begin;
    });
}

constexpr std::size_t stream_length = 100'000;

rt::task<void> produce(rt::mpsc::sender<std::size_t> tx) {
    for (std::size_t i = 0; i < stream_length; ++i) {
        co_await tx.send(i);
    }
}

rt::task<std::size_t> consume(rt::mpsc::receiver<std::size_t> rx) {
    std::size_t sum = 0;
    while (auto value = co_await rx.recv()) {
        sum += *value;
    }
    co_return sum;
}

rt::task<std::size_t> produce_and_consume() {
    auto [tx, rx] = rt::mpsc::channel<std::size_t>(128);
    rt::join_handle<void> producer = rt::spawn(produce(std::move(tx)));
    rt::join_handle<std::size_t> consumer = rt::spawn(consume(std::move(rx)));
    co_await std::move(producer);
    co_return co_await std::move(consumer);
}

void mpsc_1p1c_cap128_100k(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    b.measure([&] {
        if (runtime.block_on(produce_and_consume()) != stream_length * (stream_length - 1) / 2) {
            b.fail("the sum is wrong");
        }
    });
}

using reply_sender = rt::oneshot::sender<std::uint32_t>;

rt::task<void> answer(rt::mpsc::receiver<reply_sender> rx) {
    while (auto reply = co_await rx.recv()) {
        static_cast<void>(reply->send(1U));
    }
}

rt::task<std::uint32_t> ask(rt::mpsc::sender<reply_sender> tx) {
    constexpr std::uint32_t requests = 1000;
    std::uint32_t answers = 0;
    for (std::uint32_t i = 0; i < requests; ++i) {
        auto [reply_tx, reply_rx] = rt::oneshot::channel<std::uint32_t>();
        co_await tx.send(std::move(reply_tx));
        answers += (co_await reply_rx).value_or(0);
    }
    co_return answers;
}

void request_reply(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    auto [tx, rx] = rt::mpsc::channel<reply_sender>(10);
    runtime.get_handle().spawn(answer(std::move(rx))).detach();
    const rt::mpsc::sender<reply_sender>& server = tx;
    b.measure([&] {
        if (runtime.block_on(ask(server)) != 1000) {
            b.fail("an answer was lost");
        }
    });
}

void ct_request_reply(perf::bench& b) {
    b.set_workers(0);
    request_reply(b);
}

constexpr auto any = perf::needs::any_runtime;
constexpr perf::row rows[] = {
    {"mpsc_contention_bounded", mpsc_contention<roomy, receive::one>, any},
    {"mpsc_contention_bounded_recv_many", mpsc_contention<roomy, receive::many>, any},
    {"mpsc_contention_bounded_full", mpsc_contention<tight, receive::one>, any},
    {"mpsc_contention_bounded_full_recv_many", mpsc_contention<tight, receive::many>, any},
    {"mpsc_contention_unbounded", mpsc_contention_unbounded<receive::one>, any},
    {"mpsc_contention_unbounded_recv_many", mpsc_contention_unbounded<receive::many>, any},
    {"mpsc_uncontented_bounded", mpsc_uncontented_bounded<receive::one>, any},
    {"mpsc_uncontented_bounded_recv_many", mpsc_uncontented_bounded<receive::many>, any},
    {"mpsc_uncontented_unbounded", mpsc_uncontented_unbounded<receive::one>, any},
    {"mpsc_uncontented_unbounded_recv_many", mpsc_uncontented_unbounded<receive::many>, any},
    {"mpsc_send_medium_1000", mpsc_send<medium>, any},
    {"mpsc_send_large_1000", mpsc_send<large>, any},
    {"mpsc_create_medium_1", mpsc_create_medium<1>, any},
    {"mpsc_create_medium_100", mpsc_create_medium<100>, any},
    {"mpsc_create_medium_100000", mpsc_create_medium<100'000>, any},
    {"mpsc_1p1c_cap128_100k", mpsc_1p1c_cap128_100k, any},
    {"request_reply", request_reply},
    {"ct_request_reply", ct_request_reply, any},
};
const perf::table table(rows);

} // namespace
} // namespace sched
