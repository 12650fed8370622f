// SPDX-License-Identifier: MIT
//
// Choosing a process: by directory, name, pid and path, with sockets that are stale among them.
//
// Method: LIBRT_SOCKET names a directory of the test; the other directories of the machine may
// hold sockets too, so that the names used here are long and their own.
#include "base/unique_fd.h"
#include "support/test.h"
#include "tools/target.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

using rt::tools::choose_target;
using rt::tools::exit_code;
using rt::tools::find_sockets;
using rt::tools::found_socket;

namespace {

constexpr std::uint64_t short_time_ns = 50'000'000;

class socket_directory {
public:
    socket_directory() {
        char name[] = "/tmp/rt-target-test-XXXXXX";
        path_ = ::mkdtemp(name);
        ::setenv("LIBRT_SOCKET", path_.c_str(), 1);
    }
    ~socket_directory() {
        if (std::system(("rm -rf " + path_).c_str()) != 0) {
            cr_log_warn("%s is left", path_.c_str());
        }
    }
    [[nodiscard]] std::string operator/(const std::string& name) const {
        return path_ + "/" + name;
    }

    // A socket that somebody listens on as long as the descriptor is open.
    [[nodiscard]] rt::base::unique_fd listen(const std::string& name) const {
        rt::base::unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        const std::string path = *this / name;
        std::memcpy(address.sun_path, path.c_str(), path.size());
        cr_assert_eq(
            ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0
        );
        cr_assert_eq(::listen(fd.get(), 4), 0);
        return fd;
    }

private:
    std::string path_;
};

bool is_listed(const std::string& path) {
    const auto sockets = find_sockets();
    return std::any_of(sockets.begin(), sockets.end(), [&](const found_socket& one) {
        return one.path == path;
    });
}

} // namespace

Test(target, sockets_are_found_by_their_names) {
    const socket_directory at;
    const auto one = at.listen("some_test_server.4001.sock");
    const auto other = at.listen("not-one-of-ours");
    cr_assert_eq(std::system(("touch " + (at / "a_plain_file.4002.sock")).c_str()), 0);
    cr_assert(is_listed(at / "some_test_server.4001.sock"));
    cr_assert(!is_listed(at / "not-one-of-ours"));
    cr_assert(!is_listed(at / "a_plain_file.4002.sock"));
}

Test(target, a_name_a_pid_or_a_path_chooses) {
    const socket_directory at;
    const auto first = at.listen("first_test_server.4001.sock");
    const auto second = at.listen("second_test_server.4002.sock");
    const std::string path = at / "second_test_server.4002.sock";
    cr_assert(choose_target("second_test_server", short_time_ns).path == path);
    cr_assert(choose_target("second test server", short_time_ns).path == path);
    cr_assert(choose_target("4002", short_time_ns).path == path);
    cr_assert(choose_target("/any/path", short_time_ns).path == "/any/path");
}

Test(target, several_of_a_name_are_a_question_back) {
    const socket_directory at;
    const auto first = at.listen("same_test_server.4001.sock");
    const auto second = at.listen("same_test_server.4002.sock");
    const auto chosen = choose_target("same_test_server", short_time_ns);
    cr_assert(chosen.outcome == exit_code::usage);
    cr_assert(chosen.problem.find("4001") != std::string::npos);
    cr_assert(chosen.problem.find("4002") != std::string::npos);
}

Test(target, a_stale_socket_does_not_make_the_choice_hard_and_is_removed) {
    const socket_directory at;
    { const auto gone = at.listen("same_test_server.4001.sock"); }
    const auto alive = at.listen("same_test_server.4002.sock");
    const auto chosen = choose_target("same_test_server", short_time_ns);
    cr_assert(chosen.path == at / "same_test_server.4002.sock", "%s", chosen.problem.c_str());
    cr_assert_eq(::access((at / "same_test_server.4001.sock").c_str(), F_OK), -1);
}

Test(target, what_is_not_there_is_explained) {
    const socket_directory at;
    const auto by_name = choose_target("no_such_test_server", short_time_ns);
    cr_assert(by_name.outcome == exit_code::no_process);
    cr_assert(by_name.problem.find("looked in ") != std::string::npos);
    const auto by_pid = choose_target(std::to_string(::getpid()), short_time_ns);
    cr_assert(by_pid.outcome == exit_code::no_process);
    cr_assert(by_pid.problem.find("has no librt socket") != std::string::npos);
    const auto absent = choose_target("2147483646", short_time_ns);
    cr_assert(absent.problem.find("does not exist") != std::string::npos);
}

Test(target, the_variable_may_name_the_socket_itself) {
    const socket_directory at;
    const auto one = at.listen("any");
    ::setenv("LIBRT_SOCKET", (at / "any").c_str(), 1);
    cr_assert(choose_target("", short_time_ns).path == at / "any");
}
