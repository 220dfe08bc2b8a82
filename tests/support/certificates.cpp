#include "tests/support/certificates.h"

#include "shared/base/file.h"

namespace basmalin::testing_support {

TestCertificates::TestCertificates(const std::string& authority) {
    openssl({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=" + authority, "-keyout",
             folder_ / "ca.key", "-out", ca_file(), "-addext", "keyUsage=critical,keyCertSign,cRLSign"});
}

CertificateFiles TestCertificates::server(const std::string& names) {
    return issue("server", "broker", "subjectAltName=" + names + "\nextendedKeyUsage=serverAuth\n");
}

CertificateFiles TestCertificates::client(const std::string& common_name) { return issue("client", common_name, "extendedKeyUsage=clientAuth\n"); }

CertificateFiles TestCertificates::issue(const std::string& file, const std::string& common_name, const std::string& extensions) {
    const std::string base = folder_ / (file + std::to_string(++issued_));
    openssl({"req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" + common_name, "-keyout", base + ".key", "-out",
             base + ".csr"});
    if (!replace_file(base + ".ext", extensions)) broken_invariant("tests need to write a file");
    openssl({"x509", "-req", "-in", base + ".csr", "-CA", ca_file(), "-CAkey", folder_ / "ca.key", "-CAcreateserial", "-days", "2", "-extfile",
             base + ".ext", "-out", base + ".pem"});
    return {base + ".pem", base + ".key"};
}

void TestCertificates::openssl(const std::vector<std::string>& arguments) const {
    std::vector<std::string> all = {"openssl"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const std::string output = folder_ / "openssl.log";
    if (run(all, output) != 0) broken_invariant("openssl failed: " + read_file(output, 1 << 20).value_or(""));
}

}  // namespace basmalin::testing_support
