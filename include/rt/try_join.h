// SPDX-License-Identifier: MIT
//
// rt::try_join: several fallible things at once within one task, all or nothing.
//
//     auto loaded = co_await rt::try_join(load_user(id), load_orders(id));
//     if (!loaded) {
//         co_return rt::failure(loaded.error());
//     }
//     auto& [user, orders] = *loaded;
//
// It is rt::join (rt/select.h) for parts that yield an rt::result: the first part that ends with an
// error cancels the others, and when they have unwound that error is the result of the whole. For
// what parts throw rt::join does the same already, and so does this: an exception leaves it as one.
// So an expected failure stays a value, which nobody has to throw for the sake of the others.
//
// Cancel: safe; as rt::join. No part outlives the co_await.
#pragma once

#include <rt/detail/branches.h>
#include <rt/result.h>
#include <rt/select.h>
#include <rt/task.h>

#include <array>
#include <cstddef>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace rt {

namespace detail {

template<typename R>
struct result_of;
template<typename T>
struct result_of<result<T>> {
    using type = T;
};

template<typename A>
concept fallible_part = part<A> && requires {
    typename result_of<part_value<A>>::type;
};
template<typename A>
using fallible_value = typename result_of<part_value<A>>::type;

// The first error, if no exception came before it.
struct try_join_state {
    std::optional<error> why;
    branch_group* group;
};

// A part of the join: empty when it, or another one, has failed. A second error comes too late.
template<typename T>
task<std::optional<value_or_unit<T>>> try_part(try_join_state& shared, task<result<T>> part) {
    if (!part) [[unlikely]] {
        throw_for_empty("rt::try_join of a task", co_await caller_site{});
    }
    result<T> got = co_await std::move(part);
    if (!got) {
        if (!shared.why && shared.group->decisive() == nullptr) {
            shared.why = got.error();
            shared.group->cancel_members();
        }
        co_return std::nullopt;
    }
    if constexpr (std::is_void_v<T>) {
        co_return std::optional<std::monostate>(std::in_place);
    } else {
        co_return std::optional<T>(std::move(*got));
    }
}

template<typename... T>
task<result<join_value<T...>>> try_join_all(task<result<T>>... parts) {
    const site at = co_await caller_site{};
    std::array<task_header*, sizeof...(T)> slots{};
    branch_group group(group_policy::first_failure, slots.data());
    try_join_state shared{std::nullopt, &group};
    std::tuple<join_handle<std::optional<value_or_unit<T>>>...> handles{
        group.add(try_part<T>(shared, std::move(parts)), at)...};
    while (!group.is_done()) {
        co_await group;
    }
    if (shared.why) {
        co_return std::unexpected(*shared.why);
    }
    if (group.has_failed()) {
        throw_for_empty("rt::try_join of a task", co_await caller_site{});
    }
    std::apply([&](auto&... each) { (rethrow_if(each, group.decisive()), ...); }, handles);
    if constexpr (std::is_void_v<join_value<T...>>) {
        co_return result<void>();
    } else {
        co_return std::apply(
            [](auto&... each) { return join_value<T...>{std::move(*each.take())...}; }, handles
        );
    }
}

} // namespace detail

/// Runs all parts and waits for the last. Yields an rt::result of a std::tuple of their values,
/// with std::monostate for void; an rt::result<void> if all are void.
/// Errors: that of the part that failed first, once the others have been cancelled and have ended.
/// An exception that comes before any error is rethrown in the same way; std::bad_alloc when there
/// is no memory for a part.
template<detail::fallible_part... A>
requires(sizeof...(A) > 0)
    [[nodiscard]] task<result<detail::join_value<detail::fallible_value<A>...>>> try_join(
        A&&... parts
    ) {
    return detail::try_join_all<detail::fallible_value<A>...>(detail::as_task(std::forward<A>(parts)
    )...);
}

/// The same for any number of parts of one type; yields their values in the order of the parts.
template<typename T>
[[nodiscard]] task<
    result<std::conditional_t<std::is_void_v<T>, void, std::vector<detail::slot_value<T>>>>>
try_join(std::vector<task<result<T>>> parts, detail::site at = detail::site::current()) {
    std::vector<detail::task_header*> slots(parts.size());
    std::vector<join_handle<std::optional<detail::value_or_unit<T>>>> handles;
    handles.reserve(parts.size());
    detail::branch_group group(detail::group_policy::first_failure, slots.data());
    detail::try_join_state shared{std::nullopt, &group};
    for (task<result<T>>& part : parts) {
        handles.push_back(group.add(detail::try_part<T>(shared, std::move(part)), at));
    }
    while (!group.is_done()) {
        co_await group;
    }
    if (shared.why) {
        co_return std::unexpected(*shared.why);
    }
    if (group.has_failed()) {
        detail::throw_for_empty("rt::try_join of a task", at);
    }
    for (auto& handle : handles) {
        detail::rethrow_if(handle, group.decisive());
    }
    if constexpr (std::is_void_v<T>) {
        co_return result<void>();
    } else {
        std::vector<T> values;
        values.reserve(handles.size());
        for (auto& handle : handles) {
            values.push_back(std::move(*handle.take()));
        }
        co_return values;
    }
}

} // namespace rt
