// SPDX-License-Identifier: MIT
//
// Boost.Beast's HTTP parser, of which examples/httpd takes the part that needs no Asio. Headers
// only.
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/verb.hpp>

int main() {
    return boost::beast::http::string_to_verb("GET") == boost::beast::http::verb::get ? 0 : 1;
}
