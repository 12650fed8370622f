// SPDX-License-Identifier: MIT
//
// The counts of edges and the waiters of a source, and both drivers' delivery into it.
//
// A task here is a header without a worker: the test plays the worker, and a scheduler that only
// remembers what it was given. Drivers are parked on the test's own thread.
#include "base/clock.h"
#include "base/unique_fd.h"
#include "driver/driver.h"
#include "driver/io_source.h"
#include "support/test.h"

#include <rt/detail/context.h>
#include <rt/detail/header.h>
#include <rt/detail/suspend.h>
#include <rt/spawn.h>
#include <rt/task.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace rt::driver;
using rt::detail::task_header;
using rt::detail::this_thread;
using rt::detail::wait_node;

struct remembering_scheduler final : rt::detail::scheduler_base {
    void schedule(task_header* task) noexcept override { scheduled.push_back(task); }
    void schedule_joiner(task_header* task) noexcept override { scheduled.push_back(task); }
    void schedule_new(task_header* task) noexcept override { scheduled.push_back(task); }

    std::vector<task_header*> scheduled;
};

rt::task<void> never_run() {
    co_return;
}

// A suspended task that waits in one leaf.
class waiting_task {
public:
    waiting_task()
        : node_(&on_cancel) {
        header_ = rt::detail::create_task(
            body_.handle().address(),
            &scheduler_,
            rt::detail::titled(rt::detail::site::current(), "test")
        );
        node_.task = header_;
    }

    wait_node* node() { return &node_; }

    // Publishes the suspension, as the last act of a leaf does. False: it was woken already.
    bool commit() {
        this_thread.task = header_;
        const bool suspended = rt::detail::commit_suspend(
            header_, body_.handle().address(), &node_, rt::detail::wait_kind::readable, nullptr
        );
        this_thread.task = nullptr;
        return suspended;
    }

    std::size_t wakes() const { return scheduler_.scheduled.size(); }

private:
    static wait_node::cancel_result on_cancel(wait_node* /*node*/) noexcept {
        return wait_node::cancel_result::detached;
    }

    remembering_scheduler scheduler_;
    rt::task<void> body_ = never_run();
    wait_node node_;
    task_header* header_ = nullptr;
};

struct release_source {
    void operator()(io_source* source) const noexcept { source->unhold(); }
};
using source_ptr = std::unique_ptr<io_source, release_source>;

source_ptr make_source(int fd = -1) {
    return source_ptr(io_source::create(fd));
}

void spend(io_source& source, std::uint32_t bit) {
    source.spend(bit, source.look(bit));
}

} // namespace

Test(io_source, begins_with_hope_in_both_directions) {
    const source_ptr source = make_source(7);
    cr_assert_eq(source->fd(), 7);
    cr_assert(source->look(ready_read) != 0);
    cr_assert(source->look(ready_write) != 0);
    cr_assert((source->look(ready_read) & edge_hangup) == 0);
    cr_assert(source->watch_of(ready_read).bit == ready_read);
    cr_assert(source->watch_of(ready_write).bit == ready_write);
    cr_assert(source->watch_of(ready_write).source == source.get());
}

Test(io_source, spends_only_what_was_asked_for) {
    const source_ptr source = make_source();
    spend(*source, ready_read);
    cr_assert_eq(source->look(ready_read), 0);
    cr_assert(source->look(ready_write) != 0);
    // Spending nothing gives nothing back.
    spend(*source, ready_read);
    cr_assert_eq(source->look(ready_read), 0);
}

Test(io_source, forgets_its_hope_and_nothing_that_a_driver_said) {
    const source_ptr source = make_source();
    source->forget_hope(ready_read);
    cr_assert_eq(source->look(ready_read), 0);
    cr_assert(source->look(ready_write) != 0);
    source->deliver(ready_read | ready_write);
    source->forget_hope(ready_read);
    source->forget_hope(ready_write); // the driver was faster
    cr_assert(source->look(ready_read) != 0);
    cr_assert(source->look(ready_write) != 0);
}

Test(io_source, an_edge_after_the_look_is_not_spent) {
    const source_ptr source = make_source();
    const std::uint64_t seen = source->look(ready_read);
    source->deliver(ready_read);
    source->spend(ready_read, seen);
    cr_assert(source->look(ready_read) != 0);
}

