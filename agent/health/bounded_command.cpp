#include "agent/health/bounded_command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace basmalin::agent {
namespace {

constexpr Duration killed_wait = milliseconds(200);
constexpr int64_t reap_step_ms = 2;

MonoTime mono_now() { return SystemClock().mono(); }

int wait_ms(MonoTime deadline, int64_t most) { return static_cast<int>(std::clamp<int64_t>((deadline - mono_now()).ms, 0, most)); }

class Spawning {
  public:
    Spawning() {
        posix_spawn_file_actions_init(&actions_);
        posix_spawnattr_init(&attributes_);
    }
    Spawning(const Spawning&) = delete;
    Spawning& operator=(const Spawning&) = delete;
    ~Spawning() {
        posix_spawn_file_actions_destroy(&actions_);
        posix_spawnattr_destroy(&attributes_);
    }
    // 0 or an errno. The child leads a group of its own, so that its children end with it, and no signal is blocked in it.
    int start(const std::vector<std::string>& arguments, int output, pid_t& child) {
        sigset_t none;
        sigemptyset(&none);
        posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions_, output, STDOUT_FILENO);
        posix_spawn_file_actions_addopen(&actions_, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
        posix_spawnattr_setpgroup(&attributes_, 0);
        posix_spawnattr_setsigmask(&attributes_, &none);
        std::vector<std::string> copy = arguments;
        std::vector<char*> argv;
        for (auto& a : copy) argv.push_back(a.data());
        argv.push_back(nullptr);
        std::string path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
        std::string language = "LC_ALL=C";
        char* environment[] = {path.data(), language.data(), nullptr};
        return posix_spawn(&child, argv[0], &actions_, &attributes_, argv.data(), environment);
    }

  private:
    posix_spawn_file_actions_t actions_{};
    posix_spawnattr_t attributes_{};
};

Result<std::string> read_until(int fd, MonoTime deadline, size_t bytes_max) {
    std::string out;
    char block[4096];
    for (;;) {
        pollfd ready{fd, POLLIN, 0};
        const int wait = wait_ms(deadline, 60'000);
        const int n = ::poll(&ready, 1, wait);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return fail(Code::Timeout, "too slow");
        const ssize_t got = ::read(fd, block, sizeof block);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail(Code::Unavailable, std::strerror(errno));
        if (got == 0) return out;
        if (out.size() + static_cast<size_t>(got) > bytes_max)
            return fail(Code::Full, "printed more than " + std::to_string(bytes_max) + " bytes");
        out.append(block, static_cast<size_t>(got));
    }
}

}  // namespace

BoundedCommand::~BoundedCommand() {
    int status = 0;
    if (child_) reap(mono_now() + killed_wait, status);
}

// True when no child is left.
bool BoundedCommand::reap(MonoTime deadline, int& status) {
    while (child_) {
        const pid_t n = ::waitpid(*child_, &status, WNOHANG);
        if (n == *child_ || (n < 0 && errno != EINTR)) {  // ECHILD: somebody ignores SIGCHLD, and it is gone
            if (n < 0) status = 0;
            child_.reset();
            break;
        }
        const int wait = wait_ms(deadline, reap_step_ms);
        if (wait == 0) break;
        ::poll(nullptr, 0, wait);
    }
    return !child_;
}

Result<std::string> BoundedCommand::run(const std::vector<std::string>& arguments, Duration limit, size_t bytes_max) {
    const MonoTime deadline = mono_now() + limit;
    int status = 0;
    if (arguments.empty()) return fail(Code::Invalid, "no program given");
    if (!reap(mono_now(), status)) return fail(Code::Unavailable, arguments[0] + ": the one killed before is still there");

    int pipe_ends[2] = {-1, -1};
    if (::pipe2(pipe_ends, O_CLOEXEC) != 0) return fail(Code::Unavailable, arguments[0] + ": " + std::strerror(errno));
    pid_t child = 0;
    const int error = Spawning().start(arguments, pipe_ends[1], child);
    ::close(pipe_ends[1]);
    if (error != 0) {
        ::close(pipe_ends[0]);
        return fail(Code::Unavailable, arguments[0] + ": " + std::strerror(error));
    }
    child_ = child;
    auto printed = read_until(pipe_ends[0], deadline, bytes_max);
    ::close(pipe_ends[0]);
    if (!printed || !reap(deadline, status)) {
        ::kill(-child, SIGKILL);
        reap(mono_now() + killed_wait, status);
        if (!printed) return pass(printed, arguments[0]);
        return fail(Code::Timeout, arguments[0] + ": too slow");
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return fail(Code::Unavailable, arguments[0] + ": ended in failure");
    return printed;
}

}  // namespace basmalin::agent
