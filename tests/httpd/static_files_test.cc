// SPDX-License-Identifier: MIT
//
// Path resolution of examples/httpd against a real directory tree. Every test runs twice, with
// openat2 and with the fallback that opens name by name, and makes its own tree with a file outside
// of the root, links that lead there, and names that are no regular files.

#include "httpd/static_files.h"
#include "support/test.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

using namespace std::literals;
using httpd::found_file;
using httpd::resolution;
using httpd::static_root;

namespace {

void write_file(const std::string& path, std::string_view text) {
    std::ofstream(path, std::ios::binary) << text;
}

/// A tree with a file outside of the root that must never be served.
class tree {
public:
    tree() {
        std::string pattern = std::filesystem::temp_directory_path() / "librt-httpd-XXXXXX";
        cr_assert(mkdtemp(pattern.data()) != nullptr);
        top_ = pattern;
        write_file(top_ + "/secret", "secret");
        std::filesystem::create_directories(root() + "/sub/deep");
        std::filesystem::create_directories(root() + "/empty");
        std::filesystem::create_directories(root() + "/strange/index.html");
        write_file(root() + "/index.html", "<p>root</p>");
        write_file(root() + "/a.txt", "hello");
        write_file(root() + "/with space.TXT", "space");
        write_file(root() + "/100%.txt", "percent");
        write_file(root() + "/back\\slash", "no");
        write_file(root() + "/sub/index.html", "<p>sub</p>");
        write_file(root() + "/sub/deep/data.json", "{}");
        std::filesystem::create_symlink("../secret", root() + "/out");
        std::filesystem::create_symlink(top_ + "/secret", root() + "/absolute");
        std::filesystem::create_symlink("..", root() + "/up");
        std::filesystem::create_symlink("/", root() + "/slash");
        std::filesystem::create_symlink("loop", root() + "/loop");
        std::filesystem::create_symlink("nowhere", root() + "/dangling");
        std::filesystem::create_symlink("a.txt", root() + "/inside");
        cr_assert(mkfifo((root() + "/fifo").c_str(), 0600) == 0);
    }
    tree(const tree&) = delete;
    tree& operator=(const tree&) = delete;
    ~tree() { std::filesystem::remove_all(top_); }

    [[nodiscard]] std::string root() const { return top_ + "/root"; }

private:
    std::string top_;
};

std::string content_of(const found_file& found) {
    std::string text(found.size, '\0');
    ssize_t size = pread(found.fd.get(), text.data(), text.size(), 0);
    cr_assert(size == static_cast<ssize_t>(text.size()));
    return text;
}

/// Runs body with a root of each kind.
template<typename Body>
void with_each(const tree& files, Body body) {
    for (resolution how : {resolution::automatic, resolution::by_name}) {
        auto root = static_root::open(files.root(), how);
        cr_assert(root.has_value());
        body(*root, how);
    }
}

void assert_status(const tree& files, std::string_view path, unsigned status) {
    with_each(files, [&](const static_root& root, resolution how) {
        found_file found = root.find(path);
        cr_assert(
            found.status == status,
            "%s: %u (resolution %d)",
            std::string(path).c_str(),
            found.status,
            static_cast<int>(how)
        );
        cr_assert(static_cast<bool>(found.fd) == (status == 200));
    });
}

} // namespace

