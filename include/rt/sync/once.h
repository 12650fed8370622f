// SPDX-License-Identifier: MIT
//
// rt::once and rt::once_cell<T>: something that is done, or made, by the first task that needs it.
//
//     rt::once_cell<config> cell;
//     const config& settings = co_await cell.get_or_init(load);   // task<config> load();
//
// One task runs the function; those that come meanwhile wait for it. If it throws, or its task is
// cancelled, the one that has waited longest runs its own function instead: the exception goes to
// the task that ran it, and to no other. Afterwards a call costs one load. Threads that run no task
// take part with the blocking_ calls, whose functions are ordinary ones.
//
// Protocol. `state_` of once_gate goes empty -> busy -> done, or back from busy to empty; the last
// two only under lock_. Busy is handed over to a waiter without passing through empty. Done is
// published with release, after the value was made, and is never left.
#pragma once

#include <rt/detail/atomic.h>
#include <rt/detail/config.h>
#include <rt/detail/suspend.h>
#include <rt/detail/sync_lock.h>
#include <rt/detail/wait_queue.h>
#include <rt/task.h>

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

namespace rt {

namespace detail {

// Lets one in at a time until one has succeeded. Begins with the task that is inside.
class RT_API once_gate : public owned_object {
public:
    // The right to try. Gives way to the next when it is destroyed without complete().
    class turn {
    public:
        explicit turn(once_gate* gate) noexcept
            : gate_(gate) {}
        turn(turn&& other) noexcept
            : gate_(std::exchange(other.gate_, nullptr)) {}
        turn& operator=(turn&&) = delete;
        ~turn() {
            if (gate_ != nullptr) {
                gate_->give_up();
            }
        }
        // False: it has been done already.
        explicit operator bool() const noexcept { return gate_ != nullptr; }
        void complete() noexcept { std::exchange(gate_, nullptr)->finish(); }

    private:
        once_gate* gate_;
    };

    class enter_awaiter : sync_wait {
    public:
        explicit enter_awaiter(once_gate* gate) noexcept
            : sync_wait(wait_type, gate) {}

        bool await_ready() noexcept { return take_budget() && gate()->try_enter(); }
        template<typename Promise>
        bool await_suspend(std::coroutine_handle<Promise> self) noexcept {
            return suspend(self.address());
        }
        turn await_resume() noexcept { return turn(gate()->is_done() ? nullptr : gate()); }

    private:
        friend class once_gate;
        [[nodiscard]] once_gate* gate() const noexcept { return static_cast<once_gate*>(object()); }
    };

    // acquire: pairs with the release in finish(); what was made is visible.
    [[nodiscard]] bool is_done() const noexcept { return state_.load_acquire() == done; }
    // Waits for a turn, or until it has been done. Cancel: safe.
    enter_awaiter enter() noexcept { return enter_awaiter(this); }
    // The same for threads that run no task. Aborts inside a task.
    [[nodiscard]] turn blocking_enter() noexcept;
    // A turn if nobody is inside.
    [[nodiscard]] turn try_turn() noexcept;

private:
    enum state : std::uint32_t { empty, busy, done };
    static const sync_wait_type wait_type;

    // True: there is nothing to wait for.
    [[nodiscard]] bool try_enter() noexcept;
    void finish() noexcept;
    void give_up() noexcept;
    static bool enroll(sync_wait* waiter) noexcept;
    static wait_node::cancel_result withdraw(wait_node* node) noexcept;
    static void give_back(sync_wait* waiter) noexcept;

    atomic<std::uint32_t> state_{empty};
    sync_lock lock_;
    wait_list waiters_; // guarded by lock_; empty unless busy
};

// Awaits body(), a task<void> that enters the gate, unless the gate is done already.
template<typename Body, typename Result>
class [[nodiscard]] once_awaiter {
public:
    once_awaiter(const once_gate& gate, Body body, Result result)
        : gate_(gate)
        , body_(std::move(body))
        , result_(std::move(result)) {}
    once_awaiter(once_awaiter&&) = default; // as long as it has not been awaited
    once_awaiter& operator=(once_awaiter&&) = delete;

    // Without budget the body yields, at the gate.
    bool await_ready() const noexcept { return gate_.is_done() && consume_budget(); }
    template<typename Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self) {
        is_started_ = true;
        task_ = body_();
        return task_ ? task_.await_suspend(self) : self;
    }
    decltype(auto) await_resume() {
        if (is_started_) {
            task_.await_resume();
        }
        return result_();
    }

private:
    const once_gate& gate_;
    [[no_unique_address]] Body body_;
    [[no_unique_address]] Result result_;
    task<void> task_;
    bool is_started_ = false;
};

} // namespace detail

