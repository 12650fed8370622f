// SPDX-License-Identifier: MIT
//
// The texts of rt::error, and the one throw of the library.
//
// glibc's own texts are used, with a small first letter, since the operation's name stands before
// them; the symbol (ECONNRESET) follows, since that is what people search for. strerrordesc_np and
// strerrorname_np neither allocate nor translate, so a message can be written from any thread, and
// in fatal().
//
// or_throw throws from here, on behalf of the caller that asked for it; nothing else in src does.
#include "base/assert.h"

#include <rt/result.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstring>
#include <iterator>

#include <netdb.h>

namespace rt {

namespace {

// "operation: text (NAME)" with the longest text of glibc is under 100 bytes; operations are
// literals.
constexpr std::size_t message_bytes_max = 256;

struct code_text {
    const char* description;
    const char* name;
};

struct resolver_name {
    int code;
    const char* name;
};

constexpr resolver_name resolver_names[] = {
    {EAI_ADDRFAMILY, "EAI_ADDRFAMILY"},
    {EAI_AGAIN, "EAI_AGAIN"},
    {EAI_BADFLAGS, "EAI_BADFLAGS"},
    {EAI_FAIL, "EAI_FAIL"},
    {EAI_FAMILY, "EAI_FAMILY"},
    {EAI_MEMORY, "EAI_MEMORY"},
    {EAI_NODATA, "EAI_NODATA"},
    {EAI_NONAME, "EAI_NONAME"},
    {EAI_OVERFLOW, "EAI_OVERFLOW"},
    {EAI_SERVICE, "EAI_SERVICE"},
    {EAI_SOCKTYPE, "EAI_SOCKTYPE"},
    {EAI_SYSTEM, "EAI_SYSTEM"},
};

code_text describe_runtime(errc code) noexcept {
    switch (code) {
    case errc::cancelled:
        return {"cancelled", nullptr};
    case errc::timed_out:
        return {"timed out", nullptr};
    case errc::shut_down:
        return {"the runtime is shutting down", nullptr};
    case errc::closed:
        return {"closed", nullptr};
    }
    return {nullptr, nullptr};
}

code_text describe(const error& why) noexcept {
    switch (why.domain()) {
    case error_domain::system:
        return {::strerrordesc_np(why.code()), ::strerrorname_np(why.code())};
    case error_domain::runtime:
        return describe_runtime(static_cast<errc>(why.code()));
    case error_domain::resolve: {
        const auto* found = std::find_if(
            std::begin(resolver_names),
            std::end(resolver_names),
            [&](const resolver_name& one) { return one.code == why.code(); }
        );
        const char* name = found != std::end(resolver_names) ? found->name : nullptr;
        return {name != nullptr ? ::gai_strerror(why.code()) : nullptr, name};
    }
    }
    return {nullptr, nullptr};
}

/// "Connection reset" becomes small, "RFS specific error" and ".lib section" stay.
char first_letter(const char* text) noexcept {
    const auto first = static_cast<unsigned char>(text[0]);
    const bool is_acronym = first != 0 && std::isupper(static_cast<unsigned char>(text[1])) != 0;
    return is_acronym ? static_cast<char>(first) : static_cast<char>(std::tolower(first));
}

class runtime_category final : public std::error_category {
public:
    [[nodiscard]] const char* name() const noexcept override { return "rt"; }
    [[nodiscard]] std::string message(int code) const override {
        const char* text = describe_runtime(static_cast<errc>(code)).description;
        return text != nullptr ? text : "unknown error";
    }
};

class resolve_category final : public std::error_category {
public:
    [[nodiscard]] const char* name() const noexcept override { return "getaddrinfo"; }
    [[nodiscard]] std::string message(int code) const override { return ::gai_strerror(code); }
};

} // namespace

std::size_t error::write_message(char* buffer, std::size_t capacity) const noexcept {
    if (capacity == 0) {
        return 0;
    }
    const code_text text = describe(*this);
    int wanted = 0;
    if (text.description == nullptr || text.description[0] == 0) {
        wanted = std::snprintf(buffer, capacity, "%s: error %d", operation_, code_);
    } else {
        wanted = std::snprintf(
            buffer,
            capacity,
            "%s: %c%s%s%s%s",
            operation_,
            first_letter(text.description),
            text.description + 1,
            text.name != nullptr ? " (" : "",
            text.name != nullptr ? text.name : "",
            text.name != nullptr ? ")" : ""
        );
    }
    RT_ASSERT(wanted >= 0);
    return std::min(static_cast<std::size_t>(wanted), capacity - 1);
}

std::string error::message() const {
    char text[message_bytes_max];
    return std::string(text, write_message(text, sizeof(text)));
}

std::error_code error::as_error_code() const noexcept {
    static const runtime_category runtime_codes;
    static const resolve_category resolve_codes;
    switch (domain_) {
    case error_domain::system:
        return std::error_code(code_, std::generic_category());
    case error_domain::runtime:
        return std::error_code(code_, runtime_codes);
    case error_domain::resolve:
        return std::error_code(code_, resolve_codes);
    }
    return std::error_code();
}

system_error::system_error(const rt::error& why)
    : std::system_error(why.as_error_code())
    , why_(why)
    , text_(why.message()) {
}

// Out of line: the class's type information then lives in the library alone, and catch clauses in
// different modules agree on it.
system_error::~system_error() = default;

void detail::throw_error(const error& why) {
    throw system_error(why); // tidy:allow banned: throwing is what rt::or_throw is for
}

} // namespace rt
