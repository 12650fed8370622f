// SPDX-License-Identifier: MIT
//
// What is forbidden ends the program with advice, every time, and not only when something happens
// to be waited for: so a test of one's own finds it. Each case runs in a child process, because the
// text is the behaviour.
#include "base/captured.h"
#include "support/runtimes.h"
#include "support/test.h"
#include "sync/waiting.h"

#include <rt/runtime.h>
#include <rt/sync.h>

#include <chrono>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using rt::test::captured;
using rt::test::single;

rt::task<void> calls(void (*function)()) {
    function();
    co_return;
}

captured in_a_task(void (*function)()) {
    return rt::test::capture([function] { rt::block_on(single(), calls(function)); });
}

void expect_blocking_refused(void (*function)(), const char* kind) {
    const captured child = in_a_task(function);
    cr_expect(child.was_aborted(), "%s went through: %s", kind, child.text.c_str());
    cr_expect(child.says("a blocking_ function ("), "%s", child.text.c_str());
    cr_expect(child.says(kind), "%s: %s", kind, child.text.c_str());
    cr_expect(child.says("use co_await"), "%s", child.text.c_str());
}

} // namespace

// ---- blocking_ functions in a task, with nothing to wait for ------------------------------------

Test(misuse, a_task_must_not_block_for_a_lock_that_is_free) {
    expect_blocking_refused([] { rt::mutex().blocking_lock().unlock(); }, "(mutex)");
    expect_blocking_refused([] { rt::mutex().blocking_lock(0ms).unlock(); }, "(mutex)");
    expect_blocking_refused([] { rt::rwlock().blocking_read().unlock(); }, "(mutex)");
    expect_blocking_refused([] { rt::rwlock().blocking_write(1ms).unlock(); }, "(mutex)");
}

Test(misuse, a_task_must_not_block_for_permits_that_are_free) {
    expect_blocking_refused([] { rt::semaphore(1).blocking_acquire().release(); }, "(semaphore)");
    expect_blocking_refused(
        [] { rt::semaphore(1).blocking_acquire(1ms).release(); }, "(semaphore)"
    );
    expect_blocking_refused(
        [] {
            rt::semaphore slots(1);
            slots.close();
            static_cast<void>(slots.blocking_acquire());
        },
        "semaphore"
    );
}

Test(misuse, a_task_must_not_block_for_a_notification_that_is_kept) {
    expect_blocking_refused(
        [] {
            rt::notify news;
            news.notify_one();
            news.blocking_wait();
        },
        "notify"
    );
}

Test(misuse, a_task_must_not_block_at_a_barrier_of_one) {
    expect_blocking_refused([] { static_cast<void>(rt::barrier(1).blocking_wait()); }, "barrier");
}

Test(misuse, a_task_must_not_block_for_a_reply_that_is_there) {
    expect_blocking_refused(
        [] {
            auto [tx, rx] = rt::oneshot::channel<int>();
            static_cast<void>(tx.send(1));
            static_cast<void>(rx.blocking_recv());
        },
        "oneshot"
    );
    expect_blocking_refused(
        [] { static_cast<void>(rt::oneshot::receiver<int>().blocking_recv()); }, "oneshot"
    );
}

Test(misuse, a_task_must_not_block_at_a_channel_that_is_ready) {
    expect_blocking_refused(
        [] {
            auto [tx, rx] = rt::mpsc::channel<int>(1);
            static_cast<void>(tx.blocking_send(1));
        },
        "(send)"
    );
    expect_blocking_refused(
        [] {
            auto [tx, rx] = rt::mpsc::channel<int>(1);
            static_cast<void>(tx.blocking_reserve_many(0));
        },
        "(send)"
    );
    expect_blocking_refused(
        [] {
            std::vector<int> got;
            static_cast<void>(rt::mpsc::channel<int>(1).rx.blocking_recv_many(got, 0));
        },
        "(receive)"
    );
    expect_blocking_refused(
        [] {
            auto [tx, rx] = rt::broadcast::channel<int>(1);
            static_cast<void>(tx.send(1));
            static_cast<void>(rx.blocking_recv());
        },
        "(receive)"
    );
}

Test(misuse, a_task_must_not_block_at_the_end_of_no_channel) {
    expect_blocking_refused(
        [] { static_cast<void>(rt::mpsc::sender<int>().blocking_send(1)); }, "(send)"
    );
    expect_blocking_refused(
        [] { static_cast<void>(rt::mpsc::sender<int>().blocking_reserve(1ms)); }, "(send)"
    );
    expect_blocking_refused(
        [] { static_cast<void>(rt::mpsc::receiver<int>().blocking_recv()); }, "(receive)"
    );
}

Test(misuse, a_task_must_not_block_for_a_condition_that_holds) {
    expect_blocking_refused(
        [] {
            auto [tx, rx] = rt::watch::channel<int>(0);
            static_cast<void>(rx.blocking_wait_for([](int value) { return value == 0; }));
        },
        "(receive)"
    );
}
