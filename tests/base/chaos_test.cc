// SPDX-License-Identifier: MIT
//
// The chaos hook: it names its seed, once, and repeats the one it is given. That the library
// survives it is what the other suites show in a build with --enable-chaos.
#include "base/captured.h"
#include "support/test.h"

#include <rt/detail/atomic.h>

#include <cstdlib>
#include <string>
#include <thread>

#include <unistd.h>

namespace {

// What chaos_point() writes to descriptor 2 when `run` is executed; capture() leaves it out.
template<typename Function>
std::string announced(Function run) {
    int ends[2];
    cr_assert(::pipe(ends) == 0);
    const rt::test::captured ended = rt::test::capture([&] {
        ::dup2(ends[1], STDERR_FILENO);
        run();
    });
    cr_assert(ended.has_exited());
    ::close(ends[1]);
    char text[512];
    const ssize_t length = ::read(ends[0], text, sizeof(text));
    ::close(ends[0]);
    return {text, length > 0 ? static_cast<std::size_t>(length) : 0};
}

} // namespace

Test(chaos, announces_the_seed_that_it_was_given_once) {
    if (rt::detail::chaos_enabled) {
        cr_skip_test("this process has announced its seed already");
    }
    const std::string text = announced([] {
        ::setenv("LIBRT_CHAOS_SEED", "7", 1);
        std::thread other([] {
            for (int i = 0; i < 1000; ++i) {
                rt::detail::chaos_point();
            }
        });
        for (int i = 0; i < 1000; ++i) {
            rt::detail::chaos_point();
        }
        other.join();
    });
    cr_assert(text == "librt: LIBRT_CHAOS_SEED=7\n", "%s", text.c_str());
}
