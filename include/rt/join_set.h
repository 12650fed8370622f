// SPDX-License-Identifier: MIT
//
// rt::join_set<T>: tasks that belong together, joined in the order in which they end.
//
//     rt::join_set<page> fetches;
//     for (const url& each : urls) {
//         fetches.spawn(fetch, each);
//     }
//     while (rt::join_handle<page> ended = co_await fetches.join_next()) {
//         use(ended.take());                       // rethrows; rt::join_error if it was cancelled
//     }
//
// Members may be bound to a worker, as by rt::spawn_on and rt::spawn_local: fetches.spawn_on(2, f).
// They may be closures that block, as of rt::spawn_blocking: fetches.spawn_blocking(f).
//
// Dropping the set aborts its members and does not wait for them, nor reports what they threw; for
// children that must be gone when a block ends see rt/scope.h.
//
// Threads: a set belongs to one thread at a time; it may be handed over while nobody awaits it.
#pragma once

#include <rt/detail/bound_spawner.h>
#include <rt/detail/config.h>
#include <rt/detail/header.h>
#include <rt/detail/result_slot.h>
#include <rt/detail/spawned_blocking.h>
#include <rt/detail/spawner.h>
#include <rt/detail/suspend.h>
#include <rt/join.h>
#include <rt/spawn.h>
#include <rt/task.h>

#include <concepts>
#include <coroutine>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

namespace rt {

namespace detail {

struct join_set_core;

// What a set can do whatever its members' type.
class RT_API join_set_base {
public:
    explicit join_set_base(drop_function drop) noexcept
        : drop_(drop) {}
    join_set_base(join_set_base&& other) noexcept
        : drop_(other.drop_)
        , core_(std::exchange(other.core_, nullptr)) {}
    join_set_base& operator=(join_set_base&& other) noexcept {
        if (this != &other) {
            close();
            core_ = std::exchange(other.core_, nullptr);
        }
        return *this;
    }
    ~join_set_base() { close(); }

    /// Members that have not been joined.
    [[nodiscard]] std::size_t size() const noexcept;
    [[nodiscard]] bool is_empty() const noexcept { return size() == 0; }

    /// Asks every member to unwind. They stay members; those that have ended keep their result, and
    /// an exception among those that nobody takes counts as handled.
    void abort_all() noexcept;

    /// Empties the set; the members go on by themselves, like a task whose join handle is dropped.
    void detach_all() noexcept;

protected:
    // Makes a task of `scheduler` a member. Null when memory is exhausted.
    task_header* add(scheduler_base* scheduler, void* frame, titled how) noexcept;
    task_header* add(scheduler_base* scheduler, void* frame, const spawn_options* how) noexcept;
    // A member that has ended, taken out of the set; null if there is none now.
    task_header* take_ended() noexcept;

    // Waits until take_ended() finds something or the set is empty. Cancel: safe.
    class RT_API wait : public wait_node {
    public:
        explicit wait(join_set_base& set) noexcept
            : wait_node(&on_cancel)
            , set_(set) {}
        wait(wait&& other) noexcept // as long as it has not been awaited
            : wait(other.set_) {}

        bool await_ready() noexcept;
        template<typename Promise>
        bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
            return suspend(self.address());
        }

    protected:
        bool suspend(void* self) noexcept;
        static cancel_result on_cancel(wait_node* node) noexcept;

        join_set_base& set_;
    };

private:
    template<typename How>
    task_header* add_member(scheduler_base* scheduler, void* frame, How how) noexcept;
    void close() noexcept;

    drop_function drop_;
    join_set_core* core_ = nullptr; // made with the first member
};

} // namespace detail

