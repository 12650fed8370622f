// SPDX-License-Identifier: MIT
//
// rt::scope: parallel children that cannot outlive the block that started them.
//
//     co_await rt::scope::run([&](rt::scope& children) -> rt::task<void> {
//         for (const shard& each : shards) {
//             children.spawn(scan, &each, &found);        // runs on any worker, may use `found`
//         }
//         co_return;                                      // run() ends when the last child has
//     });
//
// run() calls its body with a scope and ends when the body and every child have ended. If one of
// them throws, all others are cancelled and waited for, and the first exception is rethrown. If the
// task that awaits run() is cancelled, so are body and children, and it unwinds when they are gone.
//
// spawn(task), spawn(f, args...) and spawn({.name = "scanner"}, f, args...) start a child; false
// says that there was no memory. spawn_on(worker, ...) and spawn_local(...) start one that stays on
// a worker, as rt::spawn_on and rt::spawn_local do. A child's value is dropped: let children write
// to what the body owns, which outlives them.
//
// Threads: a scope belongs to its body; a child that has children opens a scope of its own.
#pragma once

#include <rt/detail/bound_spawner.h>
#include <rt/detail/branches.h>
#include <rt/detail/config.h>
#include <rt/detail/frame.h>
#include <rt/detail/spawner.h>
#include <rt/detail/suspend.h>
#include <rt/join.h>
#include <rt/spawn.h>
#include <rt/task.h>

#include <coroutine>
#include <cstddef>
#include <exception>
#include <functional>
#include <type_traits>
#include <utility>

namespace rt {

class scope;

namespace detail {

// Waits, in the body or a part of it, until the scope has no child. Cancel: safe.
class scope_join : public group_joiner {
public:
    explicit scope_join(branch_group& group) noexcept
        : group_joiner(&on_cancel)
        , group_(group) {}
    scope_join(scope_join&& other) noexcept // as long as it has not been awaited
        : scope_join(other.group_) {}

    bool await_ready() const noexcept { return group_.child_count() == 0; }
    template<typename Promise>
    bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
        task_header* const waiter = attach_to_current(*this, "rt::scope::join");
        group_.add_joiner(*this); // the group looks at it in a later turn of this same task
        return commit_suspend(waiter, self.address(), this, wait_kind::join_any, &group_);
    }
    void await_resume() const noexcept {}

private:
    static cancel_result on_cancel(wait_node* node) noexcept {
        auto* const self = static_cast<scope_join*>(node);
        return self->group_.remove_joiner(*self) ? cancel_result::detached
                                                 : cancel_result::in_flight;
    }

    branch_group& group_;
};

template<typename F, typename... Args>
using scope_value =
    typename std::invoke_result_t<std::decay_t<F>&, scope&, std::decay_t<Args>...>::value_type;

} // namespace detail

class scope : public detail::spawner<scope>, public detail::bound_spawner<scope> {
public:
    scope(const scope&) = delete;
    scope& operator=(const scope&) = delete;

    /// Calls body(scope, args...), which returns a task, and yields that task's value when it and
    /// all children of the scope have ended. Body and arguments are moved into the frame.
    /// Cancel: cancels body and children and waits for them.
    /// Errors: rethrows the first exception of body and children. What the call of the body itself
    /// throws, if it is no coroutine, goes before those of children.
    template<typename F, typename... Args>
    [[nodiscard]] static task<detail::scope_value<F, Args...>> run(F body, Args... args) {
        using value_type = detail::scope_value<F, Args...>;
        static_assert(
            detail::fits_frame<F, Args...>,
            "coroutine frames are not aligned to more than 16: pass a std::unique_ptr to it"
        );
        detail::task_header* slot = nullptr;
        detail::branch_group group(detail::group_policy::first_failure, &slot);
        scope self(group);
        std::exception_ptr thrown; // by the call itself
        const detail::site at = co_await detail::caller_site{};
        join_handle<value_type> handle =
            group.add(start_body<value_type>(thrown, body, self, std::move(args)...), at);
        while (!group.is_done()) {
            co_await group;
        }
        // Children may have thrown before the call did, on other workers. They are seen after it.
        if (thrown == nullptr) {
            thrown = group.take_child_exception();
        }
        if (thrown != nullptr) {
            std::rethrow_exception(std::move(thrown));
        }
        if (group.has_failed()) {
            detail::throw_for_empty(
                "rt::scope::run of a body that returns a task", co_await detail::caller_site{}
            );
        }
        co_return handle.take();
    }

    /// Waits until the scope has no children; more may be started afterwards.
    /// Threads: the body, and any number of its parts. Cancel: safe; the children go on.
    [[nodiscard]] detail::scope_join join() noexcept { return detail::scope_join(group_); }

    /// Asks body and children, now and later, to unwind.
    void cancel() noexcept { group_.cancel_members(); }

    /// Number of children whose end has not been seen yet.
    [[nodiscard]] std::size_t size() const noexcept { return group_.child_count(); }

private:
    friend class detail::spawner<scope>;
    friend class detail::bound_spawner<scope>;

    explicit scope(detail::branch_group& group) noexcept
        : group_(group) {}

    // Not a coroutine: the body's frame takes what it needs from references that outlive it. The
    // body may be no coroutine either, and throw when it has children already. It gives an empty
    // task then, which makes the group cancel its members, as one does that throws later.
    template<typename T, typename F, typename... Args>
    static task<T>
    start_body(std::exception_ptr& thrown, F& body, scope& self, Args&&... args) noexcept {
        try {
            return std::invoke(body, self, std::move(args)...);
        } catch (...) {
            thrown = std::current_exception();
            return {};
        }
    }

    // False: no memory; nothing was started, and the arguments are gone.
    template<typename T, typename How>
    bool start(task<T> body, How how) noexcept {
        return start_on(
            detail::current_scheduler_or_fatal("rt::scope::spawn", detail::site_of(how)),
            std::move(body),
            how
        );
    }
    template<typename T, typename How>
    bool start_on(detail::scheduler_base* on, task<T> body, How how) noexcept {
        if (!body) [[unlikely]] {
            detail::refuse_empty("rt::scope::spawn of a task", detail::site_of(how));
        }
        return group_.add_child(std::move(body), on, how).id() != 0;
    }

    detail::branch_group& group_;
};

} // namespace rt
