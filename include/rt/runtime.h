// SPDX-License-Identifier: MIT
//
// rt::runtime and rt::block_on: make a runtime, run a task on it, take it down.
//
//     int main() { return rt::block_on(serve()); }             // defaults and LIBRT_* variables
//
//     rt::runtime runtime({.workers = 4, .cpus = "0-3"});       // or by hand
//     runtime.block_on(serve());
//
// block_on runs its task on a worker, like any other, and parks the calling thread until it has
// ended; the caller's stack may be used by reference. (Tokio runs it on the caller, which costs two
// thread wake-ups per hop between root and tasks: 24 us against 0.2 us in perf's request_reply.)
// With flavor::current_thread the calling thread is the worker while it is inside block_on.
//
// Configuration, lowest to highest: the defaults (rt/config.h), the fields set in code, LIBRT_*
// environment variables. All faults are reported at once, by std::invalid_argument from
// the constructor. Resources that cannot be had throw std::system_error.
#pragma once

#include <rt/config.h>
#include <rt/detail/config.h>
#include <rt/enter.h>
#include <rt/shutdown.h>
#include <rt/spawn.h>
#include <rt/spawn_blocking.h>
#include <rt/task.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

namespace rt {

namespace detail {
// A running core, or why there is none.
struct started {
    std::shared_ptr<engine::core> core;
    int code = 0;      // errno of a refused resource; 0: the configuration is at fault
    std::string fault; // every reason, a line each
};
RT_API started start(const config& wanted);
// The exception that has shut the runtime down, if `root` was cancelled by that; else null.
RT_API std::exception_ptr unhandled_of(engine::core& core, const join_handle_base& root) noexcept;
// Schedules a new task. Parks the calling thread, or runs the scheduler on it, until it has ended.
RT_API void run_root(engine::core& core, const join_handle_base& root) noexcept;
RT_API scheduler_base* scheduler_of(engine::core& core) noexcept;
// Aborts with advice when the calling thread is running a task.
RT_API void forbid_nested_block_on(site at) noexcept;

template<typename T>
T block_on(engine::core& core, task<T> body, site at) {
    forbid_nested_block_on(at);
    join_handle<T> root = create(
        scheduler_of(core), std::move(body), titled(at, "block_on"), "rt::block_on of a task"
    );
    if (root) {
        run_root(core, root);
        if (const std::exception_ptr thrown = unhandled_of(core, root)) [[unlikely]] {
            std::rethrow_exception(thrown);
        }
    }
    return root.take();
}
} // namespace detail

// A way to spawn onto a runtime from any thread. Copyable; does not keep the runtime alive: used
// after it, spawn gives a handle that is already cancelled.
class RT_API handle {
public:
    // The runtime of the calling thread. Aborts with advice outside a runtime.
    static handle current();
    // The same, or an empty handle.
    static handle try_current() noexcept;

    explicit operator bool() const noexcept { return core_ != nullptr; }

    template<typename T>
    join_handle<T> spawn(task<T> body, detail::site at = detail::site::current()) const {
        return detail::launch(scheduler(), std::move(body), detail::titled(at));
    }
    template<typename T>
    [[gnu::always_inline]] join_handle<T> spawn(const spawn_options& options, task<T> body) const {
        return detail::with_options(options, [&](auto how) {
            return detail::launch(scheduler(), std::move(body), how);
        });
    }
    // f(args...), which the task owns as in rt::spawn; with more arguments or a name, with options.
    template<typename F>
    requires detail::task_function<F>
    auto spawn(F&& f, detail::site at = detail::site::current()) const {
        return spawn_at(at, std::forward<F>(f));
    }
    template<typename F, typename A>
    requires detail::task_function<F, A>
    auto spawn(F&& f, A&& a, detail::site at = detail::site::current()) const {
        return spawn_at(at, std::forward<F>(f), std::forward<A>(a));
    }
    template<typename F, typename A, typename B>
    requires detail::task_function<F, A, B>
    auto spawn(F&& f, A&& a, B&& b, detail::site at = detail::site::current()) const {
        return spawn_at(at, std::forward<F>(f), std::forward<A>(a), std::forward<B>(b));
    }
    template<typename F, typename... Args>
    requires detail::task_function<F, Args...>
    [[gnu::always_inline]] auto spawn(const spawn_options& options, F&& f, Args&&... args) const {
        return detail::with_options(options, [&](auto how) {
            return detail::launch(
                scheduler(),
                detail::make_owned(std::forward<F>(f), std::forward<Args>(args)...),
                how
            );
        });
    }
    template<typename F, typename... Args>
    requires detail::task_function<F, Args...>
    auto spawn_at(detail::site at, F&& f, Args&&... args) const {
        return detail::launch(
            scheduler(),
            detail::make_owned(std::forward<F>(f), std::forward<Args>(args)...),
            detail::titled(at)
        );
    }
    // A task that only worker `worker` runs (rt/spawn_on.h). Aborts with advice if there is none.
    template<typename T>
    join_handle<T>
    spawn_on(std::uint32_t worker, task<T> body, detail::site at = detail::site::current()) const {
        return detail::launch(scheduler_on(worker, at), std::move(body), detail::titled(at));
    }
    template<typename T>
    [[gnu::always_inline]] join_handle<T>
    spawn_on(std::uint32_t worker, const spawn_options& options, task<T> body) const {
        return detail::with_options(options, [&](auto how) {
            return detail::launch(scheduler_on(worker, detail::site_of(how)), std::move(body), how);
        });
    }
    template<typename F>
    requires detail::blocking_function<std::decay_t<F>>
    auto spawn_blocking(F&& function, detail::site at = detail::site::current()) const {
        return detail::launch_blocking(target(), std::forward<F>(function), detail::titled(at));
    }
    template<typename F>
    requires detail::blocking_function<std::decay_t<F>>
    [[gnu::always_inline]] auto spawn_blocking(const spawn_options& options, F&& function) const {
        return detail::with_options(options, [&](auto how) {
            return detail::launch_blocking(target(), std::forward<F>(function), how);
        });
    }

