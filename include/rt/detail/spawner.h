// SPDX-License-Identifier: MIT
//
// The spawn functions of what owns tasks (rt::scope, rt::join_set), written once.
//
// One overload per number of arguments, because a default argument cannot follow a pack and the
// spawn site must be the caller's line. With rt::spawn_options, which carry the site, there may be
// any number.
#pragma once

#include <rt/detail/promise.h>
#include <rt/spawn.h>
#include <rt/task.h>

#include <utility>

namespace rt::detail {

// `Self` has start(task<T>, how), with `how` as of create_task in rt/spawn.h.
template<typename Self>
class spawner {
public:
    template<typename T>
    auto spawn(task<T> body, site at = site::current()) {
        return self().start(std::move(body), titled(at));
    }
    template<typename F>
    requires task_function<F>
    auto spawn(F&& f, site at = site::current()) {
        return self().start(make_owned(std::forward<F>(f)), titled(at));
    }
    template<typename F, typename A>
    requires task_function<F, A>
    auto spawn(F&& f, A&& a, site at = site::current()) {
        return self().start(make_owned(std::forward<F>(f), std::forward<A>(a)), titled(at));
    }
    template<typename F, typename A, typename B>
    requires task_function<F, A, B>
    auto spawn(F&& f, A&& a, B&& b, site at = site::current()) {
        return self().start(
            make_owned(std::forward<F>(f), std::forward<A>(a), std::forward<B>(b)), titled(at)
        );
    }
    template<typename F, typename A, typename B, typename C>
    requires task_function<F, A, B, C>
    auto spawn(F&& f, A&& a, B&& b, C&& c, site at = site::current()) {
        return self().start(
            make_owned(
                std::forward<F>(f), std::forward<A>(a), std::forward<B>(b), std::forward<C>(c)
            ),
            titled(at)
        );
    }

    template<typename T>
    [[gnu::always_inline]] auto spawn(const spawn_options& options, task<T> body) {
        return with_options(options, [&](auto how) { return self().start(std::move(body), how); });
    }
    template<typename F, typename... Args>
    requires task_function<F, Args...>
    [[gnu::always_inline]] auto spawn(const spawn_options& options, F&& f, Args&&... args) {
        return with_options(options, [&](auto how) {
            return self().start(make_owned(std::forward<F>(f), std::forward<Args>(args)...), how);
        });
    }

private:
    Self& self() noexcept { return static_cast<Self&>(*this); }
};

} // namespace rt::detail
