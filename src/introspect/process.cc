// SPDX-License-Identifier: MIT
//
// /proc/self, read with as few descriptors as possible: the process may have none left.
//
// What cannot be read is reported as 0, because a page with a gap is worth more than no page. Short
// files are read with one read(2) into a buffer on the stack. Threads: the sentinel.
#include "introspect/process.h"

#include "base/clock.h"
#include "base/unique_fd.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

namespace rt::introspect {
namespace {

std::string read_file(const char* path) {
    const base::unique_fd fd(::open(path, O_RDONLY | O_CLOEXEC));
    char text[1024];
    const ssize_t length = fd ? ::read(fd.get(), text, sizeof(text)) : 0;
    return {text, length > 0 ? static_cast<std::size_t>(length) : 0};
}

// The fields of /proc/self/stat after the name, which may contain anything; the first is number 3.
std::uint64_t stat_field(const std::string& text, unsigned number) {
    const std::size_t close = text.rfind(')');
    if (close == std::string::npos) {
        return 0;
    }
    const char* at = text.c_str() + close + 1;
    for (unsigned field = 3; field < number && at != nullptr; ++field) {
        at = std::strchr(at + 1, ' ');
    }
    return at == nullptr ? 0 : std::strtoull(at, nullptr, 10);
}

process_facts read_facts() {
    process_facts facts;
    facts.pid = static_cast<std::uint32_t>(::getpid());
    facts.uid = ::geteuid();
    facts.comm = read_file("/proc/self/comm");
    while (facts.comm.ends_with('\n')) {
        facts.comm.pop_back();
    }
    constexpr unsigned start_time_field = 22; // proc(5): clock ticks after boot
    const auto per_second = static_cast<std::uint64_t>(std::max(::sysconf(_SC_CLK_TCK), 1L));
    const std::uint64_t ticks = stat_field(read_file("/proc/self/stat"), start_time_field);
    const std::uint64_t boot_ns = base::read_clock_ns(CLOCK_BOOTTIME);
    const std::uint64_t now_ns = base::monotonic_ns();
    const std::uint64_t age_ns =
        boot_ns - std::min(boot_ns, ticks * (base::ns_per_second / per_second));
    facts.started_ns = now_ns - std::min(age_ns, now_ns);
    facts.started_realtime_ns = base::realtime_ns() - age_ns;
    return facts;
}

// The number of entries of /proc/self/fd, without the descriptor that reads it.
std::uint64_t count_fds() noexcept {
    DIR* const directory = ::opendir("/proc/self/fd");
    if (directory == nullptr) {
        return 0;
    }
    std::uint64_t count = 0;
    while (const dirent* const entry = ::readdir(directory)) {
        count += entry->d_name[0] != '.' ? 1 : 0;
    }
    ::closedir(directory);
    return count > 0 ? count - 1 : 0;
}

} // namespace

const process_facts& process() {
    static process_facts facts = read_facts();
    if (facts.pid != static_cast<std::uint32_t>(::getpid())) {
        facts = read_facts();
    }
    return facts;
}

process_usage read_process_usage() {
    process_usage usage;
    usage.open_fds = count_fds();
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        usage.max_fds = limit.rlim_cur;
    }
    unsigned long long virtual_pages = 0;
    unsigned long long resident_pages = 0;
    const std::string memory = read_file("/proc/self/statm");
    if (std::sscanf(memory.c_str(), "%llu %llu", &virtual_pages, &resident_pages) == 2) {
        const auto page = static_cast<std::uint64_t>(std::max(::sysconf(_SC_PAGESIZE), 1L));
        usage.virtual_bytes = virtual_pages * page;
        usage.resident_bytes = resident_pages * page;
    }
    usage.cpu_ns = base::read_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    constexpr unsigned threads_field = 20; // proc(5)
    usage.threads = stat_field(read_file("/proc/self/stat"), threads_field);
    return usage;
}

} // namespace rt::introspect
