// SPDX-License-Identifier: MIT
//
// Finding and reading the CPU bandwidth limit.
//
// /proc/self/cgroup says which cgroup the process is in, per hierarchy; /proc/self/mountinfo says
// where each hierarchy is mounted and which part of it that mount shows. A container often sees
// only its own part: the mount's root is then a prefix of the path, to be cut off, or, with a
// cgroup namespace, the path is "/". A limit may be set on any ancestor, so every directory from
// the process's own up to the mount point is read, and the least wins. Both versions may be mounted
// side by side, and both are looked at.
#include "topology/cgroup.h"

#include "base/assert.h"
#include "base/unique_fd.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace rt::topology {

namespace {

// A process has some dozens of mounts; a container host some thousands, at 150 bytes each.
constexpr std::size_t file_bytes_max = 4 * 1024 * 1024;

// Deeper nesting than this is a loop or an attack; the kernel's own default limit is far below.
constexpr std::size_t depth_max = 128;

std::optional<std::string> read_file(const std::string& path) {
    const base::unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) {
        return std::nullopt;
    }
    std::string content;
    char chunk[4096];
    while (content.size() < file_bytes_max) {
        const ssize_t length = ::read(file.get(), chunk, sizeof(chunk));
        if (length < 0) {
            return std::nullopt;
        }
        if (length == 0) {
            break;
        }
        content.append(chunk, static_cast<std::size_t>(length));
    }
    return content;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (!text.empty()) {
        const std::size_t end = text.find(separator);
        parts.push_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return parts;
}

bool has_word(std::string_view list, std::string_view word) {
    const auto words = split(list, ',');
    return std::find(words.begin(), words.end(), word) != words.end();
}

/// mountinfo writes blanks, tabs, newlines and backslashes as \040 and so on.
std::string unescape(std::string_view text) {
    std::string plain;
    for (std::size_t at = 0; at < text.size(); ++at) {
        unsigned value = 0;
        const char* digits = text.data() + at + 1;
        if (text[at] == '\\' && text.size() - at >= 4 &&
            std::from_chars(digits, digits + 3, value, 8).ptr == digits + 3) {
            plain += static_cast<char>(value);
            at += 3;
        } else {
            plain += text[at];
        }
    }
    return plain;
}

/// The process's place in a hierarchy, as directories: where it is mounted, and the path below
/// that.
struct cgroup_place {
    std::string mount_point;
    std::string path; // "" or "/a/b"
};

/// `path` as seen from a mount that shows the hierarchy from `mount_root` down.
std::string below_mount(std::string path, const std::string& mount_root) {
    if (mount_root != "/" && path.starts_with(mount_root)) {
        path.erase(0, mount_root.size());
    }
    // "/" is the mount itself; "/.." means that the process is outside the namespace's root, of
    // which nothing more than the root can be seen. A path that is not absolute is no path, or what
    // is left when the mount's root was only the beginning of a longer name.
    const bool is_below = path.starts_with('/') && path != "/" && path.find("/..") == path.npos;
    return is_below ? path : "";
}

/// The path of this process in the hierarchy of `version`, from the text of /proc/self/cgroup.
std::optional<std::string> path_in_hierarchy(std::string_view memberships, int version) {
    for (const std::string_view line : split(memberships, '\n')) {
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (first == std::string_view::npos || second == std::string_view::npos) {
            continue;
        }
        const std::string_view controllers = line.substr(first + 1, second - first - 1);
        const bool is_match = version == 2 ? line.substr(0, first) == "0" && controllers.empty()
                                           : has_word(controllers, "cpu");
        if (is_match) {
            return std::string(line.substr(second + 1));
        }
    }
    return std::nullopt;
}

std::optional<cgroup_place>
find_place(std::string_view mounts, const std::string& path, int version) {
    for (const std::string_view line : split(mounts, '\n')) {
        // "id parent dev root point options [tags…] - type source super-options"
        const auto fields = split(line, ' ');
        const auto dash = std::find(fields.begin(), fields.end(), "-");
        if (dash - fields.begin() < 6 || fields.end() - dash < 4) {
            continue;
        }
        const bool is_match =
            version == 2 ? dash[1] == "cgroup2" : dash[1] == "cgroup" && has_word(dash[3], "cpu");
        if (is_match) {
            return cgroup_place{unescape(fields[4]), below_mount(path, unescape(fields[3]))};
        }
    }
    return std::nullopt;
}

double ratio(std::string_view quota_text, std::string_view period_text) {
    std::int64_t quota = 0;
    std::int64_t period = 0;
    const auto quota_end = quota_text.data() + quota_text.size();
    const auto period_end = period_text.data() + period_text.size();
    const bool is_number = std::from_chars(quota_text.data(), quota_end, quota).ec == std::errc{} &&
        std::from_chars(period_text.data(), period_end, period).ec == std::errc{};
    // "max" is not a number, and version 1 says -1 for no limit.
    return is_number && quota > 0 && period > 0
        ? static_cast<double>(quota) / static_cast<double>(period)
        : 0;
}

cpu_quota limit_of(const std::string& directory, int version) {
    if (version == 2) {
        const std::string file = directory + "/cpu.max";
        const std::string text = read_file(file).value_or("");
        const auto words = split(text, ' ');
        return words.size() == 2 ? cpu_quota{ratio(words[0], words[1]), file} : cpu_quota{};
    }
    const std::string file = directory + "/cpu.cfs_quota_us";
    const auto quota = read_file(file);
    const auto period = read_file(directory + "/cpu.cfs_period_us");
    return quota && period ? cpu_quota{ratio(*quota, *period), file} : cpu_quota{};
}

void tighten(cpu_quota& least, cpu_quota found) {
    if (found.is_limited() && (!least.is_limited() || found.cores < least.cores)) {
        least = std::move(found);
    }
}

} // namespace

std::uint32_t cpu_quota::whole_cores() const noexcept {
    RT_ASSERT(is_limited());
    // A quota of 2.0000001 is 2 that was computed, not a wish for a third worker.
    const double rounded = std::ceil(cores - 0.01);
    return static_cast<std::uint32_t>(std::clamp(rounded, 1.0, 65536.0));
}

cpu_quota read_cpu_quota(const std::string& root) {
    cpu_quota least;
    const auto memberships = read_file(root + "/proc/self/cgroup");
    const auto mounts = read_file(root + "/proc/self/mountinfo");
    if (!memberships || !mounts) {
        return least;
    }
    for (const int version : {2, 1}) {
        const auto path = path_in_hierarchy(*memberships, version);
        const auto place = path ? find_place(*mounts, *path, version) : std::nullopt;
        if (!place) {
            continue;
        }
        std::string below = place->path;
        for (std::size_t depth = 0; depth < depth_max; ++depth) {
            tighten(least, limit_of(root + place->mount_point + below, version));
            if (below.empty()) {
                break;
            }
            below.erase(below.rfind('/'));
        }
    }
    return least;
}

} // namespace rt::topology
