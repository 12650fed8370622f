// SPDX-License-Identifier: MIT
//
// sched_setaffinity(2) and its kin, with masks of any size: the system calls are made directly,
// because glibc's wrapper checks nothing more and its cpu_set_t stops at 1024 CPUs. Each function
// is about the calling thread, or reads what the kernel publishes; the one process-wide word is the
// mask from before the first pinning.
#include "topology/affinity.h"

#include "base/assert.h"
#include "base/text_writer.h"
#include "base/unique_fd.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <mutex>

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace rt::topology {

namespace {

constexpr std::size_t thread_name_bytes_max = 15;
constexpr std::size_t mask_words = cpu_count_max / 64;

// Written once, before the first pin of the process; read by threads whose was_pinned is set, which
// the same call_once orders after the write.
std::once_flag mask_saved;
cpu_set& mask_before_first_pin() {
    static cpu_set mask;
    return mask;
}

thread_local constinit bool was_pinned = false;

} // namespace

result<cpu_set> affinity_of_this_thread() {
    std::uint64_t mask[mask_words] = {};
    const long bytes = ::syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);
    if (bytes < 0) {
        return failure(errno, "sched_getaffinity");
    }
    cpu_set cpus;
    for (std::uint32_t cpu = 0; cpu < static_cast<std::uint32_t>(bytes) * 8; ++cpu) {
        if (((mask[cpu / 64] >> (cpu % 64)) & 1U) != 0) {
            cpus.add(cpu);
        }
    }
    return cpus;
}

result<void> pin_this_thread(const cpu_set& cpus) {
    RT_ASSERT(!cpus.is_empty());
    const result<cpu_set> before = affinity_of_this_thread();
    if (!before) {
        return failure(before.error());
    }
    const auto& words = cpus.words();
    const std::size_t bytes = words.size() * sizeof(words[0]);
    if (::syscall(SYS_sched_setaffinity, 0, bytes, words.data()) != 0) {
        return failure(errno, "sched_setaffinity");
    }
    if (!was_pinned) {
        std::call_once(mask_saved, [&] { mask_before_first_pin() = *before; });
        was_pinned = true;
    }
    return {};
}

result<cpu_set> affinity_unpinned() {
    if (was_pinned) {
        return mask_before_first_pin();
    }
    return affinity_of_this_thread();
}

void name_this_thread(std::string_view name) noexcept {
    char shown[thread_name_bytes_max + 1] = {};
    std::size_t length = 0;
    while (length < name.size()) {
        const std::size_t step = std::max<std::size_t>(base::utf8_sequence(name.substr(length)), 1);
        if (length + step > thread_name_bytes_max) {
            break;
        }
        length += step;
    }
    std::copy_n(name.data(), length, shown);
    ::prctl(PR_SET_NAME, shown); // fails only for a bad address
}

std::uint32_t current_cpu() noexcept {
    const int cpu = ::sched_getcpu();
    return cpu < 0 ? 0 : static_cast<std::uint32_t>(cpu);
}

result<run_queue_times> read_run_queue_times(pid_t thread) {
    base::text_buffer<64> path;
    path.text("/proc/self/task/").decimal_signed(thread).text("/schedstat").character('\0');
    const base::unique_fd file(::open(path.view().data(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        return failure(errno, "open schedstat");
    }
    char text[128];
    const ssize_t length = ::read(file.get(), text, sizeof(text));
    if (length < 0) {
        return failure(errno, "read schedstat");
    }
    // "running waiting timeslices", in nanoseconds.
    run_queue_times times{};
    const char* end = text + length;
    const auto first = std::from_chars(text, end, times.running_ns);
    if (first.ec != std::errc{} || first.ptr == end) {
        return failure(EBADMSG, "parse schedstat");
    }
    const auto second = std::from_chars(first.ptr + 1, end, times.waiting_ns);
    if (second.ec != std::errc{}) {
        return failure(EBADMSG, "parse schedstat");
    }
    return times;
}

} // namespace rt::topology
