// SPDX-License-Identifier: MIT
//
// Every operation as a part of select and join and as the body of a timeout, of a shield and of
// rt::unconstrained, as it is called (rt/detail/part.h): it wins when it can, and leaves nothing
// when it loses.
//
// A subject is an object, an operation on it that has to wait, and what lets the operation go on.
// That the object is destroyed afterwards is a part of each test: it aborts if somebody waits.
#include "support/test.h"
#include "sync/waiting.h"
#include "task/gate.h"

#include <rt/interval.h>
#include <rt/join_set.h>
#include <rt/net/tcp.h>
#include <rt/runtime.h>
#include <rt/select.h>
#include <rt/shield.h>
#include <rt/spawn.h>
#include <rt/sync.h>
#include <rt/time.h>
#include <rt/yield.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::gate;
using rt::test::on_each_flavor;
using rt::test::until_waiting;

// Before the first operation, and after the last; most subjects need neither.
struct subject {
    task<void> begin() { co_return; }
    task<void> end() { co_return; }
};

// ---- locks --------------------------------------------------------------------------------------

struct lock_subject : subject {
    auto operation() { return lock.lock(); }
    void allow() { held.unlock(); }

    rt::mutex lock;
    rt::mutex::guard held = lock.try_lock();
};

struct read_subject : subject {
    auto operation() { return lock.read(); }
    void allow() { held.unlock(); }

    rt::rwlock lock;
    rt::rwlock::write_guard held = lock.try_write();
};

struct write_subject : subject {
    auto operation() { return lock.write(); }
    void allow() { held.unlock(); }

    rt::rwlock lock;
    rt::rwlock::read_guard held = lock.try_read();
};

struct acquire_subject : subject {
    auto operation() { return slots.acquire(); }
    void allow() { slots.release(); }

    rt::semaphore slots{0};
};

struct acquire_many_subject : subject {
    auto operation() { return slots.acquire(3); }
    void allow() { slots.release(2); }

    rt::semaphore slots{1};
};

struct notify_one_subject : subject {
    auto operation() { return bell.notified(); }
    void allow() { bell.notify_one(); }

    rt::notify bell;
};

struct barrier_subject : subject {
    static task<void> arrives(rt::barrier* at) { co_await at->wait(); }

    auto operation() { return all.wait(); }
    void allow() { other = rt::spawn(arrives, &all); }
    task<void> end() { co_await std::move(other); }

    rt::barrier all{2};
    rt::join_handle<void> other;
};

// Somebody is inside until the gate opens.
template<typename Once>
struct once_subject : subject {
    static task<void> wait(gate* at) { co_await at->wait(); }
    static task<int> wait_for_one(gate* at) {
        co_await at->wait();
        co_return 1;
    }
    static auto enter(Once& once, gate* at) {
        if constexpr (std::is_same_v<Once, rt::once>) {
            return once.call([at] { return wait(at); });
        } else {
            return once.get_or_init([at] { return wait_for_one(at); });
        }
    }
    static task<void> first(Once* once, gate* at) { co_await enter(*once, at); }

    task<void> begin() {
        inside = rt::spawn(first, &once, &at);
        co_await until_waiting(inside);
    }
    auto operation() { return enter(once, &at); }
    void allow() { at.open(); }
    task<void> end() { co_await std::move(inside); }

    Once once;
    gate at;
    rt::join_handle<void> inside;
};

// ---- channels -----------------------------------------------------------------------------------

struct receive_subject : subject {
    auto operation() { return ends.rx.recv(); }
    void allow() { rt::or_throw(ends.tx.try_send("text")); }

    rt::mpsc::ends<std::string> ends = rt::mpsc::channel<std::string>(2);
};

struct receive_many_subject : subject {
    auto operation() { return ends.rx.recv_many(into, 2); }
    void allow() { rt::or_throw(ends.tx.try_send(1)); }

    rt::mpsc::ends<int> ends = rt::mpsc::channel<int>(2);
    std::vector<int> into;
};

struct unbounded_subject : subject {
    auto operation() { return ends.rx.recv(); }
    void allow() { rt::or_throw(ends.tx.send(1)); }

    rt::mpsc::unbounded_ends<int> ends = rt::mpsc::unbounded_channel<int>();
};

// A channel that is full, and what waits for room in it.
struct full_channel : subject {
    full_channel() {
        while (ends.tx.try_send(0)) {
        }
    }
    void allow() {
        while (ends.rx.try_recv()) {
        }
    }

    rt::mpsc::ends<int> ends = rt::mpsc::channel<int>(2);
};
struct send_subject : full_channel {
    auto operation() { return ends.tx.send(1); }
};
struct reserve_subject : full_channel {
    auto operation() { return ends.tx.reserve(); }
};
struct reserve_many_subject : full_channel {
    auto operation() { return ends.tx.reserve_many(2); }
};

