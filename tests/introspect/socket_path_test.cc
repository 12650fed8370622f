// SPDX-License-Identifier: MIT
//
// The directory chain, the limits of a socket's name, and binding with the right mode.
//
// Goal: a socket never lands where others could have prepared the place, nor opens to others.
// Method: all directories of the chain are moved into one of the test's own.
#include "introspect/socket_path.h"
#include "support/test.h"

#include <rt/introspect.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

using rt::introspect::choose_socket_path;
using rt::introspect::listen_at;
using rt::introspect::path_choice;
using rt::introspect::path_environment;

namespace {

// A directory that is gone with the test.
class scratch {
public:
    scratch() {
        char name[] = "/tmp/rt-path-test-XXXXXX";
        path_ = ::mkdtemp(name);
    }
    ~scratch() {
        if (std::system(("rm -rf " + path_).c_str()) != 0) {
            cr_log_warn("%s is left", path_.c_str());
        }
    }
    [[nodiscard]] std::string operator/(const std::string& name) const {
        return path_ + "/" + name;
    }

private:
    std::string path_;
};

// As of a user who is not root and has nothing but a place for temporary files.
path_environment plain(const scratch& at) {
    path_environment made;
    made.system_directory = at / "absent";
    made.temporary_prefix = at / "librt-";
    made.comm = "my server";
    made.uid = ::geteuid();
    made.pid = 77;
    return made;
}

// With uid 0 the system directory would be made.
path_environment without_system(const scratch& at) {
    path_environment made = plain(at);
    made.system_directory = at / "no/such/place";
    return made;
}

mode_t mode_of(const std::string& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0 ? status.st_mode & 07777U : 0;
}

} // namespace

Test(socket_path, the_temporary_directory_is_the_last_resort_and_private) {
    const scratch at;
    const path_environment environment = without_system(at);
    const std::string directory = at / ("librt-" + std::to_string(::geteuid()));
    const path_choice choice = choose_socket_path(environment);
    cr_assert(choice.path == directory + "/my_server.77.sock");
    cr_assert_eq(mode_of(directory), 0700U);
}

Test(socket_path, a_temporary_directory_that_others_can_open_is_refused) {
    const scratch at;
    const std::string directory = at / ("librt-" + std::to_string(::geteuid()));
    cr_assert_eq(::mkdir(directory.c_str(), 0700), 0);
    cr_assert_eq(::chmod(directory.c_str(), 0755), 0);
    const path_choice choice = choose_socket_path(without_system(at));
    cr_assert(choice.path.empty());
    cr_assert(choice.reasons.find("open to others") != std::string::npos);
}

Test(socket_path, a_symbolic_link_in_the_temporary_place_is_refused) {
    const scratch at;
    const std::string link = at / ("librt-" + std::to_string(::geteuid()));
    cr_assert_eq(::mkdir((at / "elsewhere").c_str(), 0700), 0);
    cr_assert_eq(::symlink((at / "elsewhere").c_str(), link.c_str()), 0);
    const path_choice choice = choose_socket_path(without_system(at));
    cr_assert(choice.path.empty());
    cr_assert(choice.reasons.find("symbolic link") != std::string::npos);
}

Test(socket_path, the_chain_is_service_then_system_then_user) {
    const scratch at;
    path_environment environment = plain(at);
    environment.user_directory = at / "user";
    cr_assert_eq(::mkdir(environment.user_directory.c_str(), 0700), 0);
    environment.system_directory = at / "no/such/place";
    cr_assert(choose_socket_path(environment).path.starts_with(at / "user/librt/"));
    cr_assert_eq(mode_of(at / "user/librt"), 0700U);
    environment.system_directory = at / "system";
    cr_assert_eq(::mkdir(environment.system_directory.c_str(), 0755), 0);
    cr_assert(choose_socket_path(environment).path.starts_with(at / "system/"));
    environment.service_directory = at / "service" + ":" + (at / "second");
    cr_assert_eq(::mkdir((at / "service").c_str(), 0755), 0);
    cr_assert(choose_socket_path(environment).path.starts_with(at / "service/"));
}