template<typename T>
class [[nodiscard("dropping the set aborts its members")]] join_set
    : public detail::join_set_base,
      public detail::spawner<join_set<T>>,
      public detail::bound_spawner<join_set<T>> {
public:
    join_set() noexcept
        : join_set_base(&detail::drop_result<T>) {
    }
    join_set(join_set &&) noexcept = default;
    join_set& operator=(join_set&&) noexcept = default;

    /// Starts function() as a member, on a thread of the calling thread's blocking pool: see
    /// rt/spawn_blocking.h. The handle has id 0 if there was no memory.
    template<typename F>
    requires detail::blocking_function<std::decay_t<F>> rt::abort_handle spawn_blocking(
        F && function, detail::site at = detail::site::current()
    ) {
        return start_blocking(std::forward<F>(function), detail::titled(at));
    }
    template<typename F>
    requires detail::blocking_function<std::decay_t<F>>
    [[gnu::always_inline]] rt::abort_handle spawn_blocking(
        const spawn_options& options, F&& function
    ) {
        return detail::with_options(options, [&](auto how) {
            return start_blocking(std::forward<F>(function), how);
        });
    }

    /// Waits for the next member to end and yields its finished handle, for take() and id(); an
    /// empty handle when the set has no members. Takes a unit of the budget.
    /// Threads: one task at a time. Cancel: safe; nothing is lost.
    [[nodiscard]] auto join_next() noexcept {
        return awaiter(*this);
    }

    /// The handle of a member that has ended, or an empty one. Never waits.
    [[nodiscard]] join_handle<T> try_join_next() noexcept {
        return join_handle<T>(take_ended());
    }

    /// Joins all members; yields their values in the order in which they ended.
    /// Errors: if one throws, or was cancelled, aborts the others and rethrows; what others throw
    /// counts as handled with it.
    [[nodiscard]] task<
        std::conditional_t<std::is_void_v<T>, void, std::vector<detail::slot_value<T>>>>
    join_all() {
        join_set all = std::move(*this);
        if constexpr (std::is_void_v<T>) {
            while (join_handle<T> ended = co_await all.join_next()) {
                ended.take();
            }
        } else {
            std::vector<T> values;
            values.reserve(all.size());
            while (join_handle<T> ended = co_await all.join_next()) {
                values.push_back(ended.take());
            }
            co_return values;
        }
    }

    /// Aborts all members and waits until they have ended; what they yield is dropped.
    [[nodiscard]] task<void> shut_down() {
        abort_all();
        while (join_handle<T> ended = co_await join_next()) {
            ended.detach();
        }
    }

private:
    friend class detail::spawner<join_set<T>>;
    friend class detail::bound_spawner<join_set<T>>;

    template<typename How>
    rt::abort_handle start(task<T> body, How how) noexcept {
        return start_on(
            detail::current_scheduler_or_fatal("rt::join_set::spawn", detail::site_of(how)),
            std::move(body),
            how
        );
    }
    // An empty handle, with id 0, says that memory is exhausted: nothing was started.
    template<typename How>
    rt::abort_handle start_on(detail::scheduler_base * scheduler, task<T> body, How how) noexcept {
        if (!body) [[unlikely]] {
            detail::refuse_empty("rt::join_set::spawn of a task", detail::site_of(how));
        }
        detail::task_header* const member =
            body ? add(scheduler, body.handle().address(), how) : nullptr;
        if (member == nullptr) {
            return {};
        }
        static_cast<void>(body.release());
        rt::abort_handle handle(member);
        member->scheduler->schedule_new(member);
        return handle;
    }

    template<typename F, typename How>
    rt::abort_handle start_blocking(F && function, How how) {
        static_assert(
            std::same_as<std::invoke_result_t<std::decay_t<F>&>, T>,
            "what the function returns is not what the members of this set yield"
        );
        const detail::blocking_target target = detail::current_blocking_target_or_fatal(
            "rt::join_set::spawn_blocking", detail::site_of(how)
        );
        auto* const member = detail::prepare_blocking(
            target,
            std::forward<F>(function),
            detail::site_of(how),
            [&](void* frame) { return add(target.scheduler, frame, how); }
        );
        if (member == nullptr) [[unlikely]] {
            return {};
        }
        rt::abort_handle handle(member->task);
        member->submit();
        return handle;
    }

    struct awaiter : wait {
        using wait::wait;
        join_handle<T> await_resume() noexcept {
            return join_handle<T>(static_cast<join_set&>(this->set_).take_ended());
        }
    };
};

} // namespace rt