struct oneshot_subject : subject {
    auto operation() { return ends.rx.recv(); }
    void allow() { rt::or_throw(ends.tx.send(1)); }

    rt::oneshot::ends<int> ends = rt::oneshot::channel<int>();
};

struct broadcast_subject : subject {
    auto operation() { return ends.rx.recv(); }
    void allow() { rt::or_throw(ends.tx.send(1)); }

    rt::broadcast::ends<int> ends = rt::broadcast::channel<int>(2);
};

struct watch_subject : subject {
    auto operation() { return ends.rx.changed(); }
    void allow() { rt::or_throw(ends.tx.send(1)); }

    rt::watch::ends<int> ends = rt::watch::channel<int>(0);
};

struct watch_for_subject : watch_subject {
    auto operation() {
        return ends.rx.wait_for([](int value) { return value == 1; });
    }
};

// What a sender waits for when it has nothing to send.
template<typename Ends>
struct closed_subject : subject {
    explicit closed_subject(Ends made)
        : ends(std::move(made)) {}
    auto operation() { return ends.tx.closed(); }
    void allow() { auto dropped = std::move(ends.rx); }

    Ends ends;
};
struct mpsc_closed_subject : closed_subject<rt::mpsc::ends<int>> {
    mpsc_closed_subject()
        : closed_subject(rt::mpsc::channel<int>(1)) {}
};
struct oneshot_closed_subject : closed_subject<rt::oneshot::ends<int>> {
    oneshot_closed_subject()
        : closed_subject(rt::oneshot::channel<int>()) {}
};
struct watch_closed_subject : closed_subject<rt::watch::ends<int>> {
    watch_closed_subject()
        : closed_subject(rt::watch::channel<int>(0)) {}
};

// ---- the rest -----------------------------------------------------------------------------------

struct join_next_subject : subject {
    static task<int> member(gate* at) {
        co_await at->wait();
        co_return 1;
    }

    task<void> begin() {
        set.spawn(member, &at);
        co_return;
    }
    auto operation() { return set.join_next(); }
    void allow() { at.open(); }

    gate at;
    rt::join_set<int> set;
};

struct tick_subject : subject {
    auto operation() { return ticks.tick(); }
    void allow() { ticks.reset_immediately(); }

    rt::interval ticks{rt::clock::now() + 1h, 1h};
};

struct readable_subject : subject {
    task<void> begin() {
        rt::tcp_listener listener = rt::or_throw(rt::tcp_listener::bind("127.0.0.1:0"));
        ours =
            rt::or_throw(co_await rt::tcp_stream::connect(rt::or_throw(listener.local_address())));
        theirs = rt::or_throw(co_await listener.accept());
        std::byte none{};
        cr_assert(!theirs.try_read({&none, 1})); // so that it is known to be empty
    }
    auto operation() { return theirs.readable(); }
    void allow() {
        const std::byte sent{1};
        rt::or_throw(ours.try_write({&sent, 1}));
    }

    rt::tcp_stream ours;
    rt::tcp_stream theirs;
};

// ---- what is asked of all -----------------------------------------------------------------------

template<typename S>
task<void> allows(S* at) {
    co_await rt::yield();
    at->allow();
}

template<typename S>
task<void> allows_late(S* at) {
    co_await rt::sleep(2ms); // a deadline that has passed is heeded at the next tick
    at->allow();
}

template<typename S>
task<std::size_t> selects(S* at) {
    const auto won = co_await rt::select(at->operation(), rt::sleep(1h));
    co_return won.index();
}

template<typename S>
task<void> in_select() {
    S at;
    co_await at.begin();
    for (int i = 0; i < 3; ++i) {
        const auto lost = co_await rt::select(at.operation(), rt::yield());
        cr_assert_eq(lost.index(), 1);
    }
    at.allow();
    cr_assert_eq(co_await selects(&at), 0);
    co_await at.end();
}

// The part waits when it is let go.
template<typename S>
task<void> in_join() {
    S at;
    co_await at.begin();
    auto [index, nothing] = co_await rt::join(selects(&at), allows(&at));
    static_cast<void>(nothing);
    cr_assert_eq(index, 0);
    co_await at.end();

    S other;
    co_await other.begin();
    static_cast<void>(co_await rt::join(other.operation(), allows(&other)));
    co_await other.end();
}

template<typename S>
task<void> in_timeout() {
    S at;
    co_await at.begin();
    const auto late = co_await rt::timeout(0s, at.operation());
    cr_assert(!late && late.error().is_timed_out());
    const auto past = co_await rt::timeout_at(rt::clock::now(), at.operation());
    cr_assert(!past && past.error().is_timed_out());
    at.allow();
    cr_assert(co_await rt::timeout(1h, at.operation()));
    co_await at.end();
}

