// SPDX-License-Identifier: MIT
//
// Numbers of threads, and a child of fork().
#include "base/process.h"
#include "support/test.h"

#include <thread>

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace rt::base;

namespace {

pid_t ask_the_kernel() {
    return static_cast<pid_t>(::syscall(SYS_gettid));
}

} // namespace

Test(process, a_thread_knows_its_number) {
    cr_assert_eq(thread_id(), ask_the_kernel());
    cr_assert_eq(thread_id(), ask_the_kernel(), "the second time, too");
    std::thread([] { cr_assert_eq(thread_id(), ask_the_kernel()); }).join();
}

Test(process, a_child_does_not_take_itself_for_its_parent) {
    const process_mark parent;
    cr_assert_not(parent.is_foreign());
    cr_assert_eq(thread_id(), ask_the_kernel());
    const pid_t child = ::fork();
    if (child == 0) {
        ::_exit(parent.is_foreign() && thread_id() == ask_the_kernel() ? 0 : 1);
    }
    int status = -1;
    cr_assert_eq(::waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
