#include "shared/mqtt/mosquitto_reasons.h"

#include <mosquitto.h>
#include <mqtt_protocol.h>

#include <cerrno>
#include <cstring>

namespace basmalin {
namespace {

std::string hint_for(int reason, const std::string& client_id) {
    switch (reason) {
        case MQTT_RC_BAD_USERNAME_OR_PASSWORD: return "check the user and the password";
        case MQTT_RC_NOT_AUTHORIZED: return "check the certificate or password of this node and the broker's access list";
        case MQTT_RC_CLIENTID_NOT_VALID: return "the broker does not take the client id \"" + client_id + "\"";
        case MQTT_RC_SESSION_TAKEN_OVER: return "another program connects with the client id \"" + client_id + "\": give each node its own name";
        case MQTT_RC_PACKET_TOO_LARGE: return "raise max_packet_size of the broker";
        case MQTT_RC_QUOTA_EXCEEDED: return "raise the broker's limits";
        case MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION: return "the broker must speak MQTT 5: Mosquitto 1.6 or later";
        default: return "see the broker's log";
    }
}

Code code_for(int reason) {
    switch (reason) {
        case MQTT_RC_BAD_USERNAME_OR_PASSWORD:
        case MQTT_RC_NOT_AUTHORIZED:
        case MQTT_RC_BANNED:
        case MQTT_RC_BAD_AUTHENTICATION_METHOD: return Code::Denied;
        case MQTT_RC_CLIENTID_NOT_VALID:
        case MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION: return Code::Invalid;
        case MQTT_RC_SESSION_TAKEN_OVER: return Code::Conflict;
        case MQTT_RC_QUOTA_EXCEEDED:
        case MQTT_RC_PACKET_TOO_LARGE: return Code::Full;
        default: return Code::Unavailable;
    }
}

}  // namespace

Error refused_error(int reason, const std::string& client_id) {
    return {code_for(reason), std::string("the broker refuses: ") + mosquitto_reason_string(reason), hint_for(reason, client_id)};
}

Error ended_error(int code, int os_error, const std::string& tls_text, bool online, const std::string& client_id) {
    if (code >= 0x80)
        return {code_for(code), std::string("the broker ended the connection: ") + mosquitto_reason_string(code), hint_for(code, client_id)};
    if (!tls_text.empty()) return {Code::Denied, "TLS: " + tls_text, "check the certificates of this node and of the broker, and both clocks"};
    if (code == MOSQ_ERR_KEEPALIVE) return {Code::Timeout, "the broker does not answer pings", ""};
    if (code == MOSQ_ERR_CONN_LOST || code == MOSQ_ERR_NO_CONN || code == MOSQ_ERR_SUCCESS)
        return {Code::Unavailable, online ? "the connection was closed" : "the broker closed the connection before it answered",
                online ? "" : "see the broker's log"};
    if (code == MOSQ_ERR_ERRNO && os_error != 0) return {Code::Unavailable, std::strerror(os_error), ""};
    return {Code::Unavailable, mosquitto_strerror(code), ""};
}

}  // namespace basmalin
