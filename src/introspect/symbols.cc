// SPDX-License-Identifier: MIT
//
// /proc/self/maps, ELF symbol tables, and the names that compilers give to parts of coroutines.
//
// A module may be replaced on disk while it runs; its file then says "(deleted)" and is not
// opened. Everything read from a file is checked against the file's size: a truncated or strange
// file gives no names, and nothing worse.
#include "introspect/symbols.h"

#include "base/clock.h"
#include "base/text_writer.h"
#include "base/unique_fd.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace rt::introspect {
namespace {

using elf_header = ElfW(Ehdr);
using elf_section = ElfW(Shdr);
using elf_segment = ElfW(Phdr);
using elf_symbol = ElfW(Sym);

constexpr std::size_t name_bytes_max = 160; // a template's name may fill screens

// A file's bytes, mapped read-only for as long as this lives.
class mapped_file {
public:
    explicit mapped_file(const char* path) noexcept {
        const base::unique_fd fd(::open(path, O_RDONLY | O_CLOEXEC));
        struct stat status {};
        if (!fd || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode) ||
            status.st_size == 0) {
            return;
        }
        const auto size = static_cast<std::size_t>(status.st_size);
        void* const bytes = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
        if (bytes != MAP_FAILED) {
            bytes_ = static_cast<const char*>(bytes);
            size_ = size;
        }
    }
    mapped_file(const mapped_file&) = delete;
    mapped_file& operator=(const mapped_file&) = delete;
    ~mapped_file() {
        if (bytes_ != nullptr) {
            ::munmap(const_cast<char*>(bytes_), size_);
        }
    }

    // `count` objects at `offset`, or null when the file ends before.
    template<class T>
    [[nodiscard]] const T* at(std::uint64_t offset, std::uint64_t count = 1) const noexcept {
        if (offset > size_ || count > (size_ - offset) / sizeof(T) || offset % alignof(T) != 0) {
            return nullptr;
        }
        return reinterpret_cast<const T*>(bytes_ + offset);
    }

    // The zero-terminated string at `offset` before `end`.
    [[nodiscard]] std::string_view text(std::uint64_t offset, std::uint64_t end) const noexcept {
        if (offset >= end || end > size_) {
            return {};
        }
        return {bytes_ + offset, ::strnlen(bytes_ + offset, end - offset)};
    }

private:
    const char* bytes_ = nullptr;
    std::size_t size_ = 0;
};

// The address that the file's symbols use for a byte of the file; false if it is not loaded.
bool to_link_address(
    const mapped_file& file, const elf_header& header, std::uint64_t offset, std::uint64_t& address
) noexcept {
    const auto* const segments = file.at<elf_segment>(header.e_phoff, header.e_phnum);
    for (unsigned i = 0; segments != nullptr && i < header.e_phnum; ++i) {
        const elf_segment& one = segments[i];
        if (one.p_type == PT_LOAD && offset >= one.p_offset &&
            offset - one.p_offset < one.p_filesz) {
            address = offset - one.p_offset + one.p_vaddr;
            return true;
        }
    }
    return false;
}

struct found_symbol {
    std::string_view name;
    std::uint64_t offset = 0;
};

// The function of section `table` that covers `address`.
bool search(
    const mapped_file& file,
    const elf_section* sections,
    unsigned section_count,
    const elf_section& table,
    std::uint64_t address,
    found_symbol& found
) noexcept {
    const std::uint64_t count = table.sh_size / sizeof(elf_symbol);
    const auto* const symbols = file.at<elf_symbol>(table.sh_offset, count);
    if (symbols == nullptr || table.sh_link >= section_count) {
        return false;
    }
    const elf_section& strings = sections[table.sh_link];
    const elf_symbol* best = nullptr;
    for (std::uint64_t i = 0; i < count; ++i) {
        const elf_symbol& one = symbols[i];
        const bool covers = (one.st_info & 0xFU) == STT_FUNC && one.st_shndx != SHN_UNDEF &&
            address >= one.st_value &&
            address - one.st_value < std::max<std::uint64_t>(one.st_size, 1);
        if (covers && (best == nullptr || one.st_size < best->st_size)) {
            best = &one;
        }
    }
    if (best == nullptr) {
        return false;
    }
    found.name = file.text(strings.sh_offset + best->st_name, strings.sh_offset + strings.sh_size);
    found.offset = address - best->st_value;
    return !found.name.empty();
}