Test(io_source, a_short_read_spends_unless_the_peer_has_closed) {
    const source_ptr source = make_source();
    source->spend_read(source->look(ready_read));
    cr_assert_eq(source->look(ready_read), 0);
    source->deliver(ready_hangup | ready_read | ready_write);
    const std::uint64_t seen = source->look(ready_read);
    cr_assert((seen & edge_hangup) != 0);
    source->spend_read(seen);
    cr_assert_eq(source->look(ready_read), seen, "the end of the stream is still to be read");
    source->spend(ready_read, seen);
    cr_assert_eq(source->look(ready_read), 0, "EAGAIN spends all the same");
    source->deliver(ready_read);
    cr_assert((source->look(ready_read) & edge_hangup) != 0, "a hang-up stays");
}

Test(io_source, registers_only_while_not_ready) {
    const source_ptr source = make_source();
    waiting_task reader;
    cr_assert_not(source->register_waiter(reader.node(), ready_read));
    spend(*source, ready_read);
    cr_assert(source->register_waiter(reader.node(), ready_read));
    cr_assert(source->unregister_waiter(reader.node()));
    cr_assert_not(source->unregister_waiter(reader.node()));
}

Test(io_source, an_edge_wakes_its_waiter_once) {
    const source_ptr source = make_source();
    waiting_task reader;
    spend(*source, ready_read);
    cr_assert(source->register_waiter(reader.node(), ready_read));
    cr_assert(reader.commit());
    source->deliver(ready_read);
    source->deliver(ready_read);
    cr_assert_eq(reader.wakes(), 1);
    cr_assert_not(source->unregister_waiter(reader.node()));
}

// The waker comes between the registration and the publication: the task goes on by itself.
Test(io_source, an_edge_before_the_commit_is_found_by_it) {
    const source_ptr source = make_source();
    waiting_task reader;
    spend(*source, ready_read);
    cr_assert(source->register_waiter(reader.node(), ready_read));
    source->deliver(ready_read);
    cr_assert_eq(reader.wakes(), 0);
    cr_assert_not(reader.commit());
}

Test(io_source, directions_are_apart) {
    const source_ptr source = make_source();
    waiting_task reader;
    waiting_task writer;
    spend(*source, ready_read);
    spend(*source, ready_write);
    cr_assert(source->register_waiter(reader.node(), ready_read));
    cr_assert(reader.commit());
    cr_assert(source->register_waiter(writer.node(), ready_write));
    cr_assert(writer.commit());
    source->deliver(ready_write);
    cr_assert_eq(reader.wakes(), 0);
    cr_assert_eq(writer.wakes(), 1);
    source->deliver(ready_read);
    cr_assert_eq(reader.wakes(), 1);
    cr_assert_eq(writer.wakes(), 1);
}

Test(io_source, edges_for_nobody_are_kept) {
    const source_ptr source = make_source();
    waiting_task reader;
    spend(*source, ready_read);
    source->deliver(ready_read);
    cr_assert_not(source->register_waiter(reader.node(), ready_read));
}

// One thread produces and announces, the other takes until it finds nothing and spends.
// Whatever the interleaving, nothing is left behind a spent edge.
Test(io_source, no_edge_is_lost_between_two_threads) {
    constexpr std::uint32_t rounds = 200'000;
    const source_ptr source = make_source();
    rt::atomic<std::uint32_t> data{0};
    rt::atomic<std::uint32_t> has_ended{0};
    std::thread driver([&] {
        for (std::uint32_t i = 0; i < rounds; ++i) {
            data.add_release(1); // release: pairs with the exchange below
            source->deliver(ready_read);
        }
        has_ended.store_release(1); // release: pairs with the load below
    });
    std::uint32_t taken = 0;
    for (;;) {
        const bool was_last = has_ended.load_acquire() != 0;
        const std::uint64_t seen = source->look(ready_read);
        if (seen == 0) {
            if (was_last) {
                break;
            }
            continue;
        }
        const std::uint32_t got = data.exchange_acquire(0);
        taken += got;
        if (got == 0) {
            source->spend(ready_read, seen);
        }
    }
    driver.join();
    cr_assert_eq(taken, rounds);
}

// ---- with the drivers
// -----------------------------------------------------------------------------

namespace {

std::int64_t soon() {
    return static_cast<std::int64_t>(rt::base::monotonic_ns() + 2'000'000);
}

// On the driver's own thread: forgets the reader's watch, waits until it is let go, and closes.
void stop_watching(driver& one, io_source& source) {
    one.forget(source.read_watch);
    while (source.read_watch.home != nullptr) {
        one.poll(true);
    }
    close(source.fd());
}

// Calls `body(driver)` with each driver, on this thread as its owner.
template<typename Body>
void on_both_drivers(Body body) {
    for (const kind which : {kind::uring, kind::epoll}) {
        rt::result<std::unique_ptr<driver>> made = make_driver(which, 32);
        if (!made) {
            cr_assert(which == kind::uring, "epoll cannot be refused");
            continue; // a kernel without io_uring
        }
        this_thread.driver = made->get();
        body(**made);
        this_thread.driver = nullptr;
        made->reset();
    }
}

} // namespace

