// What tests of real programs share: temporary folders, free ports, child processes ended by their id, and waiting for a
// condition with a deadline (never a sleep of a guessed length).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace basmalin::testing_support {

// Removed with all it holds when destroyed.
class TemporaryFolder {
  public:
    TemporaryFolder();
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    const std::string& path() const { return path_; }
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  private:
    std::string path_;
};

// A port of 127.0.0.1 that was free a moment ago. Asks the kernel, so parallel tests rarely meet; who binds it must retry.
uint16_t free_port();

// True as soon as `condition` holds; false after `deadline_ms`. Looks every few milliseconds.
bool wait_until(const std::function<bool()>& condition, int64_t deadline_ms = 20'000);

// A child process with its output in a file. Killed and reaped when destroyed. It dies with the test program.
class Process {
  public:
    Process() = default;
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    // False when the program could not be started. `environment` is added to ours ("NAME=value").
    bool start(const std::vector<std::string>& arguments, const std::string& output_file, const std::vector<std::string>& environment = {});
    void signal(int number) const;
    bool running();
    // The exit status (128 + signal for a killed one), or -1 when it still runs after the deadline.
    int wait(int64_t deadline_ms = 20'000);
    void kill9();
    pid_t id() const { return id_; }

  private:
    pid_t id_ = -1;
    int status_ = -1;
};

// Runs to the end; the exit status. Output goes to the file.
int run(const std::vector<std::string>& arguments, const std::string& output_file = "/dev/null");

}  // namespace basmalin::testing_support
