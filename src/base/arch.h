// SPDX-License-Identifier: MIT
//
// The contract of arch/<cpu>/, and the only place that includes those headers.
//
// A port is a folder with five files: cpu_arch.h, clock_arch.h, frame_arch.h, probe_arch.h and
// syscall_arch.h, each with one struct of static functions. The build puts exactly one such folder
// on the include path, so that src has no #ifdef on the CPU. The concepts below state every
// operation a port owes and that none of them throws; a port that lacks one fails here, with the
// concept's name, and not in some distant file. Everything here may be called from any thread, and
// all but clock_arch::is_invariant and frequency_hz (which may trap to a hypervisor) from a signal
// handler and on hot paths.
#pragma once

#include "clock_arch.h"
#include "cpu_arch.h"
#include "frame_arch.h"
#include "probe_arch.h"
#include "syscall_arch.h"

#include <concepts>
#include <cstddef>
#include <cstdint>

#include <ucontext.h>

namespace rt::base {

/// name: what `rtctl info` prints. relax: one turn of a spin loop. prefetch: hints, never faults.
/// destructive_interference_bytes: the distance that keeps two writers apart.
template<class A>
concept cpu_contract = requires(const void* address) {
    requires std::same_as<decltype(A::name), const char* const>;
    requires A::cache_line_bytes >= 16;
    requires A::destructive_interference_bytes >= A::cache_line_bytes;
    requires noexcept(A::relax());
    requires noexcept(A::prefetch_read(address));
    requires noexcept(A::prefetch_write(address));
};

/// cycles: a counter that rises at a constant rate and agrees between CPUs, when is_invariant() and
/// the kernel's clock source is among trusted_sources. frequency_hz: its rate, or 0 when it must be
/// measured.
template<class A>
concept clock_contract = requires {
    requires std::same_as<decltype(A::has_cycle_counter), const bool>;
    requires std::same_as<decltype(A::trusted_sources), const char* const>;
    requires std::same_as<decltype(A::cycles()), std::uint64_t>;
    requires noexcept(A::cycles());
    requires std::same_as<decltype(A::is_invariant()), bool>;
    requires noexcept(A::is_invariant());
    requires std::same_as<decltype(A::frequency_hz()), std::uint64_t>;
    requires noexcept(A::frequency_hz());
};

/// caller_frame and return_address read frame_bytes at the frame pointer, which the caller has
/// checked to be inside the stack. The last three take apart what a signal handler gets.
template<class A>
concept frame_contract = requires(std::uintptr_t frame, const ucontext_t& interrupted) {
    requires std::same_as<decltype(A::has_frame_pointers), const bool>;
    requires std::same_as<decltype(A::frame_bytes), const std::uintptr_t>;
    requires noexcept(A::current_frame());
    requires noexcept(A::caller_frame(frame));
    requires noexcept(A::return_address(frame));
    requires noexcept(A::program_counter(interrupted));
    requires noexcept(A::frame_pointer(interrupted));
    requires noexcept(A::stack_pointer(interrupted));
};

/// opaque: the same value, of which the compiler knows nothing more.
template<class A>
concept probe_contract = requires(std::uint64_t word, const void* address) {
    requires std::same_as<decltype(A::operand_constraint), const char* const>;
    requires noexcept(A::opaque(word));
    requires noexcept(A::opaque(address));
};

/// call: what the kernel returns, an error as -errno; errno is left alone or not.
template<class A>
concept syscall_contract = requires(long word) {
    { A::call(word, word, word, word, word, word, word) }
    noexcept->std::same_as<long>;
};

using cpu = arch::cpu_arch;
using cycle_counter = arch::clock_arch;
using native_frame = arch::frame_arch;
using probe_operand = arch::probe_arch;
using kernel = arch::syscall_arch;

static_assert(cpu_contract<cpu>);
static_assert(clock_contract<cycle_counter>);
static_assert(frame_contract<native_frame>);
static_assert(probe_contract<probe_operand>);
static_assert(syscall_contract<kernel>);

} // namespace rt::base
