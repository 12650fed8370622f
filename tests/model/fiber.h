// SPDX-License-Identifier: MIT
//
// What explore.cc and memory.cc share: a fiber of the explorer, and the hash.
#pragma once

#include "model/explore.h"

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <ucontext.h>

namespace rt::model {

inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
    std::uint64_t x = a * 0x9e3779b97f4a7c15ULL ^ (b + 0x7f4a7c159e3779b9ULL + (a << 6U));
    x ^= x >> 32U;
    x *= 0xd6e8feb86659fd93ULL;
    x ^= x >> 32U;
    x *= 0xd6e8feb86659fd93ULL;
    return x ^ x >> 32U;
}

struct machine::fiber {
    enum class state : std::uint8_t { fresh, running, done };

    std::unique_ptr<std::byte[]> stack{new std::byte[fiber_stack_bytes]};
    ucontext_t first{};
    std::jmp_buf top;  // where an execution begins
    std::jmp_buf here; // where it stopped
    bool is_entered = false;
    state now = state::fresh;
    bool (*is_so)(void*) = nullptr; // null: not waiting
    void* context = nullptr;
    std::uint64_t history = 0;
    std::uint64_t operations = 0;
    std::uint64_t stores = 0;         // of its own, in this execution
    std::uint64_t others_at_spin = 0; // stores of others, at its last spin()
    view seen;
    view released; // what a release fence has published for later relaxed stores
    view pending;  // what relaxed loads have seen, for a later acquire fence
};

} // namespace rt::model
