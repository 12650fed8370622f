// SPDX-License-Identifier: MIT
//
// Parts that are no tasks (rt/detail/part.h): what they yield, what of the operation they bring
// along, and what they cost. That every operation is one: tests/sync/parts_test.cc.
#include "base/captured.h"
#include "support/test.h"
#include "sync/waiting.h"
#include "task/gate.h"

#include <rt/blocking.h>
#include <rt/detail/part.h>
#include <rt/detail/promise.h>
#include <rt/interval.h>
#include <rt/runtime.h>
#include <rt/scope.h>
#include <rt/select.h>
#include <rt/shield.h>
#include <rt/spawn.h>
#include <rt/sync.h>
#include <rt/time.h>
#include <rt/try_join.h>
#include <rt/yield.h>

#include <cerrno>
#include <chrono>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::gate;
using rt::test::on_each_flavor_run;
using rt::test::until_waiting;

template<typename A>
constexpr bool is_part = rt::detail::part<A>;

static_assert(is_part<rt::mutex::lock_awaiter> && !is_part<rt::mutex::lock_awaiter&>);
static_assert(is_part<rt::join_handle<int>> && is_part<rt::join_handle<int>&>);
static_assert(!is_part<const rt::join_handle<int>&>, "its result could not be taken");
static_assert(is_part<rt::oneshot::receiver<int>>);
static_assert(!is_part<gate::waiter>, "it cannot be moved");
static_assert(!is_part<int>);

// An awaitable of the user's, by the operator in its namespace.
struct ready_number {
    int number;
};
struct ready_awaiter {
    bool await_ready() const noexcept { return true; }
    void await_suspend(std::coroutine_handle<> /*self*/) const noexcept {}
    int&& await_resume() noexcept { return std::move(number); }

    int number;
};
ready_awaiter operator co_await(ready_number of) noexcept {
    return {of.number};
}

task<int> five() {
    co_return 5;
}

task<void> yields_what_the_operation_yields() {
    rt::once_cell<int> cell;
    auto [of_cell, of_user, of_task, of_closure] = co_await rt::join(
        cell.get_or_init(&five), ready_number{6}, rt::spawn(five), rt::blocking([] {
            return std::make_unique<int>(7);
        })
    );
    static_assert(std::is_same_v<decltype(of_cell), std::reference_wrapper<int>>);
    static_assert(std::is_same_v<decltype(of_user), int>);
    cr_assert_eq(&of_cell.get(), cell.get());
    cr_assert(of_user == 6 && of_task == 5 && *of_closure == 7);
    const rt::result<int> in_time = co_await rt::timeout(1h, rt::spawn(five));
    cr_assert(in_time && *in_time == 5);

    // What a result is stays one; what is none becomes one.
    auto [tx, rx] = rt::mpsc::channel<int>(1);
    const rt::result<int> none = co_await rt::timeout(0s, rx.recv());
    cr_assert(!none && none.error().is_timed_out());
    const rt::result<void> nested = co_await rt::timeout(1h, rt::timeout(1h, rt::consume_budget()));
    cr_assert(nested);
    const auto both = co_await rt::try_join(tx.send(1), rx.recv());
    cr_assert(both && std::get<1>(*both) == 1);
}

// Its place among the waiting is that of the call, not of the first turn of the part.
task<void> notified_counts_from_its_call() {
    rt::notify bell;
    auto before = bell.notified();
    auto again = bell.notified();
    auto selected = rt::select(bell.notified(), rt::sleep(1h));
    bell.notify_waiters();
    cr_assert(co_await rt::timeout(0s, std::move(before)));
    const auto won = co_await rt::select(rt::biased, std::move(again), rt::yield());
    cr_assert_eq(won.index(), 0);
    cr_assert_eq((co_await std::move(selected)).index(), 0);
    cr_assert(!co_await rt::timeout(0s, bell.notified()));
}

// Made in one statement, awaited in another one, after what it was made of has changed.
task<void> may_be_awaited_later() {
    auto [tx, rx] = rt::mpsc::channel<std::string>(1);
    const std::string text(100, 'x');
    auto sending = rt::timeout(1h, tx.send(text));
    auto receiving = rt::select(rx.recv(), rt::sleep(1h));
    cr_assert(co_await std::move(sending));
    auto won = co_await std::move(receiving);
    cr_assert_eq(won.index(), 0);
    cr_assert(std::get<0>(won).value() == text);

    rt::interval ticks(rt::clock::now(), 1h);
    auto tick = rt::timeout(1ms, ticks.tick());
    ticks.reset();
    cr_assert(!co_await std::move(tick), "the interval was reset before it was awaited");
}

// A receiver that is given away ends with the part.
task<void> takes_the_receiver_itself() {
    auto [tx, rx] = rt::oneshot::channel<int>();
    cr_assert(!co_await rt::timeout(0s, std::move(rx)));
    cr_assert(tx.is_closed());
}

