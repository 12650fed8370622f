// SPDX-License-Identifier: MIT
//
// What a machine may refuse: io_uring, descriptors, threads. The runtime falls back and says so in
// one line, or the constructor throws std::system_error; nothing is left behind and nothing
// crashes.
//
// The refusals are real: a seccomp filter as containers install it, and resource limits. Each is
// set in a child process of the test, because neither can be taken back.
#include "base/captured.h"
#include "support/test.h"
#include "task/gate.h"
#include "task/sockets.h"

#include <rt/blocking.h>
#include <rt/runtime.h>
#include <rt/spawn.h>
#include <rt/time.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <system_error>
#include <thread>

#include <dirent.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using rt::task;
using rt::test::capture;
using rt::test::captured;
using rt::test::with_workers;

void clear_environment() {
    ::unsetenv("LIBRT_DRIVER"); // these tests choose by themselves
}

TestSuite(refused, .init = clear_environment);

// Makes a system call fail with an error from now on, in this process.
void refuse(long number, int error) {
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter{std::size(program), program};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        std::fprintf(stderr, "no seccomp\n");
        ::_exit(77);
    }
}

void expect(bool is_so, const char* what) {
    if (!is_so) {
        std::fprintf(stderr, "not so: %s\n", what);
        ::_exit(1);
    }
}

task<int> uses_everything() {
    rt::test::sockets pair;
    co_await rt::sleep(1ms);
    std::thread writer([&] { pair.write('x'); });
    const char byte = co_await rt::test::read_one(&pair.near);
    writer.join();
    const int more = co_await rt::blocking([] { return 3; });
    co_return (byte == 'x' ? 4 : 0) + more;
}

void use(rt::driver_kind driver) {
    for (const std::uint32_t workers : {0U, 1U, 2U}) {
        rt::runtime runtime(with_workers(workers, driver));
        expect(runtime.block_on(uses_everything()) == 7, "the runtime works");
    }
}

std::size_t lines_of(const std::string& text) {
    std::size_t lines = 0;
    for (const char letter : text) {
        lines += letter == '\n' ? 1 : 0;
    }
    return lines;
}

std::size_t entries_of(const char* path) {
    std::size_t count = 0;
    DIR* const folder = ::opendir(path);
    expect(folder != nullptr, path);
    while (::readdir(folder) != nullptr) {
        ++count;
    }
    ::closedir(folder);
    return count;
}

void skip_without_seccomp(const captured& got) {
    if (WIFEXITED(got.status) && WEXITSTATUS(got.status) == 77) {
        cr_skip_test("seccomp filters are not available");
    }
}

// The last error that a constructor threw, or 0.
int construction_error(const rt::config& wanted) {
    try {
        const rt::runtime runtime(wanted);
    } catch (const std::system_error& caught) {
        expect(caught.what()[0] != '\0', "it says something");
        return caught.code().value();
    }
    return 0;
}

} // namespace

// ---- io_uring -----------------------------------------------------------------------------------

Test(refused, io_uring_setup_falls_back_to_epoll_with_one_line_of_advice) {
    for (const int error : {EPERM, ENOSYS, ENOMEM}) {
        const captured got = capture([=] {
            refuse(SYS_io_uring_setup, error);
            rt::runtime runtime(with_workers(2));
            expect(runtime.block_on(uses_everything()) == 7, "the runtime works");
        });
        skip_without_seccomp(got);
        cr_assert(got.has_exited(), "status %x: %s", got.status, got.text.c_str());
        cr_assert(got.says("epoll"), "%s", got.text.c_str());
        cr_assert(got.says("io_uring_setup"), "%s", got.text.c_str());
        cr_assert_eq(lines_of(got.text), 1U, "%s", got.text.c_str());
    }
}

Test(refused, io_uring_enter_falls_back_to_epoll) {
    const captured got = capture([] {
        refuse(SYS_io_uring_enter, EPERM);
        use(rt::driver_kind::automatic);
    });
    skip_without_seccomp(got);
    cr_assert(got.has_exited(), "status %x: %s", got.status, got.text.c_str());
    cr_assert(got.says("io_uring_enter"), "%s", got.text.c_str());
}

Test(refused, io_uring_register_does_without_or_falls_back) {
    const captured got = capture([] {
        refuse(SYS_io_uring_register, EPERM);
        use(rt::driver_kind::automatic);
    });
    skip_without_seccomp(got);
    cr_assert(got.has_exited(), "status %x: %s", got.status, got.text.c_str());
}

Test(refused, io_uring_is_not_touched_when_epoll_is_asked_for) {
    const captured got = capture([] {
        refuse(SYS_io_uring_setup, EPERM);
        use(rt::driver_kind::epoll);
        ::setenv("LIBRT_DRIVER", "epoll", 1);
        use(rt::driver_kind::automatic);
    });
    skip_without_seccomp(got);
    cr_assert(got.has_exited(), "status %x: %s", got.status, got.text.c_str());
    cr_assert(got.text.empty(), "%s", got.text.c_str());
}

Test(refused, io_uring_that_was_asked_for_by_name_is_an_error) {
    const captured got = capture([] {
        refuse(SYS_io_uring_setup, EPERM);
        for (const std::uint32_t workers : {0U, 1U, 2U}) {
            const rt::config wanted = with_workers(workers, rt::driver_kind::uring);
            expect(construction_error(wanted) == EPERM, "EPERM reaches the caller");
        }
        // And nothing stands in the way of one that works.
        use(rt::driver_kind::epoll);
    });
    skip_without_seccomp(got);
    cr_assert(got.has_exited(), "status %x: %s", got.status, got.text.c_str());
}