Test(io_source, park_returns_at_its_deadline_and_not_before) {
    on_both_drivers([](driver& one) {
        const std::int64_t deadline = soon();
        while (one.park(deadline) == 0 &&
               static_cast<std::int64_t>(rt::base::monotonic_ns()) < deadline) {
        }
        cr_assert(static_cast<std::int64_t>(rt::base::monotonic_ns()) >= deadline);
        one.park(0);
        one.park(-1);
    });
}

Test(io_source, wake_ends_a_park_from_any_thread) {
    on_both_drivers([](driver& one) {
        one.wake();
        one.park(no_deadline);
        std::thread other([&] { one.wake(); });
        one.park(no_deadline);
        other.join();
    });
}

Test(io_source, drivers_deliver_each_edge) {
    on_both_drivers([](driver& one) {
        const rt::base::unique_fd event(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
        const source_ptr source = make_source(dup(event.get()));
        spend(*source, ready_read);
        cr_assert(one.start(source->read_watch).has_value());
        for (int round = 0; round < 3; ++round) {
            waiting_task reader;
            cr_assert(source->register_waiter(reader.node(), ready_read));
            cr_assert(reader.commit());
            cr_assert_eq(one.poll(true), 0);
            cr_assert(eventfd_write(event.get(), 1) == 0);
            while (reader.wakes() == 0) {
                one.park(no_deadline);
            }
            spend(*source, ready_read); // and not read: the next write is an edge all the same
        }
        stop_watching(one, *source);
    });
}

// The owner begins to watch and then runs a long turn: kicks and rescues do the rest.
Test(io_source, b064_a_kick_submits_what_the_owner_has_only_filled_in) {
    on_both_drivers([](driver& one) {
        const rt::base::unique_fd event(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
        const source_ptr source = make_source(dup(event.get()));
        spend(*source, ready_read);
        cr_assert(one.start(source->read_watch).has_value());
        cr_assert_eq(one.needs_kick(), one.which() == kind::uring);
        waiting_task reader;
        cr_assert(source->register_waiter(reader.node(), ready_read));
        cr_assert(reader.commit());
        cr_assert(eventfd_write(event.get(), 1) == 0);
        while (reader.wakes() == 0) {
            if (one.needs_kick()) {
                one.kick();
            }
            one.rescue();
        }
        cr_assert_not(one.needs_kick());
        stop_watching(one, *source);
    });
}

Test(io_source, drivers_report_a_peer_that_has_gone) {
    on_both_drivers([](driver& one) {
        int fds[2];
        cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
        const source_ptr source = make_source(fds[0]);
        spend(*source, ready_read);
        cr_assert(one.start(source->read_watch).has_value());
        cr_assert_eq(one.poll(true), 0);
        close(fds[1]);
        while (source->look(ready_read) == 0) {
            one.park(no_deadline);
        }
        cr_assert((source->look(ready_read) & edge_hangup) != 0);
        stop_watching(one, *source);
    });
}

Test(io_source, another_thread_may_forget) {
    on_both_drivers([](driver& one) {
        const source_ptr source = make_source(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
        cr_assert(one.start(source->read_watch).has_value());
        one.poll(true);
        std::thread other([&] {
            one.forget(source->read_watch);
            close(source->fd());
        });
        while (source->read_watch.home != nullptr) {
            one.park(soon());
        }
        other.join();
    });
}

// A driver that goes before the descriptor cuts its ties: another one may watch it then.
Test(io_source, a_source_outlives_its_driver) {
    const source_ptr source = make_source(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    on_both_drivers([&](driver& one) {
        cr_assert(source->read_watch.home == nullptr);
        cr_assert(one.start(source->read_watch).has_value());
        cr_assert(source->read_watch.home == &one);
        one.poll(true);
    });
    cr_assert(source->read_watch.home == nullptr);
    close(source->fd());
}

Test(io_source, files_that_cannot_be_polled_are_an_error_with_epoll) {
    const rt::result<std::unique_ptr<driver>> one = make_driver(kind::epoll, 32);
    cr_assert(one.has_value());
    const source_ptr source = make_source(fileno(tmpfile()));
    const rt::result<void> started = (*one)->start(source->read_watch);
    cr_assert_not(started.has_value());
    cr_assert(started.error().is(EPERM));
    cr_assert(source->read_watch.home == nullptr);
}
