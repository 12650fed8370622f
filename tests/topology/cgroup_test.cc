// SPDX-License-Identifier: MIT
//
// The CPU quota, from trees of files that look like /proc and /sys/fs/cgroup of real systems.
#include "base/captured.h"
#include "support/test.h"
#include "topology/cgroup.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

using namespace rt::topology;

namespace {

/// A directory that stands for "/", and is removed in the end.
class fake_root {
public:
    fake_root() {
        char path[] = "/tmp/librt-cgroup-XXXXXX";
        cr_assert(::mkdtemp(path) != nullptr);
        path_ = path;
    }
    fake_root(const fake_root&) = delete;
    fake_root& operator=(const fake_root&) = delete;
    ~fake_root() { std::filesystem::remove_all(path_); }

    fake_root& file(const std::string& name, const std::string& content) {
        const std::filesystem::path full = path_ + name;
        std::filesystem::create_directories(full.parent_path());
        std::ofstream(full) << content;
        return *this;
    }

    [[nodiscard]] cpu_quota read() const { return read_cpu_quota(path_); }
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

constexpr const char* mounts_v2 =
    "22 1 0:20 / /proc rw,nosuid - proc proc rw\n"
    "31 22 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

constexpr const char* mounts_v1 =
    "31 22 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
    "32 31 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "34 31 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

} // namespace

Test(cgroup, version_2_limit_of_the_own_group) {
    fake_root root;
    root.file("/proc/self/cgroup", "0::/system.slice/app.service\n")
        .file("/proc/self/mountinfo", mounts_v2)
        .file("/sys/fs/cgroup/system.slice/app.service/cpu.max", "250000 100000\n");
    const cpu_quota quota = root.read();
    cr_assert(quota.is_limited());
    cr_assert_float_eq(quota.cores, 2.5, 1e-9);
    cr_assert(quota.whole_cores() == 3);
    cr_assert(quota.limiter == root.path() + "/sys/fs/cgroup/system.slice/app.service/cpu.max");
}

Test(cgroup, the_tightest_ancestor_wins) {
    fake_root root;
    root.file("/proc/self/cgroup", "0::/a/b/c\n")
        .file("/proc/self/mountinfo", mounts_v2)
        .file("/sys/fs/cgroup/a/cpu.max", "150000 100000\n")
        .file("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n")
        .file("/sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n");
    const cpu_quota quota = root.read();
    cr_assert_float_eq(quota.cores, 1.5, 1e-9);
    cr_assert(quota.limiter.ends_with("/a/cpu.max"));
}

Test(cgroup, a_namespace_shows_its_root_as_the_mount) {
    fake_root root;
    root.file("/proc/self/cgroup", "0::/\n")
        .file("/proc/self/mountinfo", mounts_v2)
        .file("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    const cpu_quota quota = root.read();
    cr_assert_float_eq(quota.cores, 0.5, 1e-9);
    cr_assert(quota.whole_cores() == 1);
}

Test(cgroup, outside_the_namespace_only_the_mount_is_read) {
    fake_root root;
    root.file("/proc/self/cgroup", "0::/../../other\n")
        .file("/proc/self/mountinfo", mounts_v2)
        .file("/other/cpu.max", "1000 100000\n")
        .file("/sys/fs/cgroup/cpu.max", "300000 100000\n");
    cr_assert_float_eq(root.read().cores, 3, 1e-9);
}

Test(cgroup, no_limit_reads_as_none) {
    fake_root root;
    root.file("/proc/self/cgroup", "0::/a\n")
        .file("/proc/self/mountinfo", mounts_v2)
        .file("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
    cr_assert_not(root.read().is_limited());
    cr_assert(root.read().limiter.empty());
}

Test(cgroup, version_1_quota) {
    fake_root root;
    root.file("/proc/self/cgroup", "5:cpuset:/x\n4:cpu,cpuacct:/x/y\n0::/\n")
        .file("/proc/self/mountinfo", mounts_v1)
        .file("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "-1\n")
        .file("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n")
        .file("/sys/fs/cgroup/cpu,cpuacct/x/y/cpu.cfs_quota_us", "80000\n")
        .file("/sys/fs/cgroup/cpu,cpuacct/x/y/cpu.cfs_period_us", "20000\n");
    const cpu_quota quota = root.read();
    cr_assert_float_eq(quota.cores, 4, 1e-9);
    cr_assert(quota.limiter.ends_with("/x/y/cpu.cfs_quota_us"));
}

Test(cgroup, a_container_mount_hides_the_prefix) {
    fake_root root;
    root.file("/proc/self/cgroup", "4:cpu,cpuacct:/docker/abc/inner\n")
        .file(
            "/proc/self/mountinfo",
            "33 31 0:30 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        )
        .file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000\n")
        .file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    cr_assert_float_eq(root.read().cores, 2, 1e-9);
}

Test(cgroup, a_prefix_is_cut_at_a_whole_name_only) {
    fake_root root;
    root.file("/proc/self/cgroup", "0::/docker/abcdef\n")
        .file("/proc/self/mountinfo", "33 31 0:30 /docker/abc /cg rw - cgroup2 cgroup2 rw\n")
        .file("/cg/def/cpu.max", "1000 100000\n")
        .file("/cg/cpu.max", "200000 100000\n");
    cr_assert_float_eq(root.read().cores, 2, 1e-9);
}

Test(cgroup, both_versions_are_looked_at) {
    fake_root root;
    root.file("/proc/self/cgroup", "4:cpu,cpuacct:/a\n0::/b\n")
        .file("/proc/self/mountinfo", mounts_v1)
        .file("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us", "500000\n")
        .file("/sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n")
        .file("/sys/fs/cgroup/unified/b/cpu.max", "300000 100000\n");
    cr_assert_float_eq(root.read().cores, 3, 1e-9);
}

Test(cgroup, escaped_mount_points_are_understood) {
    fake_root root;
    root.file("/proc/self/cgroup", "0::/\n")
        .file("/proc/self/mountinfo", "31 22 0:28 / /my\\040cgroups\\134x rw - cgroup2 none rw\n")
        .file("/my cgroups\\x/cpu.max", "700000 100000\n");
    cr_assert_float_eq(root.read().cores, 7, 1e-9);
}

Test(cgroup, nonsense_counts_as_no_limit) {
    for (const char* text :
         {"",
          "\n",
          "max",
          "abc 100000",
          "100000",
          "100000 0",
          "0 100000",
          "-5 100000",
          "1 2 3",
          "99999999999999999999 100000"}) {
        fake_root root;
        root.file("/proc/self/cgroup", "0::/\n")
            .file("/proc/self/mountinfo", mounts_v2)
            .file("/sys/fs/cgroup/cpu.max", text);
        cr_assert_not(root.read().is_limited(), "\"%s\"", text);
    }
}

Test(cgroup, malformed_tables_are_survived) {
    for (const char* memberships :
         {"", "garbage", "0:", "0::", "0::relative/path", ":::::", "\n\n"}) {
        for (const char* mounts : {"", "- - - -", "a b c d e f - cgroup2", "\n\n", mounts_v2}) {
            fake_root root;
            root.file("/proc/self/cgroup", memberships).file("/proc/self/mountinfo", mounts);
            cr_assert_not(root.read().is_limited());
        }
    }
    const fake_root empty;
    cr_assert_not(empty.read().is_limited());
}

Test(cgroup, a_very_deep_path_ends) {
    fake_root root;
    std::string path;
    for (int depth = 0; depth < 1'000; ++depth) {
        path += "/d";
    }
    root.file("/proc/self/cgroup", "0::" + path + "\n").file("/proc/self/mountinfo", mounts_v2);
    cr_assert_not(root.read().is_limited());
}

Test(cgroup, rounds_up_but_forgives_arithmetic) {
    cr_assert((cpu_quota{0.01, ""}.whole_cores()) == 1);
    cr_assert((cpu_quota{1.0, ""}.whole_cores()) == 1);
    cr_assert((cpu_quota{2.0000001, ""}.whole_cores()) == 2);
    cr_assert((cpu_quota{2.2, ""}.whole_cores()) == 3);
    cr_assert((cpu_quota{1e12, ""}.whole_cores()) == 65536);
    cr_assert(rt::test::capture([] { (void)cpu_quota{}.whole_cores(); }).was_aborted());
}

Test(cgroup, this_system_can_be_read) {
    const cpu_quota quota = read_cpu_quota();
    cr_assert(quota.is_limited() == !quota.limiter.empty());
}