task<void> joins_its_children_in_time() {
    bool is_late = false;
    co_await rt::scope::run([&is_late](rt::scope& children) -> task<void> {
        gate at;
        children.spawn([](gate* closed) -> task<void> { co_await closed->wait(); }, &at);
        is_late = !co_await rt::timeout(1ms, children.join());
        at.open();
        cr_assert(co_await rt::timeout(1h, children.join()));
    });
    cr_assert(is_late);
}

task<void> receives_in_time(rt::mpsc::receiver<int>* from) {
    static_cast<void>(co_await rt::timeout(1h, from->recv()));
}

// One frame between the task's own and the operation; the task waits for what the operation does.
task<void> costs_one_frame() {
    auto [tx, rx] = rt::mpsc::channel<int>(1);
    rt::join_handle<void> waiter = rt::spawn(receives_in_time, &rx);
    co_await until_waiting(waiter);
    const rt::detail::task_header* const header = waiter.header();
    cr_assert(header->waits_for == rt::detail::wait_kind::channel_receive);
    const auto root = reinterpret_cast<std::uintptr_t>(header->live.frame);
    cr_assert_eq(rt::detail::frame_of(header->resume)->continuation, root);
    rt::or_throw(tx.try_send(1));
    co_await std::move(waiter);
}

} // namespace

Test(part_values, yield_what_the_operation_yields) {
    on_each_flavor_run(&yields_what_the_operation_yields);
}

Test(part_values, notified_counts_from_its_call) {
    on_each_flavor_run(&notified_counts_from_its_call);
}

Test(part_values, may_be_awaited_later) {
    on_each_flavor_run(&may_be_awaited_later);
    on_each_flavor_run(&takes_the_receiver_itself);
}

Test(part_values, a_scope_joins_its_children_in_time) {
    on_each_flavor_run(&joins_its_children_in_time);
}

Test(part_values, a_deadline_costs_one_frame_and_hides_no_wait) {
    on_each_flavor_run(&costs_one_frame);
}

namespace {

task<const int> gives_a_constant() {
    co_return 5;
}

task<void> takes_constants() {
    const auto alone = co_await rt::timeout(std::chrono::hours(1), gives_a_constant());
    cr_assert_eq(*alone, 5);
    const auto [first, second] = co_await rt::join(gives_a_constant(), gives_a_constant());
    cr_assert_eq(first + second, 10);
}

} // namespace

Test(part_values, may_be_constant) {
    rt::block_on(rt::test::single(), takes_constants());
}

// ---- join handles by name -----------------------------------------------------------------------

namespace {

task<int> five_after(gate* opened) {
    co_await opened->wait();
    co_return 5;
}

task<int> throws_after(gate* opened) {
    co_await opened->wait();
    throw std::runtime_error("as planned");
}

task<rt::result<int>> fails_after(gate* opened) {
    co_await opened->wait();
    co_return rt::failure(EIO, "test");
}

task<void> a_deadline_leaves_the_task_to_its_handle() {
    gate at;
    rt::join_handle<int> child = rt::spawn(five_after, &at);
    const std::uint64_t id = child.id();
    for (int round = 0; round < 3; ++round) {
        const rt::result<int> late = co_await rt::timeout(0s, child);
        cr_assert(late.error().is_timed_out());
        cr_assert(child && child.id() == id && !child.is_finished());
    }
    at.open();
    const rt::result<int> in_time = co_await rt::timeout(1h, child);
    cr_assert(in_time && *in_time == 5);
    cr_assert_not(static_cast<bool>(child), "the result was taken");
}

task<void> a_lost_part_leaves_the_task_to_its_handle() {
    gate never;
    gate at;
    rt::join_handle<int> slow = rt::spawn(five_after, &never);
    rt::join_handle<int> quick = rt::spawn(five_after, &at);
    co_await until_waiting(quick);
    at.open();
    const auto first = co_await rt::select(slow, quick, rt::sleep(1h));
    cr_assert_eq(first.index(), 1);
    cr_assert(slow && !quick);
    slow.abort();
    cr_assert(co_await rt::test::was_cancelled(std::move(slow)));
}

// The task has ended, and the part that was begun for it has not had its turn.
task<void> a_part_that_loses_to_one_that_is_ready_takes_nothing() {
    rt::join_handle<int> ended = rt::spawn(five);
    while (!ended.is_finished()) {
        co_await rt::yield();
    }
    const auto first = co_await rt::select(rt::biased, ready_number{6}, ended);
    cr_assert_eq(first.index(), 0);
    cr_assert(ended);
    cr_assert_eq(ended.take(), 5);
}

task<void> an_exception_comes_through_and_keeps_the_others() {
    gate at;
    gate never;
    rt::join_handle<int> bad = rt::spawn(throws_after, &at);
    rt::join_handle<int> good = rt::spawn(five_after, &never);
    co_await until_waiting(bad);
    at.open();
    bool is_thrown = false;
    try {
        co_await rt::join(bad, good);
    } catch (const std::runtime_error&) {
        is_thrown = true;
    }
    cr_assert(is_thrown && !bad && good);
    rt::join_handle<rt::result<int>> failed = rt::spawn(fails_after, &at);
    const auto both = co_await rt::try_join(failed, rt::timeout(1h, good));
    cr_assert(both.error() == rt::error(EIO, "") && !failed && good && !good.is_finished());
    never.open();
    cr_assert_eq(co_await rt::shield(good), 5);
    rt::join_handle<void> nothing = rt::spawn([]() -> task<void> { co_return; });
    cr_assert(co_await rt::timeout(1h, nothing));
    cr_assert_not(static_cast<bool>(nothing));
}

// Cancelled while it waits for a handle of its own caller: the caller has it still.
task<void> waits_in_time(rt::join_handle<int>* child) {
    static_cast<void>(co_await rt::timeout(1h, *child));
}
task<void> a_cancelled_wait_leaves_the_task_to_its_handle() {
    gate at;
    rt::join_handle<int> child = rt::spawn(five_after, &at);
    rt::join_handle<void> waiter = rt::spawn(waits_in_time, &child);
    co_await until_waiting(waiter);
    waiter.abort();
    cr_assert(co_await rt::test::was_cancelled(std::move(waiter)));
    at.open();
    cr_assert_eq(co_await std::move(child), 5);
}

} // namespace

