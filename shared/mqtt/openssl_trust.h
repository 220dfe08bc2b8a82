// Whom a TLS connection trusts and as whom it comes, as an SSL_CTX that is handed to libmosquitto. The check of the broker's
// name is OpenSSL's own, against the name the operator wrote: libmosquitto is given an address that was looked up before.
#pragma once

#include <memory>
#include <string>

#include "shared/base/result.h"

struct ssl_ctx_st;

namespace basmalin {

class Trust {
  public:
    // Invalid, with the file's name, when a file is missing, is no PEM, or the key does not fit the certificate.
    // `host`: a DNS name or an IP address.
    static Result<std::unique_ptr<Trust>> make(const std::string& host, const std::string& ca_file, const std::string& certificate_file,
                                               const std::string& key_file);
    ~Trust();
    Trust(const Trust&) = delete;
    Trust& operator=(const Trust&) = delete;

    ssl_ctx_st* context() const { return context_; }
    // Why the last certificate was refused ("certificate has expired"), or empty.
    const std::string& refusal() const { return refusal_; }
    void set_refusal(std::string why) { refusal_ = std::move(why); }
    const std::string& host() const { return host_; }

  private:
    explicit Trust(std::string host) : host_(std::move(host)) {}
    ssl_ctx_st* context_ = nullptr;
    std::string host_;
    std::string refusal_;
};

// Of an SSL*, as mosquitto_ssl_get() gives it (null: no TLS).
bool handshake_done(const void* ssl);
bool handshake_wants_write(const void* ssl);
bool has_decrypted_bytes(const void* ssl);

}  // namespace basmalin