class once {
public:
    constexpr once() noexcept = default;
    once(const once&) = delete;
    once& operator=(const once&) = delete;

    /// Runs `function()`, which returns a task<void>, unless a call of this once has succeeded;
    /// waits for one that is in progress. Rethrows what `function` threw here.
    /// Requires: awaited in a task. Threads: any. Cancel: safe; the next one that waits has a try.
    template<typename F>
    requires std::same_as<std::invoke_result_t<F&>, task<void>>
    auto call(F function) {
        return detail::once_awaiter(
            gate_,
            [this, f = std::move(function)]() mutable { return run(gate_, std::move(f)); },
            [] {}
        );
    }

    /// The same for threads that run no task: `function()` returns nothing, and the thread sleeps
    /// while somebody else's call is in progress. Rethrows what `function` threw here. Aborts
    /// inside a task, unless a call has succeeded.
    template<std::invocable F>
    requires std::is_void_v<std::invoke_result_t<F>>
    void blocking_call(F&& function) {
        if (gate_.is_done()) {
            return;
        }
        detail::once_gate::turn turn = gate_.blocking_enter();
        if (turn) {
            std::invoke(std::forward<F>(function));
            turn.complete();
        }
    }

    /// Whether a call has succeeded. Threads: any.
    [[nodiscard]] bool is_done() const noexcept { return gate_.is_done(); }

private:
    template<typename F>
    static task<void> run(detail::once_gate& gate, F function) {
        detail::once_gate::turn turn = co_await gate.enter();
        if (turn) {
            co_await function();
            turn.complete();
        }
    }

    detail::once_gate gate_;
};

template<typename T>
class once_cell {
    static_assert(std::is_object_v<T> && !std::is_const_v<T>);

public:
    constexpr once_cell() noexcept {}
    once_cell(const once_cell&) = delete;
    once_cell& operator=(const once_cell&) = delete;
    ~once_cell() {
        if (gate_.is_done()) {
            std::destroy_at(std::addressof(value_));
        }
    }

    /// The value, made by `function()`, which returns a task<T>, if there is none yet; waits for a
    /// call that is in progress. Rethrows what `function` threw here. The reference is good for as
    /// long as the cell.
    /// Requires: awaited in a task. Threads: any. Cancel: safe; the next one that waits has a try.
    template<typename F>
    requires std::same_as<std::invoke_result_t<F&>, task<T>>
    auto get_or_init(F function) {
        return detail::once_awaiter(
            gate_,
            [this, f = std::move(function)]() mutable { return fill(*this, std::move(f)); },
            [this]() -> T& { return value_; }
        );
    }

    /// The same for threads that run no task: `function()` returns what the value is made from, and
    /// the thread sleeps while somebody else makes it. Rethrows what `function` threw here. Aborts
    /// inside a task, unless there is a value.
    template<std::invocable F>
    requires std::constructible_from<T, std::invoke_result_t<F>> T&
    blocking_get_or_init(F&& function) {
        if (!gate_.is_done()) {
            detail::once_gate::turn turn = gate_.blocking_enter();
            if (turn) {
                std::construct_at(std::addressof(value_), std::invoke(std::forward<F>(function)));
                turn.complete();
            }
        }
        return value_;
    }

    /// The value, or null. Threads: any.
    [[nodiscard]] T* get() noexcept { return gate_.is_done() ? std::addressof(value_) : nullptr; }
    [[nodiscard]] const T* get() const noexcept {
        return gate_.is_done() ? std::addressof(value_) : nullptr;
    }

    /// Puts a value in. False: there is one, or somebody is making it. Threads: any.
    template<typename U = T>
    requires std::constructible_from<T, U>
    bool set(U&& value) {
        detail::once_gate::turn turn = gate_.try_turn();
        if (!turn) {
            return false;
        }
        std::construct_at(std::addressof(value_), std::forward<U>(value));
        turn.complete();
        return true;
    }

private:
    template<typename F>
    static task<void> fill(once_cell& cell, F function) {
        detail::once_gate::turn turn = co_await cell.gate_.enter();
        if (turn) {
            std::construct_at(std::addressof(cell.value_), co_await function());
            turn.complete();
        }
    }

    detail::once_gate gate_;
    union {
        T value_; // made by whoever is inside the gate; constant once done
    };
};

} // namespace rt
