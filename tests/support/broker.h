// A real Mosquitto on a free port of 127.0.0.1, its files in a temporary folder, ended by its process id.
//
//   TestBroker broker;                       // anonymous, plain
//   broker.start();
//   TestBroker secure(TestBroker::Tls{});    // client certificates, the CN is the user, the fleet's access list
//   secure.start({"max_inflight_messages 4"});
//   options.tls_files = {secure.ca_file(), node.certificate, node.key};  // node = secure.certificates().client("gw1")
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tests/support/certificates.h"
#include "tests/support/process.h"

namespace basmalin::testing_support {

class TestBroker {
  public:
    struct Tls {
        // Mosquitto's access list; %u is the CN of the client's certificate.
        std::string access_list = "pattern readwrite fleet/1/%u/#\n";
    };
    TestBroker() = default;
    // `names`: what the broker's certificate is for.
    explicit TestBroker(Tls tls, const std::string& names = "DNS:localhost,IP:127.0.0.1,IP:::1");

    // Starts and waits until it accepts connections; aborts with its log if it does not. `config` lines are added to the file.
    // The port is chosen once: a broker that is stopped or killed comes back on the same one.
    void start(const std::vector<std::string>& config = {});
    void restart();   // with the same lines
    void stop();      // SIGTERM, and waits for the end
    void kill9();
    void pause() const { process_.signal(19); }   // SIGSTOP: accepts, answers nothing
    void resume() const { process_.signal(18); }  // SIGCONT
    bool running() { return process_.running(); }

    uint16_t port() const { return port_; }
    std::string log() const;  // everything it said so far, all runs
    const std::string& folder() const { return folder_.path(); }
    TestCertificates& certificates() { return *certificates_; }  // only with Tls
    std::string ca_file() const { return certificates_->ca_file(); }

  private:
    bool accepts() const;
    TemporaryFolder folder_;
    std::unique_ptr<TestCertificates> certificates_;
    std::string access_list_;
    CertificateFiles server_;
    std::vector<std::string> config_;
    uint16_t port_ = 0;
    Process process_;
};

}  // namespace basmalin::testing_support
