#include "tests/support/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "shared/base/result.h"

namespace basmalin::testing_support {

TemporaryFolder::TemporaryFolder() {
    path_ = (std::filesystem::temp_directory_path() / "basmalin-test-XXXXXX").string();
    if (mkdtemp(path_.data()) == nullptr) broken_invariant("tests need a temporary folder");
}

TemporaryFolder::~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

uint16_t free_port() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0)
        broken_invariant("tests need a free port of 127.0.0.1");
    ::close(fd);
    return ntohs(address.sin_port);
}

bool wait_until(const std::function<bool()>& condition, int64_t deadline_ms) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(deadline_ms);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
}

Process::~Process() { kill9(); }

bool Process::start(const std::vector<std::string>& arguments, const std::string& output_file, const std::vector<std::string>& environment) {
    kill9();
    std::vector<char*> argv;
    for (const std::string& one : arguments) argv.push_back(const_cast<char*>(one.c_str()));
    argv.push_back(nullptr);
    std::vector<char*> envp;
    for (char** one = environ; *one != nullptr; ++one) envp.push_back(*one);
    for (const std::string& one : environment) envp.push_back(const_cast<char*>(one.c_str()));
    envp.push_back(nullptr);
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child < 0) return false;
    if (child == 0) {  // only async-signal-safe calls from here on
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent) ::_exit(127);
        sigset_t none;
        sigemptyset(&none);
        ::sigprocmask(SIG_SETMASK, &none, nullptr);
        const int out = ::open(output_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        const int in = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
        ::dup2(in, 0);
        ::dup2(out, 1);
        ::dup2(out, 2);
        ::execvpe(argv[0], argv.data(), envp.data());
        ::_exit(127);
    }
    id_ = child;
    status_ = -1;
    return true;
}

void Process::signal(int number) const {
    if (id_ > 0) ::kill(id_, number);
}

bool Process::running() {
    if (id_ <= 0) return false;
    int status = 0;
    if (::waitpid(id_, &status, WNOHANG) == 0) return true;
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    id_ = -1;
    return false;
}

int Process::wait(int64_t deadline_ms) {
    return wait_until([this] { return !running(); }, deadline_ms) ? status_ : -1;
}

void Process::kill9() {
    if (id_ <= 0) return;
    ::kill(id_, SIGKILL);
    int status = 0;
    ::waitpid(id_, &status, 0);
    status_ = 128 + SIGKILL;
    id_ = -1;
}

int run(const std::vector<std::string>& arguments, const std::string& output_file) {
    Process process;
    if (!process.start(arguments, output_file)) return -1;
    return process.wait(60'000);
}

}  // namespace basmalin::testing_support