bool find_symbol(const mapped_file& file, std::uint64_t file_offset, found_symbol& found) noexcept {
    const auto* const header = file.at<elf_header>(0);
    if (header == nullptr || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) {
        return false;
    }
    std::uint64_t address = 0;
    const auto* const sections = file.at<elf_section>(header->e_shoff, header->e_shnum);
    if (sections == nullptr || !to_link_address(file, *header, file_offset, address)) {
        return false;
    }
    for (const unsigned wanted : {unsigned{SHT_SYMTAB}, unsigned{SHT_DYNSYM}}) {
        for (unsigned i = 0; i < header->e_shnum; ++i) {
            if (sections[i].sh_type == wanted &&
                search(file, sections, header->e_shnum, sections[i], address, found)) {
                return true;
            }
        }
    }
    return false;
}

// "serve(tcp_stream)" of "_Z5serve10tcp_stream.resume".
std::string readable(std::string_view symbol) {
    const std::size_t dot = symbol.starts_with("_Z") ? symbol.find('.') : std::string_view::npos;
    const std::string plain(symbol.substr(0, dot));
    int failed = 0;
    const std::unique_ptr<char, decltype(&std::free)> text(
        abi::__cxa_demangle(plain.c_str(), nullptr, nullptr, &failed), &std::free
    );
    std::string made = text != nullptr ? text.get() : plain;
    if (made.size() > name_bytes_max) {
        made.resize(name_bytes_max);
        made += "...";
    }
    return made;
}

std::string with_offset(std::string_view name, std::uint64_t offset) {
    base::text_buffer<512> line;
    line.text(name).text("+").hexadecimal(offset);
    return std::string(line.view());
}

} // namespace

symbol_table::symbol_table(std::uint64_t deadline_ns)
    : deadline_ns_(deadline_ns) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> maps(
        std::fopen("/proc/self/maps", "re"), &std::fclose
    );
    char line[4096 + 128];
    while (maps != nullptr && std::fgets(line, sizeof(line), maps.get()) != nullptr) {
        unsigned long begin = 0;
        unsigned long end = 0;
        unsigned long offset = 0;
        char rights[5];
        int path_at = 0;
        if (std::sscanf(
                line, "%lx-%lx %4s %lx %*s %*s %n", &begin, &end, rights, &offset, &path_at
            ) != 4 ||
            rights[2] != 'x') {
            continue;
        }
        std::string path(line + path_at);
        while (path.ends_with('\n')) {
            path.pop_back();
        }
        parts_.push_back({begin, end, offset, std::move(path)});
    }
}

const symbol_table::module_part* symbol_table::find_part(std::uintptr_t address) const noexcept {
    const auto found =
        std::find_if(parts_.begin(), parts_.end(), [address](const module_part& one) {
            return address >= one.begin && address < one.end;
        });
    return found == parts_.end() ? nullptr : &*found;
}

const std::string& symbol_table::describe(std::uintptr_t address, bool function_only) {
    const auto [entry, is_new] = known_[function_only ? 1 : 0].try_emplace(address);
    if (is_new) {
        entry->second = resolve(address, function_only);
    }
    return entry->second;
}

std::string symbol_table::resolve(std::uintptr_t address, bool function_only) const {
    const module_part* const part = find_part(address);
    if (part == nullptr) {
        return "?";
    }
    const std::uint64_t file_offset = address - part->begin + part->offset;
    if (part->path.starts_with('/') && base::monotonic_ns() < deadline_ns_) {
        const mapped_file file(part->path.c_str());
        found_symbol found;
        if (find_symbol(file, file_offset, found)) {
            const std::string name = readable(found.name);
            return function_only ? name : with_offset(name, found.offset);
        }
    }
    const std::string_view path = part->path;
    const std::size_t slash = path.rfind('/');
    const std::string_view module = slash == std::string_view::npos ? path : path.substr(slash + 1);
    return with_offset(module.empty() ? "anonymous" : module, file_offset);
}

} // namespace rt::introspect
