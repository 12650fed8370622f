// SPDX-License-Identifier: MIT
//
// The observer's life: one sentinel thread and one socket per process, for as long as some
// runtime is observed.
//
// The sentinel is an ordinary thread: not pinned, all signals blocked, no worker, no ring. Nothing
// that goes wrong here stops a runtime from working: it is then unobserved, and one line says why.
//
// fork(): threads do not survive in the child, and the parent's clients must not be answered by
// it. The handlers hold every lock of the observer across the fork; the child closes the
// descriptors, leaves the parent's socket file alone and starts afresh if it makes a runtime.
#include "runtime/observer.h"

#include "base/log.h"
#include "introspect/native_stack.h"
#include "introspect/observed.h"
#include "introspect/process.h"
#include "introspect/server.h"
#include "introspect/socket_path.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <string>

#include <pthread.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

namespace rt::introspect {
namespace {

constexpr int sentinel_nice = -5; // plucked from thin air: ahead of busy workers where allowed

struct observer {
    std::mutex lock; // guards the rest; held while starting and stopping
    bool has_fork_handlers = false;
    std::unique_ptr<server> running;
    listening_socket file; // its descriptor has gone to the server
    std::string path;
    pthread_t thread{};
};

observer& self() noexcept {
    // Never destroyed, for the same reason as observed().
    static observer& one = *new observer;
    return one;
}

void before_fork() {
    self().lock.lock();
    observed().lock_for_fork();
    if (self().running != nullptr) {
        self().running->before_fork();
    }
}

void after_fork_in_parent() {
    if (self().running != nullptr) {
        self().running->after_fork_in_parent();
    }
    observed().unlock_after_fork();
    self().lock.unlock();
}

void after_fork_in_child() {
    observer& one = self();
    if (one.running != nullptr) {
        one.running->after_fork_in_child();
        // Its thread is gone and its lists may be half-changed: it is left as it is.
        static_cast<void>(one.running.release());
    }
    one.path.clear();
    observed().clear();
    observed().unlock_after_fork();
    one.lock.unlock();
}

void* sentinel_main(void* argument) {
    ::pthread_setname_np(::pthread_self(), "librt-sentinel");
    // A runtime may be made on a thread that is pinned; the first thread's mask is what the
    // process was started with.
    cpu_set_t cpus;
    if (::sched_getaffinity(::getpid(), sizeof(cpus), &cpus) == 0) {
        static_cast<void>(::sched_setaffinity(0, sizeof(cpus), &cpus));
    }
    static_cast<void>(::setpriority(PRIO_PROCESS, 0, sentinel_nice)); // this thread alone, on Linux
    static_cast<server*>(argument)->run();
    return nullptr;
}

// A thread that takes no signals, not even in its first instructions.
int start_thread(pthread_t& thread, server* argument) noexcept {
    sigset_t all;
    sigset_t former;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &former);
    const int code = ::pthread_create(&thread, nullptr, &sentinel_main, argument);
    ::pthread_sigmask(SIG_SETMASK, &former, nullptr);
    return code;
}

void warn(const std::string& what) noexcept {
    base::log(
        base::log_level::warning,
        "no introspection socket: %s; set LIBRT_SOCKET to a path, or LIBRT_INTROSPECT=off",
        what.c_str()
    );
}

// REQUIRES: the observer's lock held, nothing running.
void start(observer& one, const std::string& explicit_path) {
    if (::getauxval(AT_SECURE) != 0) {
        return; // a privileged program's inside is nobody's business unless it says so in code
    }
    path_choice choice = choose_socket_path(path_environment::of_process(explicit_path));
    if (choice.path.empty()) {
        warn(choice.reasons);
        return;
    }
    result<listening_socket> made = listen_at(choice.path);
    if (!made) {
        warn(choice.path + ": " + made.error().message());
        return;
    }
    one.file = std::move(*made);
    static_cast<void>(process()); // reads the constant facts while descriptors can still be had
    result<std::unique_ptr<server>> running = server::make(std::move(one.file.fd), choice.path);
    if (!running) {
        remove_socket(choice.path, one.file);
        warn(running.error().message());
        return;
    }
    if (!one.has_fork_handlers) {
        one.has_fork_handlers =
            ::pthread_atfork(&before_fork, &after_fork_in_parent, &after_fork_in_child) == 0;
    }
    if (const int code = start_thread(one.thread, running->get()); code != 0) {
        remove_socket(choice.path, one.file);
        warn(error(code, "pthread_create").message());
        return;
    }
    one.running = std::move(*running);
    one.path = std::move(choice.path);
}

// REQUIRES: the observer's lock held.
void stop(observer& one) noexcept {
    if (one.running == nullptr) {
        return;
    }
    remove_socket(one.path, one.file);
    one.running->stop();
    ::pthread_join(one.thread, nullptr);
    one.running.reset();
    one.path.clear();
    remove_sampling_handler();
}

} // namespace
} // namespace rt::introspect

namespace rt::engine {

void start_observer(core& runtime) noexcept {
    introspect::observer& one = introspect::self();
    try {
        const std::lock_guard hold(one.lock);
        introspect::observed().add(runtime);
        if (one.running == nullptr) {
            introspect::start(one, runtime.settings().socket_path);
        }
    } catch (const std::bad_alloc&) {
        base::log(base::log_level::warning, "no introspection socket: out of memory");
    }
}

void note_times(core& runtime) noexcept {
    introspect::observed().note_times(runtime);
}

void stop_observer(core& runtime) noexcept {
    introspect::observer& one = introspect::self();
    const std::lock_guard hold(one.lock);
    introspect::observed().remove(runtime);
    if (introspect::observed().is_empty()) {
        introspect::stop(one);
    }
}

std::string observer_path() {
    introspect::observer& one = introspect::self();
    const std::lock_guard hold(one.lock);
    return one.path;
}

} // namespace rt::engine
