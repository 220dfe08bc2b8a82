#include "tests/support/broker.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/file.h"

namespace basmalin::testing_support {

TestBroker::TestBroker(Tls tls, const std::string& names)
    : certificates_(std::make_unique<TestCertificates>()), access_list_(std::move(tls.access_list)), server_(certificates_->server(names)) {}

void TestBroker::start(const std::vector<std::string>& config) {
    config_ = config;
    const bool chosen = port_ != 0;
    for (int attempt = 0; attempt < 5; ++attempt) {
        if (!chosen) port_ = free_port();
        std::string text = "listener " + std::to_string(port_) + " 127.0.0.1\nlog_type all\nlog_dest stderr\nset_tcp_nodelay true\n";
        text += ::geteuid() == 0 ? "user root\n" : "";
        if (certificates_) {
            text += "cafile " + ca_file() + "\ncertfile " + server_.certificate + "\nkeyfile " + server_.key + "\n";
            text += "require_certificate true\nuse_identity_as_username true\nacl_file " + (folder_ / "acl") + "\n";
            // 0700 as Mosquitto asks for in later versions.
            if (!replace_file(folder_ / "acl", access_list_, 0700)) broken_invariant("tests need to write a file");
        } else {
            text += "allow_anonymous true\n";
        }
        for (const std::string& line : config_) text += line + "\n";
        if (!replace_file(folder_ / "mosquitto.conf", text)) broken_invariant("tests need to write a file");
        process_.start({"/usr/sbin/mosquitto", "-c", folder_ / "mosquitto.conf"}, folder_ / "mosquitto.log");
        if (wait_until([this] { return accepts() || !process_.running(); }) && process_.running()) return;
        // Somebody else took the port in between (or, for a port that was ours, has not let go of it yet).
    }
    broken_invariant("mosquitto does not start: " + log());
}

void TestBroker::restart() {
    stop();
    start(config_);
}

void TestBroker::stop() {
    process_.signal(SIGCONT);
    process_.signal(SIGTERM);
    if (process_.wait() < 0) process_.kill9();
}

void TestBroker::kill9() { process_.kill9(); }

std::string TestBroker::log() const { return read_file(folder_ / "mosquitto.log", 64 << 20).value_or(""); }

bool TestBroker::accepts() const {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool open = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    return open;
}

}  // namespace basmalin::testing_support