Test(part_values, a_handle_by_name_keeps_its_task_when_the_time_is_up) {
    on_each_flavor_run(&a_deadline_leaves_the_task_to_its_handle);
    on_each_flavor_run(&a_cancelled_wait_leaves_the_task_to_its_handle);
}

Test(part_values, a_handle_by_name_keeps_its_task_when_the_part_has_lost) {
    on_each_flavor_run(&a_lost_part_leaves_the_task_to_its_handle);
    on_each_flavor_run(&a_part_that_loses_to_one_that_is_ready_takes_nothing);
}

Test(part_values, a_handle_by_name_gives_what_the_task_has_thrown) {
    on_each_flavor_run(&an_exception_comes_through_and_keeps_the_others);
}

// ---- join handles that are used in two places ---------------------------------------------------

namespace {

task<int> five_later() {
    co_await rt::sleep(1ms);
    co_return 5;
}

task<void> awaits(rt::join_handle<int>* child) {
    static_cast<void>(co_await *child);
}
task<void> detaches(rt::join_handle<int>* child) {
    child->detach();
    co_return;
}
task<void> restarts(rt::join_handle<int>* child) {
    *child = rt::spawn(five_later);
    co_return;
}
task<void> moves_it_away(rt::join_handle<int>* child, rt::join_handle<int>* to) {
    *to = std::move(*child);
    co_return;
}

task<void> two_parts_select_it() {
    auto child = rt::spawn(five_later);
    static_cast<void>(co_await rt::select(child, child));
}
task<void> two_parts_join_it() {
    auto child = rt::spawn(five_later);
    static_cast<void>(co_await rt::join(child, child));
}
task<void> two_parts_join_it_in_time() {
    auto child = rt::spawn(five_later);
    static_cast<void>(co_await rt::timeout(1h, rt::join(child, child)));
}
task<void> another_part_awaits_it() {
    auto child = rt::spawn(five_later);
    static_cast<void>(co_await rt::select(rt::biased, child, awaits(&child)));
}
task<void> another_part_detaches_it() {
    auto child = rt::spawn(five_later);
    static_cast<void>(co_await rt::select(rt::biased, child, detaches(&child)));
}
task<void> another_part_restarts_it() {
    auto child = rt::spawn(five_later);
    static_cast<void>(co_await rt::select(rt::biased, child, restarts(&child)));
}
task<void> another_part_moves_it_away() {
    auto child = rt::spawn(five_later);
    rt::join_handle<int> other;
    static_cast<void>(co_await rt::select(rt::biased, child, moves_it_away(&child, &other)));
}

struct misuse {
    task<void> (*body)();
    const char* text;
};

constexpr misuse misuses[] = {
    {two_parts_select_it, "two parts wait for the join handle of task"},
    {two_parts_join_it, "two parts wait for the join handle of task"},
    {two_parts_join_it_in_time, "two parts wait for the join handle of task"},
    {another_part_awaits_it, "two parts wait for the join handle of task"},
    {another_part_detaches_it, "while a part waits for it"},
    {another_part_restarts_it, "while a part waits for it"},
    {another_part_moves_it_away, "while a part waited for it"},
};

} // namespace

Test(part_values, a_handle_that_is_used_while_a_part_waits_for_it_ends_the_program) {
    for (const misuse& each : misuses) {
        const rt::test::captured got = rt::test::capture([&] {
            rt::runtime runtime(rt::test::with_workers(1));
            runtime.block_on(each.body());
        });
        cr_assert(got.was_aborted(), "%s", each.text);
        cr_assert(got.says(each.text), "%s", got.text.c_str());
    }
}
