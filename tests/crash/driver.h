// What the programs share whose system calls syscall_test.py makes fail: prepare, work and look, each a function of the user of what
// is tested, and the lines they say of what was promised.
#pragma once

#include <sys/uio.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "shared/base/log.h"

namespace basmalin {

// writev(2), because write(2) is among the calls that fail.
inline void say(const std::string& line) {
    std::string text = line + "\n";
    iovec part{text.data(), text.size()};
    if (::writev(1, &part, 1) != static_cast<ssize_t>(text.size())) std::abort();
}

template <class User>
struct Words {
    int (*prepare)(User&);
    int (*work)(User&);
    int (*look)(User&);
    const char* usage;
};

template <class User>
int drive(int count, char** arguments, const Words<User>& words) {
    std::signal(SIGPIPE, SIG_IGN);
    log::start(log::Level::Warn);
    const std::string what = count == 3 ? arguments[1] : "";
    User user(count == 3 ? arguments[2] : "");
    if (what == "prepare") return words.prepare(user);
    if (what == "work") return words.work(user);
    if (what == "look") return words.look(user);
    std::fprintf(stderr, "usage: %s\n", words.usage);
    return 2;
}

}  // namespace basmalin
