// SPDX-License-Identifier: MIT
//
// The port this build was made for: its operations do something sane, and frame pointers lead back
// to callers.
#include "base/arch.h"
#include "base/padded.h"
#include "support/test.h"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <utility>

#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

using namespace rt::base;

Test(arch, names_itself_and_its_cache_lines) {
    cr_assert(std::strlen(cpu::name) > 0);
    cr_assert((cpu::cache_line_bytes & (cpu::cache_line_bytes - 1)) == 0);
    cpu::relax();
}

Test(arch, prefetching_never_faults) {
    void* page = ::mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(page != MAP_FAILED);
    cpu::prefetch_read(page);
    cpu::prefetch_write(page);
    cpu::prefetch_read(nullptr);
    cpu::prefetch_write(nullptr);
}

Test(arch, system_calls_give_what_the_kernel_gives) {
    cr_assert_eq(kernel::call(SYS_getpid, 0, 0, 0, 0, 0, 0), ::getpid());
    cr_assert_eq(kernel::call(SYS_close, -1, 0, 0, 0, 0, 0), -EBADF);
    // All six arguments arrive.
    const long page =
        kernel::call(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert(page > 0);
    auto* const byte = reinterpret_cast<volatile char*>(page);
    byte[4095] = 1;
    cr_assert_eq(kernel::call(SYS_munmap, page, 4096, 0, 0, 0, 0), 0);
}

Test(arch, cycle_counter_counts_upwards) {
    if (!cycle_counter::has_cycle_counter) {
        cr_skip_test("this port has no cycle counter");
    }
    const std::uint64_t begin = cycle_counter::cycles();
    for (int round = 0; round < 1'000; ++round) {
        cpu::relax();
    }
    cr_assert(cycle_counter::cycles() > begin);
}

[[gnu::noinline]] static std::uintptr_t address_above_caller(std::uintptr_t* caller_frame) {
    const std::uintptr_t here = native_frame::current_frame();
    *caller_frame = native_frame::caller_frame(here);
    return native_frame::return_address(*caller_frame);
}

[[gnu::noinline]] static bool finds_own_caller() {
    std::uintptr_t frame = 0;
    const std::uintptr_t found = address_above_caller(&frame);
    const auto expected = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
    const bool is_same_frame = frame == native_frame::current_frame();
    return is_same_frame && found == expected;
}

Test(arch, frame_pointers_lead_to_the_caller) {
    if (!native_frame::has_frame_pointers) {
        cr_skip_test("this port knows no frame layout");
    }
    cr_assert(finds_own_caller());
}

static std::uintptr_t seen_pc;
static std::uintptr_t seen_fp;
static std::uintptr_t seen_sp;

static void look(int, siginfo_t*, void* context) {
    const auto& interrupted = *static_cast<const ucontext_t*>(context);
    seen_pc = native_frame::program_counter(interrupted);
    seen_fp = native_frame::frame_pointer(interrupted);
    seen_sp = native_frame::stack_pointer(interrupted);
}

Test(arch, a_signal_context_gives_its_registers) {
    if (!native_frame::has_frame_pointers) {
        cr_skip_test("this port knows no frame layout");
    }
    struct sigaction action = {};
    action.sa_sigaction = look;
    action.sa_flags = SA_SIGINFO;
    cr_assert(::sigaction(SIGUSR1, &action, nullptr) == 0);
    cr_assert(::raise(SIGUSR1) == 0);
    // Not the address of a local: AddressSanitizer keeps those on a stack of its own.
    const std::uintptr_t here = native_frame::current_frame();
    constexpr std::uintptr_t near = 1U << 20;
    cr_assert(seen_pc != 0);
    cr_assert(seen_sp < here + near && seen_sp + near > here, "the stack pointer is on this stack");
    cr_assert(seen_fp >= seen_sp || seen_fp == 0, "the frame pointer is not below the stack");
}

Test(arch, opaque_keeps_the_value) {
    cr_assert(probe_operand::opaque(std::uint64_t{42}) == 42);
    int target = 0;
    cr_assert(probe_operand::opaque(&target) == &target);
}

Test(padded, neighbours_do_not_share_lines) {
    padded<std::uint32_t> array[2];
    *array[0] = 1;
    *array[1] = 2;
    const auto first = reinterpret_cast<std::uintptr_t>(&array[0].value);
    const auto second = reinterpret_cast<std::uintptr_t>(&array[1].value);
    cr_assert(second - first >= interference_bytes);
    cr_assert(first % interference_bytes == 0);
    cr_assert(*array[0] == 1 && *array[1] == 2);
}

Test(padded, constructs_in_place) {
    const padded<std::pair<int, int>> both(std::in_place, 1, 2);
    cr_assert(both->first == 1 && both->second == 2);
}
