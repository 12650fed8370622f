// SPDX-License-Identifier: MIT
//
// Reading this process's own memory without trusting any address.
//
// A dump follows pointers that tasks may be changing and through frames that may be freed under
// it. The kernel copies the bytes (process_vm_readv on our own pid): an unmapped address is a
// failed read and not a crash, and the copy is no data race of the language. Where a seccomp filter
// refuses the call, a pipe does the same: write(2) from a bad address fails with EFAULT.
//
// A copy may be torn or stale; the callers check that what they copied still belonged together.
// Threads: the sentinel only, except copy_from_own, which is async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace rt::introspect {

// One piece to copy. `size` bytes from `address` to `target`; `ok` says whether all came.
struct read_piece {
    std::uintptr_t address = 0;
    void* target = nullptr;
    std::size_t size = 0;
    bool ok = false;
};

// Copies every piece it can, many with one system call. Returns how many are ok.
std::size_t read_pieces(std::span<read_piece> pieces) noexcept;

// The same for one.
[[nodiscard]] bool read_bytes(std::uintptr_t address, void* target, std::size_t size) noexcept;

template<class T>
[[nodiscard]] bool read_object(std::uintptr_t address, T& target) noexcept {
    return read_bytes(address, &target, sizeof(T));
}

// The zero-terminated string at `address`, cut at `size_max` bytes; empty when it cannot be read.
[[nodiscard]] std::string read_string(std::uintptr_t address, std::size_t size_max);

// One process_vm_readv and nothing else. False also where the call is refused.
[[nodiscard]] bool copy_from_own(std::uintptr_t address, void* target, std::size_t size) noexcept;

} // namespace rt::introspect
