// SPDX-License-Identifier: MIT
//
// Sampling by signal.
//
// Each sample is a slot with one state word. Who may change it:
//
//   idle -> armed      the sentinel, before it sends the signal
//   armed -> filling   the handler, in the thread whose tid the slot names
//   filling -> done    the handler, when the addresses are written
//   armed -> idle      the sentinel, when the deadline has passed
//   done -> idle       the sentinel, after reading; or -> armed, for a sample that came too late
//
// The sentinel sleeps on a semaphore (sem_post is async-signal-safe): a waiter that spun on a busy
// machine would keep the sampled thread off its CPU (measured: 12 ms instead of 90 us).
#include "introspect/native_stack.h"

#include "base/arch.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "introspect/safe_read.h"

#include <rt/detail/atomic.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include <fcntl.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

namespace rt::introspect {
namespace {

constexpr int sample_signal = SIGURG;
constexpr std::size_t slot_count = 64; // threads sampled at once; more are said to be skipped
constexpr std::size_t depth_max = 64;  // native frames per sample
constexpr std::uintptr_t stack_span_max = std::uintptr_t{64} << 20U; // larger steps are not frames

enum slot_state : std::uint32_t { slot_idle, slot_armed, slot_filling, slot_done };

struct slot {
    atomic<std::uint32_t> state{slot_idle};
    atomic<int> tid{0};                                // written before armed
    std::uint32_t depth = 0;                           // handler, before done
    std::array<std::uintptr_t, depth_max> addresses{}; // handler, before done
};

std::array<slot, slot_count> slots;
sem_t filled;                                    // posted once per sample
constexpr std::size_t installs_max = 8;          // different handlers that we may find
struct sigaction former_actions[installs_max];   // what SIGURG did before us, each time
std::size_t install_count = 0;                   // sentinel only
atomic<const struct sigaction*> former{nullptr}; // read by handlers: an entry of the above
bool is_handler_set = false;                     // sentinel only

void walk(const ucontext_t& interrupted, slot& into) noexcept {
    std::uint32_t depth = 0;
    into.addresses[depth++] = base::native_frame::program_counter(interrupted);
    if constexpr (base::native_frame::has_frame_pointers) {
        std::uintptr_t frame = base::native_frame::frame_pointer(interrupted);
        std::uintptr_t below = base::native_frame::stack_pointer(interrupted);
        while (depth < depth_max && frame >= below && frame - below < stack_span_max &&
               frame % sizeof(std::uintptr_t) == 0) {
            alignas(std::uintptr_t) std::byte copy[base::native_frame::frame_bytes];
            if (!copy_from_own(frame, copy, sizeof(copy))) {
                break;
            }
            const auto at = reinterpret_cast<std::uintptr_t>(copy);
            const std::uintptr_t address = base::native_frame::return_address(at);
            if (address == 0) {
                break;
            }
            into.addresses[depth++] = address;
            below = frame + 1; // the chain only goes up
            frame = base::native_frame::caller_frame(at);
        }
    }
    into.depth = depth;
}

bool take_sample(const void* context) noexcept {
    const int self = static_cast<int>(::syscall(SYS_gettid));
    for (slot& one : slots) {
        std::uint32_t expected = slot_armed;
        // acquire: pairs with arm()'s release; the tid is visible with the state.
        if (one.state.load_acquire() == slot_armed && one.tid.load_relaxed() == self &&
            one.state.cas_strong_acquire(expected, slot_filling)) {
            walk(*static_cast<const ucontext_t*>(context), one);
            one.state.store_release(slot_done); // release: pairs with collect()'s acquire
            ::sem_post(&filled);
            return true;
        }
    }
    return false;
}

// Set while this thread is in the former handler. One that was installed after ours may call us
// back: it took us for its own former handler before we were installed again on top of it.
constinit thread_local bool is_chaining __attribute__((tls_model("initial-exec"))) = false;

void call_former(int number, siginfo_t* info, void* context) {
    if (is_chaining) {
        return;
    }
    is_chaining = true;
    // acquire: pairs with set_handler's release; the entry never changes afterwards.
    const struct sigaction* const next = former.load_acquire();
    if (next != nullptr && (next->sa_flags & SA_SIGINFO) != 0) {
        next->sa_sigaction(number, info, context);
    } else if (next != nullptr && next->sa_handler != SIG_DFL && next->sa_handler != SIG_IGN) {
        next->sa_handler(number);
    }
    is_chaining = false;
}

void on_signal(int number, siginfo_t* info, void* context) {
    const int saved = errno;
    if (!take_sample(context)) {
        call_former(number, info, context);
    }
    errno = saved;
}

// Makes the signal ours, again if the program has taken it since.
bool set_handler() noexcept {
    struct sigaction present {};
    if (::sigaction(sample_signal, nullptr, &present) != 0) {
        return false;
    }
    if ((present.sa_flags & SA_SIGINFO) != 0 && present.sa_sigaction == &on_signal) {
        return true;
    }
    static const bool is_semaphore_ready = ::sem_init(&filled, 0, 0) == 0;
    auto* const end = former_actions + install_count;
    auto* kept = std::find_if(former_actions, end, [&present](const struct sigaction& one) {
        return one.sa_flags == present.sa_flags && one.sa_sigaction == present.sa_sigaction;
    });
    if (!is_semaphore_ready || kept == std::end(former_actions)) {
        return is_handler_set; // perhaps whoever took it calls us
    }
    if (kept == end) {
        *kept = present;
        ++install_count;
    }
    former.store_release(kept); // release: pairs with call_former's acquire
    struct sigaction ours {};
    ours.sa_sigaction = &on_signal;
    ours.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
    sigfillset(&ours.sa_mask);
    is_handler_set = ::sigaction(sample_signal, &ours, nullptr) == 0;
    return is_handler_set;
}

struct named_call {
    long number;
    const char* name;
};

#define RT_CALL(name)                                                                              \
    { SYS_##name, #name }
constexpr named_call named_calls[] = {
    RT_CALL(read),    RT_CALL(write),           RT_CALL(futex),           RT_CALL(nanosleep),
    RT_CALL(ppoll),   RT_CALL(clock_nanosleep), RT_CALL(epoll_pwait),     RT_CALL(recvfrom),
    RT_CALL(sendto),  RT_CALL(recvmsg),         RT_CALL(sendmsg),         RT_CALL(accept4),
    RT_CALL(connect), RT_CALL(io_uring_enter),  RT_CALL(fsync),           RT_CALL(fdatasync),
    RT_CALL(pread64), RT_CALL(pwrite64),        RT_CALL(readv),           RT_CALL(writev),
    RT_CALL(openat),  RT_CALL(getdents64),      RT_CALL(flock),           RT_CALL(fcntl),
    RT_CALL(wait4),   RT_CALL(waitid),          RT_CALL(rt_sigtimedwait), RT_CALL(mmap),
    RT_CALL(munmap),  RT_CALL(madvise),         RT_CALL(sched_yield),     RT_CALL(pselect6),
};
#undef RT_CALL

std::string read_task_file(int tid, const char* name) {
    char path[64];
    std::snprintf(path, sizeof(path), "/proc/self/task/%d/%s", tid, name);
    const base::unique_fd fd(::open(path, O_RDONLY | O_CLOEXEC));
    char text[256];
    const ssize_t length = fd ? ::read(fd.get(), text, sizeof(text)) : 0;
    std::string made(text, length > 0 ? static_cast<std::size_t>(length) : 0);
    while (made.ends_with('\n')) {
        made.pop_back();
    }
    return made;
}

// "in futex (futex_wait_queue)" when the thread is inside a system call.
bool find_system_call(int tid, native_stack& stack) {
    const std::string line = read_task_file(tid, "syscall");
    long number = -1;
    if (line.empty() || line.starts_with("running") ||
        std::sscanf(line.c_str(), "%ld", &number) != 1 || number < 0) {
        return false;
    }
    const auto* const named =
        std::find_if(std::begin(named_calls), std::end(named_calls), [number](const auto& one) {
            return one.number == number;
        });
    stack.place = named == std::end(named_calls) ? "in system call " + std::to_string(number)
                                                 : std::string("in ") + named->name;
    const std::string where = read_task_file(tid, "wchan");
    if (!where.empty() && where != "0") {
        stack.place += " (" + where + ")";
    }
    // The last number is the program counter: the C library's wrapper, as a rule.
    const std::size_t last = line.rfind(' ');
    if (last != std::string::npos) {
        const auto pc = std::strtoull(line.c_str() + last + 1, nullptr, 16);
        if (pc != 0) {
            stack.addresses.push_back(static_cast<std::uintptr_t>(pc));
        }
    }
    stack.is_in_system_call = true;
    return true;
}

slot* arm(int tid) noexcept {
    for (slot& one : slots) {
        // A slot that was filled too late is done, and nobody waits for it. acquire: pairs with
        // take_sample's release, so that its writes come before ours.
        const std::uint32_t state = one.state.load_acquire();
        if (state == slot_idle || state == slot_done) {
            one.tid.store_relaxed(tid);
            one.state.store_release(slot_armed); // release: pairs with take_sample's acquire
            return &one;
        }
    }
    return nullptr;
}

bool wait_for_sample(std::uint64_t deadline_ns) noexcept {
    const std::uint64_t now_ns = base::monotonic_ns();
    if (now_ns >= deadline_ns) {
        return false;
    }
    // sem_clockwait is newer than some supported C libraries; the wall clock may jump, which costs
    // a sample and nothing else.
    const std::uint64_t until_ns = base::realtime_ns() + (deadline_ns - now_ns);
    const timespec until{
        static_cast<time_t>(until_ns / base::ns_per_second),
        static_cast<long>(until_ns % base::ns_per_second)};
    while (::sem_timedwait(&filled, &until) != 0) {
        if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

void collect(slot& one, native_stack& stack) {
    // acquire: pairs with take_sample's release of done.
    if (one.state.load_acquire() == slot_done) {
        stack.addresses.assign(one.addresses.begin(), one.addresses.begin() + one.depth);
        stack.place = "on CPU";
        one.state.store_relaxed(slot_idle); // relaxed: no handler looks at an idle slot
        return;
    }
    std::uint32_t expected = slot_armed;
    if (one.state.cas_strong_acquire(expected, slot_idle)) {
        stack.place =
            "not sampled: the thread did not take SIGURG in time (blocked, or no CPU for it)";
    } else {
        stack.place = "not sampled: the thread was put off its CPU while it answered";
    }
}

} // namespace

std::vector<native_stack> sample_threads(std::span<const int> tids, std::uint64_t deadline_ns) {
    std::vector<native_stack> stacks(tids.size());
    std::vector<slot*> armed(tids.size(), nullptr);
    const bool can_sample = set_handler();
    while (can_sample && ::sem_trywait(&filled) == 0) {
        // Posts of samples that came after their deadline.
    }
    std::size_t awaited = 0;
    for (std::size_t i = 0; i < tids.size(); ++i) {
        if (find_system_call(tids[i], stacks[i])) {
            continue;
        }
        armed[i] = can_sample ? arm(tids[i]) : nullptr;
        if (armed[i] == nullptr) {
            stacks[i].place = can_sample ? "not sampled: too many threads at once"
                                         : "not sampled: SIGURG is not available";
        } else if (::syscall(SYS_tgkill, ::getpid(), tids[i], sample_signal) == 0) {
            ++awaited;
        }
    }
    while (awaited > 0 && wait_for_sample(deadline_ns)) {
        --awaited;
    }
    for (std::size_t i = 0; i < tids.size(); ++i) {
        if (armed[i] != nullptr) {
            collect(*armed[i], stacks[i]);
        }
    }
    return stacks;
}

void remove_sampling_handler() noexcept {
    struct sigaction present {};
    if (is_handler_set && ::sigaction(sample_signal, nullptr, &present) == 0 &&
        (present.sa_flags & SA_SIGINFO) != 0 && present.sa_sigaction == &on_signal) {
        static_cast<void>(::sigaction(sample_signal, former.load_relaxed(), nullptr));
        is_handler_set = false;
    }
}

} // namespace rt::introspect