Test(static_files, regular_file_comes_open_with_size_type_and_time) {
    tree files;
    with_each(files, [](const static_root& root, resolution) {
        found_file found = root.find("/a.txt");
        cr_assert_eq(found.status, 200);
        cr_assert_eq(found.size, 5);
        cr_assert(content_of(found) == "hello");
        cr_assert(found.content_type == "text/plain; charset=utf-8");
        cr_assert(found.modified > 0);
        cr_assert(found.etag.starts_with("\"5-") && found.etag.ends_with("\""));
        cr_assert((fcntl(found.fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    });
}

Test(static_files, directory_is_its_index_or_a_redirect_to_the_slash) {
    tree files;
    with_each(files, [](const static_root& root, resolution) {
        cr_assert(content_of(root.find("/")) == "<p>root</p>");
        cr_assert(content_of(root.find("/sub/")) == "<p>sub</p>");
        cr_assert(root.find("/sub/").content_type == "text/html; charset=utf-8");
        found_file found = root.find("/sub");
        cr_assert_eq(found.status, 301);
        cr_assert(found.location == "/sub/");
    });
    assert_status(files, "/empty/", 404);
    assert_status(files, "/strange/", 404);
    assert_status(files, "/a.txt/", 404);
    assert_status(files, "/index.html/", 404);
}

Test(static_files, redirect_never_leads_to_another_host) {
    tree files;
    std::filesystem::create_directories(files.root() + "/evil.example");
    std::filesystem::create_directories(files.root() + "/sp ace\xc3\xa9");
    with_each(files, [](const static_root& root, resolution) {
        cr_assert(root.find("//evil.example").location == "/evil.example/");
        cr_assert(root.find("/.//evil.example").location == "/evil.example/");
        cr_assert(root.find("/sp%20ace%c3%a9").location == "/sp%20ace%C3%A9/");
    });
}

Test(static_files, names_are_decoded_once) {
    tree files;
    with_each(files, [](const static_root& root, resolution) {
        cr_assert(content_of(root.find("/with%20space.TXT")) == "space");
        cr_assert(content_of(root.find("/%61.txt")) == "hello");
        cr_assert(content_of(root.find("/100%25.txt")) == "percent");
        cr_assert(content_of(root.find("/./sub//deep/./data.json")) == "{}");
        cr_assert(root.find("/with%20space.TXT").content_type == "text/plain; charset=utf-8");
    });
    assert_status(files, "/%2561.txt", 404); // is the name "%61.txt"
}

Test(static_files, malformed_and_climbing_paths_are_bad_requests) {
    tree files;
    for (std::string_view path :
         {"/../secret"sv,
          "/.."sv,
          "/sub/../a.txt"sv,
          "/sub/.."sv,
          "/%2e%2e/secret"sv,
          "/%2E./secret"sv,
          "/.%2e/secret"sv,
          "/..%2fsecret"sv,
          "/sub%2fdeep"sv,
          "/a.txt%00"sv,
          "/%00"sv,
          "/a%0d%0ab"sv,
          "/a%7f"sv,
          "/\\..\\secret"sv,
          "/..\\secret"sv,
          "/%5c..%5csecret"sv,
          "/back%5cslash"sv,
          "/%"sv,
          "/%4"sv,
          "/%zz"sv,
          "/%4g"sv,
          "/a%"sv,
          "/a\0b"sv,
          "a.txt"sv,
          "*"sv,
          ""sv}) {
        assert_status(files, path, 400);
    }
}

Test(static_files, names_that_only_look_like_dots_are_names) {
    tree files;
    write_file(files.root() + "/...", "dots");
    write_file(files.root() + "/..a", "dots");
    assert_status(files, "/...", 200);
    assert_status(files, "/..a", 200);
    assert_status(files, "/....", 404);
}

Test(static_files, links_out_of_the_root_are_not_found) {
    tree files;
    for (std::string_view path :
         {"/out",
          "/absolute",
          "/up/secret",
          "/up/root/a.txt",
          "/slash/etc/passwd",
          "/slash",
          "/up",
          "/loop",
          "/dangling",
          "/up/"}) {
        assert_status(files, path, 404);
    }
}

Test(static_files, links_inside_work_where_the_kernel_resolves_them) {
    tree files;
    auto root = static_root::open(files.root());
    found_file found = root->find("/inside");
    // Without openat2 (an old kernel, a filter) no link is followed, which is refused, not served.
    cr_assert(found.status == 200 || found.status == 404);
    if (found.status == 200) {
        cr_assert(content_of(found) == "hello");
    }
    cr_assert_eq(static_root::open(files.root(), resolution::by_name)->find("/inside").status, 404);
}

Test(static_files, what_is_not_a_regular_file_is_not_found) {
    tree files;
    assert_status(files, "/fifo", 404); // and does not block
    assert_status(files, "/nothing", 404);
    assert_status(files, "/a.txt/b", 404);
    assert_status(files, "/" + std::string(300, 'n'), 404);
    assert_status(files, "/" + std::string(5000, 'n'), 404);
}

Test(static_files, unreadable_file_is_forbidden) {
    tree files;
    cr_assert(chmod((files.root() + "/a.txt").c_str(), 0) == 0);
    if (geteuid() == 0) { // root reads everything; look as somebody else does
        cr_assert(chmod(files.root().c_str(), 0755) == 0);
        cr_assert(chmod((files.root() + "/..").c_str(), 0755) == 0);
        cr_assert(seteuid(65534) == 0);
    }
    auto root = static_root::open(files.root());
    unsigned status = root ? root->find("/a.txt").status : 0;
    if (getuid() == 0) {
        cr_assert(seteuid(0) == 0);
    }
    cr_assert_eq(status, 403);
}

Test(static_files, no_descriptor_left_is_unavailable) {
    tree files;
    with_each(files, [](const static_root& root, resolution) {
        rlimit before{};
        cr_assert(getrlimit(RLIMIT_NOFILE, &before) == 0);
        rlimit none = before;
        none.rlim_cur = 0;
        cr_assert(setrlimit(RLIMIT_NOFILE, &none) == 0);
        found_file found = root.find("/a.txt");
        cr_assert(setrlimit(RLIMIT_NOFILE, &before) == 0);
        cr_assert_eq(found.status, 503);
    });
}

Test(static_files, root_must_be_a_directory) {
    tree files;
    cr_assert_eq(static_root::open(files.root() + "/a.txt").error(), ENOTDIR);
    cr_assert_eq(static_root::open(files.root() + "/nowhere").error(), ENOENT);
}

Test(static_files, find_leaks_no_descriptor) {
    tree files;
    with_each(files, [](const static_root& root, resolution) {
        int before = dup(0);
        close(before);
        for (std::string_view path :
             {"/a.txt",
              "/sub",
              "/sub/deep/data.json",
              "/out",
              "/fifo",
              "/empty/",
              "/nothing/at/all",
              "/%zz",
              "/loop"}) {
            (void)root.find(path);
        }
        int after = dup(0); // the lowest free number
        close(after);
        cr_assert_eq(before, after);
    });
}

Test(static_files, content_type_follows_the_last_extension) {
    cr_assert(httpd::content_type_of("x.html") == "text/html; charset=utf-8");
    cr_assert(httpd::content_type_of("dir.js/x.CSS") == "text/css; charset=utf-8");
    cr_assert(httpd::content_type_of("x.tar.gz") == "application/gzip");
    for (std::string_view name : {"x", "x.", ".html", "dir.html/x", "x.unknown", ""}) {
        cr_assert(
            httpd::content_type_of(name) == "application/octet-stream",
            "%s",
            std::string(name).c_str()
        );
    }
}

Test(static_files, conditional_requests_compare_tag_before_time) {
    found_file file;
    file.etag = "\"5-1\"";
    file.modified = 784111777;
    const std::string same = "Sun, 06 Nov 1994 08:49:37 GMT";
    const std::string earlier = "Sun, 06 Nov 1994 08:49:36 GMT";
    cr_assert(httpd::is_not_modified(file, "\"5-1\"", ""));
    cr_assert(httpd::is_not_modified(file, "\"x\", W/\"5-1\"", ""));
    cr_assert(httpd::is_not_modified(file, "*", ""));
    cr_assert(
        !httpd::is_not_modified(file, "\"x\"", same), "a tag that differs wins over the time"
    );
    cr_assert(httpd::is_not_modified(file, "", same));
    cr_assert(!httpd::is_not_modified(file, "", earlier));
    cr_assert(!httpd::is_not_modified(file, "", "nonsense"));
    cr_assert(!httpd::is_not_modified(file, "", ""));
}

Test(static_files, tag_changes_with_content_time) {
    tree files;
    auto root = static_root::open(files.root());
    std::string before = root->find("/a.txt").etag;
    timespec times[2] = {{1, 0}, {1, 1}}; // one nanosecond counts
    cr_assert(utimensat(AT_FDCWD, (files.root() + "/a.txt").c_str(), times, 0) == 0);
    std::string after = root->find("/a.txt").etag;
    cr_assert(before != after && after == "\"5-1.1\"", "%s", after.c_str());
}