// A shield holds the deadline off until the body has what it waits for.
template<typename S>
task<void> in_shield() {
    S at;
    co_await at.begin();
    const auto [late, nothing] =
        co_await rt::join(rt::timeout(0s, rt::shield(at.operation())), allows_late(&at));
    static_cast<void>(nothing);
    cr_assert(late, "it was delivered");
    co_await at.end();
}

template<typename S>
task<void> in_unconstrained() {
    S at;
    co_await at.begin();
    const auto lost = co_await rt::select(rt::unconstrained(at.operation()), rt::yield());
    cr_assert_eq(lost.index(), 1);
    static_cast<void>(co_await rt::join(rt::unconstrained(at.operation()), allows(&at)));
    co_await at.end();
}

template<typename... S>
void are_parts() {
    on_each_flavor([](rt::runtime& runtime) {
        (runtime.block_on(in_select<S>()), ...);
        (runtime.block_on(in_join<S>()), ...);
        (runtime.block_on(in_timeout<S>()), ...);
        (runtime.block_on(in_shield<S>()), ...);
        (runtime.block_on(in_unconstrained<S>()), ...);
    });
}

} // namespace

Test(parts, locks_and_semaphores) {
    are_parts<lock_subject, read_subject, write_subject, acquire_subject, acquire_many_subject>();
}

Test(parts, notifications_barriers_and_cells) {
    are_parts<
        notify_one_subject,
        barrier_subject,
        once_subject<rt::once>,
        once_subject<rt::once_cell<int>>>();
}

Test(parts, receivers) {
    are_parts<
        receive_subject,
        receive_many_subject,
        unbounded_subject,
        oneshot_subject,
        broadcast_subject,
        watch_subject,
        watch_for_subject>();
}

Test(parts, senders) {
    are_parts<
        send_subject,
        reserve_subject,
        reserve_many_subject,
        mpsc_closed_subject,
        oneshot_closed_subject,
        watch_closed_subject>();
}

Test(parts, join_sets_and_sockets) {
    are_parts<join_next_subject, readable_subject>();
}

// A tick that is awaited already is not moved.
Test(parts, ticks) {
    on_each_flavor([](rt::runtime& runtime) {
        runtime.block_on(in_select<tick_subject>());
        runtime.block_on(in_timeout<tick_subject>());
    });
}

// ---- made early ---------------------------------------------------------------------------------

namespace {

// What is waited for is what is new when the wait begins, not when the part was made.
task<void> sees_what_has_been_seen_since() {
    auto [tx, rx] = rt::watch::channel<int>(0);
    auto changed = rt::timeout(1ms, rx.changed());
    rt::or_throw(tx.send(1));
    static_cast<void>(rx.borrow_and_update());
    const auto seen = co_await std::move(changed);
    cr_assert(!seen && seen.error().is_timed_out());
    auto first = rt::timeout(1ms, rx.changed());
    auto second = rt::timeout(1ms, rx.changed());
    rt::or_throw(tx.send(2));
    cr_assert(co_await std::move(first));
    const auto again = co_await std::move(second);
    cr_assert(!again && again.error().is_timed_out());
}

task<void> has_what_has_been_had_since() {
    auto [tx, rx] = rt::broadcast::channel<int>(4);
    auto first = rt::timeout(1ms, rx.recv());
    auto second = rt::timeout(1ms, rx.recv());
    static_cast<void>(tx.send(2));
    const auto one = co_await std::move(first);
    cr_assert(one && *one);
    cr_assert_not(co_await std::move(second)); // timed out
}

// Another part of the task sees the change between the wake-up and the turn.
task<void> is_told_of_a_change_that_another_part_has_seen() {
    auto [tx, rx] = rt::watch::channel<int>(0);
    rt::notify go;
    auto* const to = &rx;
    auto* const at = &go;
    auto child = rt::spawn([](rt::watch::sender<int> by, rt::notify* told) -> task<void> {
        co_await rt::yield();
        told->notify_one();
        rt::or_throw(by.send(1));
        co_await rt::sleep(1ms); // not closed
    }(std::move(tx), at));
    const auto sees = [](rt::notify* told, rt::watch::receiver<int>* of) -> task<void> {
        co_await told->notified();
        static_cast<void>(of->borrow_and_update());
    };
    const auto [none, changed] = co_await rt::join(sees(at, to), to->changed());
    static_cast<void>(none);
    cr_assert(changed, "the channel is open");
    co_await std::move(child);
}

} // namespace

Test(parts, wait_for_what_is_new_when_they_are_awaited) {
    rt::block_on(rt::test::single(), sees_what_has_been_seen_since());
    rt::block_on(rt::test::single(), has_what_has_been_had_since());
    rt::block_on(rt::test::single(), is_told_of_a_change_that_another_part_has_seen());
}