Test(socket_path, an_explicit_path_comes_before_everything) {
    const scratch at;
    path_environment environment = plain(at);
    environment.explicit_path = at / "mine.sock";
    cr_assert(choose_socket_path(environment).path == at / "mine.sock");
    environment.explicit_path = at / "";
    cr_assert(choose_socket_path(environment).path.ends_with("/my_server.77.sock"));
    environment.explicit_path = at / std::string(120, 'x');
    const path_choice choice = choose_socket_path(environment);
    cr_assert(choice.path.empty());
    cr_assert(choice.reasons.find("at most 107") != std::string::npos);
}

Test(socket_path, a_long_name_is_cut_so_that_the_path_fits) {
    const std::string directory = "/" + std::string(80, 'd');
    const std::string path =
        rt::introspect::socket_file_in(directory, std::string(40, 'c'), 4'000'000);
    cr_assert_eq(path.size(), rt::wire::socket_path_max);
    cr_assert(path.ends_with("c.4000000.sock"));
    cr_assert(rt::introspect::socket_file_in("/" + std::string(100, 'd'), "c", 1).empty());
}

Test(socket_path, names_are_cleaned_and_parsed_back) {
    std::string_view comm;
    cr_assert(rt::wire::clean_comm("a/b c.d-1_2") == "a_b_c_d-1_2");
    cr_assert(rt::wire::clean_comm("") == "process");
    cr_assert_eq(rt::wire::parse_socket_name("my_server.77.sock", comm), 77U);
    cr_assert(comm == "my_server");
    for (const char* const bad :
         {"77.sock", ".77.sock", "a.sock", "a.x.sock", "a..sock", "a.77", "a.99999999999.sock"}) {
        cr_assert_eq(rt::wire::parse_socket_name(bad, comm), 0U, "%s", bad);
    }
}

Test(socket_path, the_socket_is_for_its_owner_only_whatever_the_umask) {
    const scratch at;
    const mode_t former = ::umask(0);
    const auto made = listen_at(at / "a.sock");
    ::umask(former);
    cr_assert(made.has_value());
    cr_assert_eq(mode_of(at / "a.sock"), 0600U);
    rt::introspect::remove_socket(at / "a.sock", *made);
    cr_assert_eq(::access((at / "a.sock").c_str(), F_OK), -1);
}

Test(socket_path, a_stale_socket_is_replaced_and_a_living_one_is_not) {
    const scratch at;
    const std::string path = at / "a.sock";
    auto first = listen_at(path);
    cr_assert(first.has_value());
    const auto second = listen_at(path);
    cr_assert(!second.has_value() && second.error().is(EADDRINUSE));
    first->fd.reset();
    cr_assert(listen_at(path).has_value());
}

Test(socket_path, only_the_file_that_was_made_is_removed) {
    const scratch at;
    const std::string path = at / "a.sock";
    const auto first = listen_at(path); // open, so that its inode is not used again
    cr_assert_eq(::unlink(path.c_str()), 0);
    const auto second = listen_at(path);
    cr_assert(first.has_value() && second.has_value());
    rt::introspect::remove_socket(path, *first);
    cr_assert_eq(::access(path.c_str(), F_OK), 0);
    rt::introspect::remove_socket(path, *second);
    cr_assert_eq(::access(path.c_str(), F_OK), -1);
}

Test(socket_path, a_file_that_is_not_a_socket_is_left_alone) {
    const scratch at;
    const std::string path = at / "a.sock";
    cr_assert_eq(std::system(("echo precious >" + path).c_str()), 0);
    const auto made = listen_at(path);
    cr_assert(!made.has_value() && made.error().is(EADDRINUSE));
    cr_assert_eq(::access(path.c_str(), F_OK), 0);
}