    // The same as the runtime's. After its end the body never runs: rt::join_error is thrown.
    template<typename T>
    T block_on(task<T> body, detail::site at = detail::site::current()) const {
        return detail::block_on(*core_or_fatal(), std::move(body), at);
    }

    // Makes the runtime the calling thread's for as long as the guard lives (rt/enter.h).
    enter_guard enter() const;

    // Number of workers: their indices are below it.
    [[nodiscard]] std::uint32_t worker_count() const noexcept;
    // Of the runtime: never 0, and no other runtime of the process has it, before or later.
    [[nodiscard]] std::uint64_t id() const noexcept;
    // config::name of the runtime; lives as long as the handle.
    [[nodiscard]] const std::string& name() const noexcept;

private:
    friend class runtime;
    [[nodiscard]] engine::core* core_or_fatal() const noexcept;
    explicit handle(std::shared_ptr<engine::core> core) noexcept;
    [[nodiscard]] detail::scheduler_base* scheduler() const noexcept;
    [[nodiscard]] detail::scheduler_base*
    scheduler_on(std::uint32_t worker, detail::site at) const noexcept;
    [[nodiscard]] detail::blocking_target target() const noexcept;

    std::shared_ptr<engine::core> core_;
};

// Owns the workers. Destroying it cancels every task that is left, runs their destructors on the
// workers, lets closures that rt::blocking has started finish, and joins all threads.
class RT_API runtime {
public:
    runtime()
        : runtime(config{}) {}
    explicit runtime(const config& wanted) {
        detail::started result = detail::start(wanted);
        if (!result.core) {
            throw_fault(result);
        }
        core_ = std::move(result.core);
    }
    runtime(const runtime&) = delete;
    runtime& operator=(const runtime&) = delete;
    ~runtime();

    // The same as destroying it, but waits for at most `timeout`. What is late then goes on being
    // taken down by a thread of its own; the report says what that is. Further calls do nothing.
    // Called on a thread of the runtime itself it aborts with advice, unless `timeout` is 0.
    shutdown_report shut_down(std::chrono::nanoseconds timeout);
    // Does not wait at all. May be called in a task of the runtime (flavor::multi_thread).
    void shut_down_in_background();

    template<typename T>
    T block_on(task<T> body, detail::site at = detail::site::current()) {
        return detail::block_on(*core_, std::move(body), at);
    }

    [[nodiscard]] handle get_handle() const noexcept;
    // Number of worker threads.
    [[nodiscard]] std::uint32_t worker_count() const noexcept;
    // Path of the introspection socket, empty when there is none.
    [[nodiscard]] std::string introspection_path() const;

private:
    [[noreturn]] static void throw_fault(const detail::started& result) {
        if (result.code == 0) {
            throw std::invalid_argument(result.fault);
        }
        throw std::system_error(result.code, std::generic_category(), result.fault);
    }

    std::shared_ptr<engine::core> core_;
    bool is_handed_over_ = false; // another thread takes the core down
};

namespace detail {
// Makes a runtime, or says on standard error why it cannot and ends the process.
RT_API std::unique_ptr<runtime> runtime_or_exit(const config& wanted);
} // namespace detail

// For main(): makes a runtime, runs `body` on it, takes it down, returns what `body` returned. If
// the configuration is invalid or the machine refuses what it asks for, prints every reason and
// ends the process with status 78 (EX_CONFIG); use rt::runtime to handle that yourself.
template<typename T>
T block_on(const config& wanted, task<T> body, detail::site at = detail::site::current()) {
    const std::unique_ptr<runtime> instance = detail::runtime_or_exit(wanted);
    return instance->block_on(std::move(body), at);
}
template<typename T>
T block_on(task<T> body, detail::site at = detail::site::current()) {
    return block_on(config{}, std::move(body), at);
}

// The path of this process's introspection socket, empty when there is none.
RT_API std::string introspection_path();

} // namespace rt
