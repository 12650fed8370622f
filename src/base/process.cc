// SPDX-License-Identifier: MIT
#include "base/process.h"

#include "base/assert.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace rt::base {

constinit atomic<std::uint32_t> process_state::generation{0};

process_mark::process_mark() noexcept {
    // Without memory for the handler forks go unnoticed, as in a program without this check.
    static const int is_installed = ::pthread_atfork(nullptr, nullptr, [] {
        process_state::generation.add_relaxed(1); // relaxed: the only thread of the child
    });
    static_cast<void>(is_installed);
    made_in_ = process_state::generation.load_relaxed();
}

pid_t thread_id() noexcept {
    struct known {
        pid_t id = 0;
        process_mark mark;
    };
    thread_local known self;
    if (self.id == 0 || self.mark.is_foreign()) [[unlikely]] {
        self.mark = process_mark();
        self.id = static_cast<pid_t>(::syscall(SYS_gettid));
    }
    return self.id;
}

void process_mark::refuse() noexcept {
    fatal(
        "a child of fork() uses a runtime of its parent, whose threads it does not have: exec, or "
        "make a runtime in the child"
    );
}

} // namespace rt::base
