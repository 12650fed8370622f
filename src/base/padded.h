// SPDX-License-Identifier: MIT
//
// padded<T>: a T that shares its cache lines with nobody. For words that different threads write,
// and for arrays with one element per worker; where several words are written by the same thread,
// put them into one struct and pad that.
#pragma once

#include "base/arch.h"

#include <cstddef>
#include <utility>

namespace rt::base {

inline constexpr std::size_t interference_bytes = cpu::destructive_interference_bytes;

// Rings, frames and counters are laid out for this distance; a port may not choose less.
static_assert(interference_bytes >= 128);

template<class T>
struct alignas(interference_bytes) padded {
    T value{};

    constexpr padded() = default;
    template<class... Arguments>
    constexpr explicit padded(std::in_place_t, Arguments&&... arguments)
        : value(std::forward<Arguments>(arguments)...) {}

    T& operator*() noexcept { return value; }
    const T& operator*() const noexcept { return value; }
    T* operator->() noexcept { return &value; }
    const T* operator->() const noexcept { return &value; }
};

static_assert(sizeof(padded<char>) == interference_bytes);
static_assert(alignof(padded<char>) == interference_bytes);

} // namespace rt::base
