// SPDX-License-Identifier: MIT
//
// Does the compiler, with the C++ library it uses, have the C++23 that librt is written in?
#include <concepts>
#include <coroutine>
#include <expected>
#include <source_location>
#include <version>

static_assert(__cpp_lib_expected >= 202202L);
static_assert(__cpp_impl_coroutine >= 201902L);

template<std::integral T>
std::expected<T, int> half(T value) {
    if (value % 2 != 0) {
        return std::unexpected(22);
    }
    return value / 2;
}

int main() {
    const auto here = std::source_location::current();
    return half(8).value_or(0) == 4 && !half(7) && here.line() != 0 ? 0 : 1;
}