// ---- descriptors --------------------------------------------------------------------------------

Test(refused, too_few_descriptors_are_an_error_and_leave_nothing_behind) {
    for (const rt::driver_kind driver : {rt::driver_kind::uring, rt::driver_kind::epoll}) {
        const captured got = capture([=] {
            if (driver == rt::driver_kind::uring &&
                construction_error(with_workers(1, driver)) != 0) {
                return; // there is no io_uring here at all
            }
            std::thread([] {}).join(); // with the first one comes the thread sanitizer's own
            const std::size_t threads = entries_of("/proc/self/task");
            const std::size_t descriptors = entries_of("/proc/self/fd");
            const rlimit few{16, 16};
            expect(::setrlimit(RLIMIT_NOFILE, &few) == 0, "the limit is set");
            for (int i = 0; i < 5; ++i) {
                expect(construction_error(with_workers(8, driver)) == EMFILE, "EMFILE");
                expect(entries_of("/proc/self/task") == threads, "no thread is left");
                expect(entries_of("/proc/self/fd") == descriptors, "no descriptor is left");
            }
            rt::runtime runtime(with_workers(1, driver)); // that many there are
            expect(
                runtime.block_on([]() -> task<int> {
                    co_await rt::sleep(1ms);
                    co_return 5;
                }()) == 5,
                "a smaller one works"
            );
        });
        cr_assert(got.has_exited(), "status %x: %s", got.status, got.text.c_str());
    }
}

Test(refused, no_descriptor_at_all_is_an_error) {
    for (const rt::driver_kind driver :
         {rt::driver_kind::automatic, rt::driver_kind::uring, rt::driver_kind::epoll}) {
        for (const std::uint32_t workers : {0U, 1U, 2U}) {
            const captured got = capture([=] {
                const rlimit none{3, 3};
                expect(::setrlimit(RLIMIT_NOFILE, &none) == 0, "the limit is set");
                expect(construction_error(with_workers(workers, driver)) != 0, "it throws");
            });
            cr_assert(got.has_exited(), "status %x: %s", got.status, got.text.c_str());
        }
    }
}

// ---- threads ------------------------------------------------------------------------------------

Test(refused, threads_that_cannot_be_made_are_an_error_and_leave_nothing_behind) {
    const captured got = capture([] {
        // Whatever makes a thread: glibc tries clone3 and then clone.
        refuse(SYS_clone3, EAGAIN);
        refuse(SYS_clone, EAGAIN);
        const std::size_t descriptors = entries_of("/proc/self/fd");
        for (int i = 0; i < 3; ++i) {
            const int code = construction_error(with_workers(4, rt::driver_kind::epoll));
            expect(code == EAGAIN, "EAGAIN reaches the caller");
            expect(entries_of("/proc/self/fd") == descriptors, "no descriptor is left");
        }
        rt::runtime current(with_workers(0, rt::driver_kind::epoll));
        expect(
            current.block_on([]() -> task<int> {
                co_await rt::sleep(1ms);
                co_return 5;
            }()) == 5,
            "current_thread needs none"
        );
    });
    skip_without_seccomp(got);
    cr_assert(got.has_exited(), "status %x: %s", got.status, got.text.c_str());
}

// ---- configuration, for programs that leave it to rt::block_on ----------------------------------

Test(refused, free_block_on_ends_the_process_with_status_78_and_every_reason) {
    const captured got = capture([] {
        ::setenv("LIBRT_WORKERS", "many", 1);
        ::setenv("LIBRT_PIN", "tightly", 1);
        rt::block_on([]() -> task<void> {
            co_return;
        }());
    });
    cr_assert(WIFEXITED(got.status) && WEXITSTATUS(got.status) == 78, "%d", got.status);
    cr_assert(got.says("LIBRT_WORKERS") && got.says("LIBRT_PIN"), "%s", got.text.c_str());
}

// ---- threads ------------------------------------------------------------------------------------

// A worker cannot wait for the end of its own runtime: whoever destroys it does.
Test(refused, no_thread_for_a_shutdown_that_a_task_asks_for_leaves_it_to_the_owner) {
    for (const std::uint32_t workers : {1U, 2U}) {
        const captured got = capture([workers] {
            ::alarm(20);
            rt::config wanted = with_workers(workers);
            wanted.relief_threads = 0; // one that cannot be made would be reported too
            rt::runtime runtime(wanted);
            const auto asks = [](rt::runtime* of) -> task<void> {
                refuse(SYS_clone, EAGAIN); // of this thread only
                refuse(SYS_clone3, EAGAIN);
                of->shut_down_in_background();
                expect(of->shut_down(0ns).is_complete == false, "it has not ended");
                co_await rt::sleep(1h); // it is cancelled here
                std::abort();
            };
            const auto asking = runtime.get_handle().spawn(asks(&runtime));
            while (!asking.is_finished()) {
                std::this_thread::yield();
            }
        });
        skip_without_seccomp(got);
        cr_assert(got.has_exited(), "status %x: %s", got.status, got.text.c_str());
        cr_assert(got.says("whoever destroys the runtime waits"), "%s", got.text.c_str());
    }
}
