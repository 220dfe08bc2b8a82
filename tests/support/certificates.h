// Certificates for tests, made by the openssl program: one authority, a server certificate for localhost and 127.0.0.1, and a
// client certificate per node whose CN is the node's name. Keys are P-256: quick to make.
#pragma once

#include <string>

#include "tests/support/process.h"

namespace basmalin::testing_support {

struct CertificateFiles {
    std::string certificate;
    std::string key;
};

class TestCertificates {
  public:
    // Aborts with openssl's output when it fails: no test of TLS can run without.
    explicit TestCertificates(const std::string& authority = "Test authority");
    std::string ca_file() const { return folder_ / "ca.pem"; }
    // `names` is a subjectAltName: "DNS:localhost,IP:127.0.0.1".
    CertificateFiles server(const std::string& names = "DNS:localhost,IP:127.0.0.1,IP:::1");
    CertificateFiles client(const std::string& common_name);

  private:
    CertificateFiles issue(const std::string& file, const std::string& common_name, const std::string& extensions);
    void openssl(const std::vector<std::string>& arguments) const;
    TemporaryFolder folder_;
    int issued_ = 0;
};

}  // namespace basmalin::testing_support
