// Errors as values. An Error says what the caller can do (code), what happened (text, built inside out by context())
// and what the operator should do (hint). Return it or log it, never both.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace basmalin {

enum class Code {
    Invalid,      // the input is wrong: do not retry, tell who sent it
    NotFound,     // what was asked for does not exist
    Conflict,     // the state does not allow it now
    Unavailable,  // a peer or a resource is away: retry later
    Timeout,      // a wait ended: retry later
    Corrupt,      // stored bytes are damaged: repair or set aside
    Full,         // a bound was reached: shed load, free space
    Denied,       // not permitted: ask for the right
};

std::string_view to_string(Code code);

struct Error {
    Code code = Code::Invalid;
    std::string text;
    std::string hint;  // for the operator; may be empty

    // "open buffer: /var/lib/x.db: disk full" from "disk full" by context("open buffer: /var/lib/x.db").
    Error context(std::string_view outer) && {
        text = std::string(outer) + ": " + text;
        return std::move(*this);
    }
    // "text (hint)" for a log line or a terminal.
    std::string message() const { return hint.empty() ? text : text + " (" + hint + ")"; }
};

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(Code code, std::string text, std::string hint = {}) {
    return std::unexpected(Error{code, std::move(text), std::move(hint)});
}

// Passes an error outwards with one more word of context: `if (!r) return pass(r, "read config");`
template <class T>
std::unexpected<Error> pass(Result<T>& failed, std::string_view outer) {
    return std::unexpected(std::move(failed.error()).context(outer));
}
template <class T>
std::unexpected<Error> pass(Result<T>& failed) {
    return std::unexpected(std::move(failed.error()));
}

// A broken invariant: says the sentence on standard error and aborts. The supervisor restarts us.
[[noreturn]] void broken_invariant(std::string_view sentence);

}  // namespace basmalin
