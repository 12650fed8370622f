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

// `Self` has start_on(scheduler_base*, task<T>, site, const char* name).
template<typename Self>
class bound_spawner {
public:
    template<typename T>
    auto spawn_on(std::uint32_t worker, task<T> body, site at = site::current()) {
        return put(scheduler_of_worker_or_fatal(worker, at), std::move(body), at);
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
    auto spawn_on(std::uint32_t worker, spawn_options options, F&& f, Args&&... args) {
        return put(
            scheduler_of_worker_or_fatal(worker, options.at),
            make_owned(std::forward<F>(f), std::forward<Args>(args)...),
            options.at,
            options.name.text()
        );
    }

    template<typename T>
    auto spawn_local(task<T> body, site at = site::current()) {
        return put(scheduler_of_this_worker_or_fatal(at), std::move(body), at);
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
    auto spawn_local(spawn_options options, F&& f, Args&&... args) {
        return put(
            scheduler_of_this_worker_or_fatal(options.at),
            make_owned(std::forward<F>(f), std::forward<Args>(args)...),
            options.at,
            options.name.text()
        );
    }

private:
    template<typename T>
    auto put(scheduler_base* on, task<T> body, site at, const char* name = nullptr) {
        return static_cast<Self&>(*this).start_on(on, std::move(body), at, name);
    }
};

} // namespace rt::detail
