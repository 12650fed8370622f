// SPDX-License-Identifier: MIT
//
// Several things at once within one task: rt::join waits for all, rt::select for the first.
//
//     auto [user, orders] = co_await rt::join(load_user(id), load_orders(id));
//
//     auto next = co_await rt::select(listener.accept(), stop.recv());
//     if (next.index() == 1) { ... }
//
// The parts run on the task's worker, one at a time, and may share its locals without a lock; for
// parallel work see rt/scope.h. A part is an rt::task, or anything else that can be awaited: see
// rt/detail/part.h.
//
// Cancel: safe; asks every part to unwind and waits for it. So does the end of a select for the
// parts that lost, and an exception in one part of a join for the others: no part outlives the
// co_await, so parts may use the caller's locals by reference.
#pragma once

#include <rt/detail/branches.h>
#include <rt/detail/part.h>
#include <rt/detail/promise.h>
#include <rt/join.h>
#include <rt/task.h>

#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace rt {

// Given first to rt::select: of parts that are ready at the same time, the one that was named first
// wins. Otherwise a random one does.
struct biased_t {};
inline constexpr biased_t biased{};

// What a select over a vector yields.
template<typename T>
struct selected {
    std::size_t index; // of the part that ended first
    T value;
};
template<>
struct selected<void> {
    std::size_t index;
};

namespace detail {

template<typename T>
using value_or_unit = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template<typename... T>
using join_value =
    std::conditional_t<(std::is_void_v<T> && ...), void, std::tuple<value_or_unit<T>...>>;

template<typename T>
value_or_unit<T> take_value(join_handle<T>& handle) {
    if constexpr (std::is_void_v<T>) {
        handle.take();
        return {};
    } else {
        return handle.take();
    }
}

// Rethrows what the part threw that ended the join.
template<typename T>
void rethrow_if(join_handle<T>& handle, const task_header* decisive) {
    if (handle.header() == decisive) {
        static_cast<void>(take_value(handle));
    }
}

template<typename... T>
task<join_value<T...>> join_all(task<T>... parts) {
    const site at = co_await caller_site{};
    std::array<task_header*, sizeof...(T)> slots{};
    branch_group group(group_policy::first_failure, slots.data());
    std::tuple<join_handle<T>...> handles{group.add(std::move(parts), at)...};
    while (!group.is_done()) {
        co_await group;
    }
    if (group.has_failed()) {
        throw_for_empty("rt::join of a task", co_await caller_site{});
    }
    std::apply([&](auto&... each) { (rethrow_if(each, group.decisive()), ...); }, handles);
    if constexpr (std::is_void_v<join_value<T...>>) {
        co_return;
    } else {
        co_return std::apply(
            [](auto&... each) { return join_value<T...>{take_value(each)...}; }, handles
        );
    }
}

template<typename T, std::size_t... I>
T take_winner(auto& handles, const task_header* winner, std::index_sequence<I...> /*all*/) {
    // One of them matches: the group has a winner.
    std::size_t index = 0;
    static_cast<void>(((std::get<I>(handles).header() == winner ? (index = I, true) : false) || ...)
    );
    using maker = T (*)(std::remove_reference_t<decltype(handles)>&);
    static constexpr maker makers[] = {+[](std::remove_reference_t<decltype(handles)>& from) -> T {
        return T(std::in_place_index<I>, take_value(std::get<I>(from)));
    }...};
    return makers[index](handles);
}

template<typename... T>
task<std::variant<value_or_unit<T>...>> select_first(bool is_biased, task<T>... parts) {
    const site at = co_await caller_site{};
    std::array<task_header*, sizeof...(T)> slots{};
    branch_group group(group_policy::first_end, slots.data());
    std::tuple<join_handle<T>...> handles{group.add(std::move(parts), at)...};
    if (is_biased) {
        group.set_biased();
    } else {
        group.shuffle();
    }
    while (!group.is_done()) {
        co_await group;
    }
    if (group.has_failed()) {
        throw_for_empty("rt::select of a task", co_await caller_site{});
    }
    co_return take_winner<std::variant<value_or_unit<T>...>>(
        handles, group.decisive(), std::index_sequence_for<T...>{}
    );
}

} // namespace detail

/// Runs all parts and waits for the last. Yields a std::tuple of their values, with std::monostate
/// for void; nothing if all are void.
/// Errors: rethrows the first exception, once the other parts have been cancelled and have ended.
/// std::bad_alloc when there is no memory for a part.
template<detail::part... A>
requires(sizeof...(A) > 0)
    [[nodiscard]] task<detail::join_value<detail::part_value<A>...>> join(A&&... parts) {
    return detail::join_all(detail::as_task(std::forward<A>(parts))...);
}

/// Runs all parts until the first has ended, with a value or an exception, which is rethrown; then
/// cancels the others and waits until they have unwound. Yields a std::variant whose index() is the
/// winner's. Parts that have lost take nothing: what they were woken for stays, or goes back. A
/// join handle that is passed by name keeps its task then.
template<detail::part... A>
requires(sizeof...(A) > 0) [[nodiscard]] auto select(A&&... parts) {
    return detail::select_first(false, detail::as_task(std::forward<A>(parts))...);
}
template<detail::part... A>
requires(sizeof...(A) > 0) [[nodiscard]] auto select(biased_t /*order*/, A&&... parts) {
    return detail::select_first(true, detail::as_task(std::forward<A>(parts))...);
}

/// The same for any number of parts of one type; yields their values in the order of the parts.
template<typename T>
[[nodiscard]] task<std::conditional_t<std::is_void_v<T>, void, std::vector<detail::slot_value<T>>>>
join(std::vector<task<T>> parts, detail::site at = detail::site::current()) {
    std::vector<detail::task_header*> slots(parts.size());
    std::vector<join_handle<T>> handles;
    handles.reserve(parts.size());
    detail::branch_group group(detail::group_policy::first_failure, slots.data());
    for (task<T>& part : parts) {
        handles.push_back(group.add(std::move(part), at));
    }
    while (!group.is_done()) {
        co_await group;
    }
    if (group.has_failed()) {
        detail::throw_for_empty("rt::join of a task", at);
    }
    for (join_handle<T>& handle : handles) {
        detail::rethrow_if(handle, group.decisive());
    }
    if constexpr (std::is_void_v<T>) {
        co_return;
    } else {
        std::vector<T> values;
        values.reserve(handles.size());
        for (join_handle<T>& handle : handles) {
            values.push_back(handle.take());
        }
        co_return values;
    }
}

/// Requires: at least one part.
template<typename T>
[[nodiscard]] task<selected<T>>
select(std::vector<task<T>> parts, detail::site at = detail::site::current()) {
    std::vector<detail::task_header*> slots(parts.size());
    std::vector<join_handle<T>> handles;
    handles.reserve(parts.size());
    detail::branch_group group(detail::group_policy::first_end, slots.data());
    for (task<T>& part : parts) {
        handles.push_back(group.add(std::move(part), at));
    }
    group.shuffle();
    while (!group.is_done()) {
        co_await group;
    }
    if (group.has_failed()) {
        detail::throw_for_empty("rt::select of a task", at);
    }
    std::size_t index = 0;
    while (index + 1 < handles.size() && handles[index].header() != group.decisive()) {
        ++index;
    }
    if constexpr (std::is_void_v<T>) {
        handles.at(index).take();
        co_return selected<void>{index};
    } else {
        co_return selected<T>{index, handles.at(index).take()};
    }
}

} // namespace rt
