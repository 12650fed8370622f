// SPDX-License-Identifier: MIT
//
// The row about tasks in pairs: a thousand tasks, each of which spawns a partner and exchanges two
// messages with it through oneshots, one each way.
#include "sched/rows.h"

#include <rt/sync/oneshot.h>

#include <utility>

namespace sched {
namespace {

constexpr std::uint32_t pairs = 1000;
struct nothing {};

rt::task<void> pong(rt::oneshot::receiver<nothing> ping, rt::oneshot::sender<nothing> pong) {
    co_await ping;
    static_cast<void>(pong.send(nothing()));
}

rt::task<void> ping(countdown with) {
    auto [ping_tx, ping_rx] = rt::oneshot::channel<nothing>();
    auto [pong_tx, pong_rx] = rt::oneshot::channel<nothing>();
    rt::spawn(pong(std::move(ping_rx), std::move(pong_tx))).detach();
    static_cast<void>(ping_tx.send(nothing()));
    co_await pong_rx;
    with.finish_one();
}

rt::task<void> spawn_pings(countdown with) {
    for (std::uint32_t i = 0; i < pairs; ++i) {
        rt::spawn(ping(with)).detach();
    }
    co_return;
}

void ping_pong(perf::bench& b) {
    rt::runtime runtime(config_for(b.workers()));
    const rt::handle handle = runtime.get_handle();
    const countdown with;
    b.measure([&] {
        with.remaining->store_relaxed(pairs);
        handle.spawn(spawn_pings(with)).detach();
        with.done->acquire();
    });
}

constexpr perf::row rows[] = {
    {"ping_pong", ping_pong},
};
const perf::table table(rows);

} // namespace
} // namespace sched
