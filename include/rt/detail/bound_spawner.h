// SPDX-License-Identifier: MIT
//
// The functions of what owns tasks (rt::join_set) that start one which stays on a worker, as
// rt::spawn_on and rt::spawn_local do. See spawner.h for why there are so many.
//
// Threads: as rt::spawn_on and rt::spawn_local, which abort with advice where there is no worker;
// what owns the tasks belongs to one thread at a time.
#pragma once

#include <rt/detail/promise.h>
#include <rt/spawn.h>
#include <rt/spawn_on.h>
#include <rt/task.h>

#include <cstdint>
#include <utility>

namespace rt::detail {

// `Self` has start_on(scheduler_base*, task<T>, how), with `how` as of create_task in rt/spawn.h.
template<typename Self>
class bound_spawner {
public:
    template<typename T>
    auto spawn_on(std::uint32_t worker, task<T> body, site at = site::current()) {
        return put(scheduler_of_worker_or_fatal(worker, at), std::move(body), titled(at));
    }
    template<typename F>
    requires task_function<F>
    auto spawn_on(std::uint32_t worker, F&& f, site at = site::current()) {
        return spawn_on(worker, make_owned(std::forward<F>(f)), at);
    }
    template<typename F, typename A>
    requires task_function<F, A>
    auto spawn_on(std::uint32_t worker, F&& f, A&& a, site at = site::current()) {
        return spawn_on(worker, make_owned(std::forward<F>(f), std::forward<A>(a)), at);
    }
    template<typename F, typename A, typename B>
    requires task_function<F, A, B>
    auto spawn_on(std::uint32_t worker, F&& f, A&& a, B&& b, site at = site::current()) {
        return spawn_on(
            worker, make_owned(std::forward<F>(f), std::forward<A>(a), std::forward<B>(b)), at
        );
    }
    template<typename F, typename... Args>
    requires task_function<F, Args...>
    [[gnu::always_inline]] auto
    spawn_on(std::uint32_t worker, const spawn_options& options, F&& f, Args&&... args) {
        return with_options(options, [&](auto how) {
            return put(
                scheduler_of_worker_or_fatal(worker, site_of(how)),
                make_owned(std::forward<F>(f), std::forward<Args>(args)...),
                how
            );
        });
    }

    template<typename T>
    auto spawn_local(task<T> body, site at = site::current()) {
        return put(scheduler_of_this_worker_or_fatal(at), std::move(body), titled(at));
    }
    template<typename F>
    requires task_function<F>
    auto spawn_local(F&& f, site at = site::current()) {
        return spawn_local(make_owned(std::forward<F>(f)), at);
    }
    template<typename F, typename A>
    requires task_function<F, A>
    auto spawn_local(F&& f, A&& a, site at = site::current()) {
        return spawn_local(make_owned(std::forward<F>(f), std::forward<A>(a)), at);
    }
    template<typename F, typename A, typename B>
    requires task_function<F, A, B>
    auto spawn_local(F&& f, A&& a, B&& b, site at = site::current()) {
        return spawn_local(
            make_owned(std::forward<F>(f), std::forward<A>(a), std::forward<B>(b)), at
        );
    }
    template<typename F, typename... Args>
    requires task_function<F, Args...>
    [[gnu::always_inline]] auto spawn_local(const spawn_options& options, F&& f, Args&&... args) {
        return with_options(options, [&](auto how) {
            return put(
                scheduler_of_this_worker_or_fatal(site_of(how)),
                make_owned(std::forward<F>(f), std::forward<Args>(args)...),
                how
            );
        });
    }

private:
    template<typename T, typename How>
    auto put(scheduler_base* on, task<T> body, How how) {
        return static_cast<Self&>(*this).start_on(on, std::move(body), how);
    }
};

} // namespace rt::detail
