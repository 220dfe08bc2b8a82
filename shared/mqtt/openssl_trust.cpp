#include "shared/mqtt/openssl_trust.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "shared/mqtt/resolver.h"

namespace basmalin {
namespace {

std::string last_error() {
    const unsigned long code = ERR_peek_last_error();
    const char* reason = code != 0 ? ERR_reason_error_string(code) : nullptr;
    ERR_clear_error();
    return reason != nullptr ? reason : "unreadable";
}

int on_verify(int good, X509_STORE_CTX* store) {
    if (good == 1) return 1;
    const auto* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    auto* trust = static_cast<Trust*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
    if (trust != nullptr) trust->set_refusal(X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
    return 0;
}

// libmosquitto puts the address it connects to into the server name indication; what belongs there is the name, and nothing
// when the host is an address (RFC 6066, section 3).
void on_handshake(const SSL* ssl, int where, int) {
    if ((where & SSL_CB_HANDSHAKE_START) == 0) return;
    const auto* trust = static_cast<Trust*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
    const char* name = trust == nullptr || is_address(trust->host()) ? nullptr : trust->host().c_str();
    SSL_set_tlsext_host_name(const_cast<SSL*>(ssl), name);
}

}  // namespace

Result<std::unique_ptr<Trust>> Trust::make(const std::string& host, const std::string& ca_file, const std::string& certificate_file,
                                           const std::string& key_file) {
    std::unique_ptr<Trust> trust(new Trust(host));
    ERR_clear_error();
    SSL_CTX* context = SSL_CTX_new(TLS_client_method());
    if (context == nullptr) return fail(Code::Unavailable, "TLS: " + last_error());
    trust->context_ = context;
    SSL_CTX_set_app_data(context, trust.get());
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    // libmosquitto moves what it could not write: the buffer of a repeated SSL_write may be another one.
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, on_verify);
    SSL_CTX_set_info_callback(context, on_handshake);
    if (SSL_CTX_load_verify_file(context, ca_file.c_str()) != 1)
        return fail(Code::Invalid, "TLS: authority file \"" + ca_file + "\": " + last_error(), "give the PEM file of the fleet's certificate authority");
    X509_VERIFY_PARAM* check = SSL_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_hostflags(check, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    const int named = is_address(host) ? X509_VERIFY_PARAM_set1_ip_asc(check, host.c_str()) : X509_VERIFY_PARAM_set1_host(check, host.c_str(), 0);
    if (named != 1 || host.empty()) return fail(Code::Invalid, "TLS: \"" + host + "\" is no name a certificate can have");
    if (certificate_file.empty()) return trust;
    if (SSL_CTX_use_certificate_chain_file(context, certificate_file.c_str()) != 1)
        return fail(Code::Invalid, "TLS: certificate \"" + certificate_file + "\": " + last_error(), "give the PEM file of this node's certificate");
    if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(context) != 1)
        return fail(Code::Invalid, "TLS: key \"" + key_file + "\": " + last_error(), "give the PEM file of the key that belongs to the certificate");
    return trust;
}

Trust::~Trust() {
    if (context_ == nullptr) return;
    SSL_CTX_set_app_data(context_, nullptr);
    SSL_CTX_free(context_);
}

bool handshake_done(const void* ssl) { return ssl == nullptr || SSL_is_init_finished(static_cast<const SSL*>(ssl)) == 1; }
bool handshake_wants_write(const void* ssl) { return ssl != nullptr && SSL_want_write(static_cast<const SSL*>(ssl)); }
bool has_decrypted_bytes(const void* ssl) { return ssl != nullptr && SSL_pending(static_cast<const SSL*>(ssl)) > 0; }

}  // namespace basmalin
